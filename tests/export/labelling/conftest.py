"""One export with a pool, as export leaves it for labelling."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgewright.export.exporter import Result, export
from edgewright.export.labelling import kept
from edgewright.export.labelling.kept import Kept
from edgewright.export.source.options import Given, Options
from edgewright.train.datasets import Dataset
from edgewright.train.normalization import Normalization

FEW = 390  # labelled test images: what never differs passes with them, tflite-int8 does not


@pytest.fixture(scope="session")
def pooled(
    tmp_path_factory: pytest.TempPathFactory, trained: Path, fashion_mini: Dataset
) -> tuple[Path, Result]:
    """A bundle of tflite-float32, beside it the pool that could prove tflite-int8 and its weaker brother, and
    what the export said. Shared: copy it (`left`) before changing it."""
    folder = tmp_path_factory.mktemp("pooled")
    x, y = fashion_mini.x_test, fashion_mini.y_test
    np.savez(folder / "test.npz", x=x[:FEW], y=y[:FEW])
    np.savez(folder / "calibration.npz", x=fashion_mini.x_train[:100])
    np.savez(folder / "pool.npz", x=x[FEW:])
    (folder / "labels.txt").write_text("\n".join(fashion_mini.labels), encoding="utf-8")
    given = Given(
        labels=folder / "labels.txt",
        normalization=Normalization.of_range(0.0, 1.0),
        test=folder / "test.npz",
        calibration=folder / "calibration.npz",
    )
    options = Options(
        out=folder / "bundle",
        variants="tflite-float32,tflite-int8,tflite-weight-int4",
        given=given,
        pool=folder / "pool.npz",
        max_drop=0.012,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGEWRIGHT_CACHE", str(tmp_path_factory.mktemp("cache")))
        return folder / "bundle", export(trained / "model.keras", options)


@pytest.fixture
def left(pooled: tuple[Path, Result], tmp_path: Path) -> Path:
    """Where the bundle of a test's own lies, with its pool beside it."""
    out = tmp_path / "bundle"
    shutil.copytree(pooled[0], out)
    shutil.copytree(kept.beside(pooled[0]), kept.beside(out))
    return out


@pytest.fixture
def opened(left: Path) -> Kept:
    return kept.read(left)


@pytest.fixture(scope="session")
def truth(fashion_mini: Dataset) -> Callable[[Kept, int], int]:
    """The true class of a picture that wants a label."""
    known = {
        image.tobytes(): int(label)
        for image, label in zip(fashion_mini.x_test, fashion_mini.y_test, strict=True)
    }
    return lambda kept, place: known[kept.questions.images[place].tobytes()]
