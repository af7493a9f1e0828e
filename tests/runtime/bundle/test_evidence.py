"""Evidence that is not what it should be is named in one line, and nothing of it is believed."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgewright.runtime.bundle.evidence import read_evidence
from edgewright.runtime.bundle.manifest import EVIDENCE, Bundle, FileEntry, Manifest
from edgewright.runtime.errors import BundleError

Arrays = dict[str, NDArray[Any]]
Rewrite = Callable[..., Manifest]


@pytest.fixture
def found(bundle: Path) -> Arrays:
    with np.load(bundle / EVIDENCE) as archive:
        return {name: archive[name] for name in archive.files}


def packed(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)
    return out.getvalue()


def with_value(array: NDArray[Any], place: tuple[int, ...], value: float) -> NDArray[Any]:
    changed = array.copy()
    changed[place] = value
    return changed


def test_read_evidence_of_an_old_bundle_has_none(bundle: Path, rewrite: Rewrite) -> None:
    raw = (bundle / "manifest.json").read_bytes()
    assert b'"evidence"' in raw
    rewrite(bundle, evidence=None)
    assert b'"evidence"' not in (bundle / "manifest.json").read_bytes()
    assert read_evidence(Bundle.open(bundle)) is None


@pytest.mark.parametrize(
    "make",
    [
        lambda a: b"",
        lambda a: packed(a)[:-50],
        lambda a: packed({k: v for k, v in a.items() if k != "truth"}),
        lambda a: packed(a | {"images": a["images"][:, :, :, 0]}),
        lambda a: packed(a | {"images": np.zeros((len(a["truth"]), 97, 28, 1), np.uint8)}),
        lambda a: packed(a | {"images": a["images"].astype(np.float32)}),
        lambda a: packed(a | {"images": np.array(7, np.uint8)}),
        lambda a: packed(a | {"truth": a["truth"].astype(object)}),
        lambda a: packed(a | {"truth": with_value(a["truth"], (0,), 10)}),
        lambda a: packed(a | {"classes": a["classes"][1:]}),
        lambda a: packed(a | {"classes": with_value(a["classes"], (0, 1, 0), 10**6)}),
        lambda a: packed(a | {"classes": with_value(a["classes"], (0, 2, 0), -1)}),
        lambda a: packed(a | {"classes": a["classes"] * 2}),
        lambda a: packed(a | {key: np.repeat(a[key][:1], 601, axis=0) for key in ("worst", "probabilities")}),
        lambda a: packed(a | {"worst": with_value(a["worst"], (0, 0), 6)}),
        lambda a: packed(a | {"worst": with_value(a["worst"], (0, 1), len(a["truth"]))}),
        lambda a: packed(a | {"worst": with_value(a["worst"], (0, 3), -1)}),
        lambda a: packed(a | {"worst": a["worst"][:, :3]}),
        lambda a: packed(a | {"probabilities": a["probabilities"][1:]}),
        lambda a: packed(a | {"probabilities": with_value(a["probabilities"], (0, 0, 0), np.nan)}),
        lambda a: packed(a | {"probabilities": with_value(a["probabilities"], (0, 0, 0), 1.5)}),
    ],
    ids=[
        *("empty", "cut off", "no truth", "images of three axes", "a large image", "float images"),
        *("one number", "objects", "a class too many", "a variant too few", "more right than there are"),
        *(
            "fewer than none",
            "more than were judged",
            "too many rows",
            "no such variant",
            "no such image",
            "no such class",
            "three columns",
        ),
        *("a row too few", "NaN", "more than certain"),
    ],
)
def test_read_evidence_of_what_cannot_be_true_is_refused(
    bundle: Path, found: Arrays, rewrite: Rewrite, make: Callable[[Arrays], bytes]
) -> None:
    (bundle / EVIDENCE).write_bytes(make(found))
    rewrite(bundle, evidence=FileEntry.of(bundle / EVIDENCE))
    with pytest.raises(BundleError, match=EVIDENCE) as refused:
        read_evidence(Bundle.open(bundle))
    assert "\n" not in str(refused.value)


def test_read_evidence_names_a_file_that_is_missing(bundle: Path) -> None:
    (bundle / EVIDENCE).unlink()
    with pytest.raises(BundleError, match=r"evidence\.npz, which manifest\.json lists"):
        read_evidence(Bundle.open(bundle))


def test_evidence_name_that_leaves_the_bundle_is_refused(bundle: Path, rewrite: Rewrite) -> None:
    entry = FileEntry.of(bundle / EVIDENCE)
    rewrite(bundle, evidence=dataclasses.replace(entry, file="../evidence.npz"))
    with pytest.raises(BundleError, match="plain name"):
        Bundle.open(bundle)
