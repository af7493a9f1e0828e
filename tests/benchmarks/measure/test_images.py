"""Test images for targets: what is in the file is checked before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewright.benchmarks.measure import images
from edgewright.export.exporter import Result
from edgewright.runtime import Bundle
from edgewright.runtime.bundle.manifest import Manifest
from edgewright.runtime.errors import DataError


@pytest.fixture
def manifest(exported: tuple[Path, Result]) -> Manifest:
    return Bundle.open(exported[0]).manifest  # 28x28 grey, ten classes


def saved(folder: Path, **arrays: Any) -> Path:
    np.savez(folder / "test.npz", **arrays)
    return folder / "test.npz"


def test_images_read_takes_a_thousand_evenly_over_the_npz(tmp_path: Path, manifest: Manifest) -> None:
    x = np.zeros((2500, 28, 28), np.uint8)
    x[:, 0, 0] = np.arange(2500) // 250
    y = np.arange(2500) // 250
    pixels, classes = images.read(saved(tmp_path, x_test=x, y_test=y), manifest)
    assert pixels.shape == (1000, 28, 28, 1)
    assert (classes.shape, classes.dtype) == ((1000,), np.dtype(np.int64))
    assert np.array_equal(pixels[:, 0, 0, 0], classes)
    assert np.bincount(classes, minlength=10).min() >= 99


def test_images_read_takes_all_of_fewer_and_classes_may_stand_in_a_column(
    tmp_path: Path, manifest: Manifest
) -> None:
    x, y = np.zeros((3, 28, 28, 1), np.uint8), np.array([[1], [2], [3]], np.uint8)
    pixels, classes = images.read(saved(tmp_path, x=x, y=y), manifest)
    assert (len(pixels), classes.tolist()) == (3, [1, 2, 3])


X, Y = np.zeros((2, 28, 28), np.uint8), np.array([0, 1])


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"x": X}, "expected arrays x and y in .*, got x"),
        ({"x": X.astype(np.float32), "y": Y}, "expected uint8 images"),
        ({"x": np.zeros((2, 32, 32, 3), np.uint8), "y": Y}, r"expected uint8 images of \(28, 28, 1\)"),
        ({"x": X[:0], "y": Y[:0]}, "expected uint8 images"),
        ({"x": X, "y": Y[:1]}, "expected 2 whole numbers"),
        ({"x": X, "y": Y.astype(float)}, "expected 2 whole numbers"),
        ({"x": X, "y": Y + 9}, "expected classes from 0 to 9 in .*, got 9 to 10"),
        ({"x": X, "y": Y - 1}, "expected classes from 0 to 9"),
    ],
)
def test_images_read_refuses_other_arrays(
    tmp_path: Path, manifest: Manifest, arrays: dict[str, Any], says: str
) -> None:
    with pytest.raises(DataError, match=says):
        images.read(saved(tmp_path, **arrays), manifest)


@pytest.mark.parametrize("raw", [b"", b"no archive", b"PK\x03\x04 cut off"])
def test_images_read_refuses_what_is_no_npz_in_a_line(tmp_path: Path, manifest: Manifest, raw: bytes) -> None:
    (tmp_path / "x.npz").write_bytes(raw)
    with pytest.raises(DataError, match=r"x\.npz") as refused:
        images.read(tmp_path / "x.npz", manifest)
    assert "\n" not in str(refused.value)
