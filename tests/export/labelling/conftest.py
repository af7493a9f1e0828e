"""One export with a pool, as export leaves it for labelling."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edgewright.export.exporter import Result, export
from edgewright.export.labelling import kept
from edgewright.export.labelling.kept import Kept
from edgewright.export.source.options import Given, Options
from edgewright.train.datasets import Dataset, Images
from edgewright.train.normalization import Normalization
from edgewright.train.stack import import_keras

Score = Callable[[Path, Images], NDArray[np.float32]]
FEW = 390  # labelled test images: what never differs passes with them, what differs on two of them does not
QUANTIZED = ("tflite-int8", "tflite-weight-int4")


@pytest.fixture(scope="session")
def pooled(
    tmp_path_factory: pytest.TempPathFactory, trained: Path, fashion_mini: Dataset, score: Score
) -> tuple[Path, Result]:
    """A bundle of tflite-float32, beside it the pool that could prove tflite-int8 and its weaker brother, and
    what the export said. Shared: copy it (`left`) before changing it.

    The model is a trained one of which all scores are close to each other: so a file of 8 bits differs from
    it by its steps on about one image of a hundred, whatever training gave on this processor."""
    folder = tmp_path_factory.mktemp("pooled")
    model = import_keras().models.load_model(trained / "model.keras")
    model.layers[-1].set_weights([weights * 0.08 for weights in model.layers[-1].get_weights()])
    model.save(folder / "model.keras")
    x, y = fashion_mini.x_test, fashion_mini.y_test
    np.savez(folder / "test.npz", x=x, y=y)
    np.savez(folder / "calibration.npz", x=fashion_mini.x_train[:100])
    (folder / "labels.txt").write_text("\n".join(fashion_mini.labels), encoding="utf-8")
    given = Given(
        labels=folder / "labels.txt",
        normalization=Normalization.of_range(0.0, 1.0),
        test=folder / "test.npz",
        calibration=folder / "calibration.npz",
    )
    of_all = Options(
        out=folder / "of-all", variants=("tflite-float32", *QUANTIZED), given=given, max_drop=0.5
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGEWRIGHT_CACHE", str(tmp_path_factory.mktemp("cache")))
        export(folder / "model.keras", of_all)
        files = [of_all.out / f"{name}.tflite" for name in of_all.variants]
        labelled = _labelled([score(file, x).argmax(axis=1) for file in files])
        np.savez(folder / "test.npz", x=x[labelled], y=y[labelled])
        np.savez(folder / "pool.npz", x=x[~labelled])
        options = dataclasses.replace(of_all, out=folder / "bundle", pool=folder / "pool.npz", max_drop=0.012)
        return options.out, export(folder / "model.keras", options)


def _labelled(classes: list[NDArray[np.intp]]) -> NDArray[np.bool_]:
    """FEW of the images, on which each file differs from the first one about as often as on the others, and
    twice at least, wherever those lie."""
    differs = [found != classes[0] for found in classes[1:]]
    chosen = np.zeros(len(classes[0]), np.bool_)
    for of_file in differs:
        places = np.flatnonzero(of_file)
        assert len(places) >= 2, "the files hardly differ: take others"
        chosen[places[: max(2, round(len(places) * FEW / len(chosen)))]] = True
    same = np.flatnonzero(~np.any(differs, axis=0))
    chosen[same[: FEW - chosen.sum()]] = True
    return chosen


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
