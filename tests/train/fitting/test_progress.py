"""A run that was cut off goes on from its last whole epoch to the very same weights."""

from __future__ import annotations

import dataclasses
import os
import signal
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewright.runtime.errors import InputError
from edgewright.train import recipe
from edgewright.train.checkpoint import Checkpoint
from edgewright.train.datasets import Dataset
from edgewright.train.fitting import augment
from edgewright.train.fitting.fit import Options, train
from edgewright.train.recipe import Recipe
from edgewright.train.stack import import_keras


@pytest.fixture(scope="module")
def few(fashion_mini: Dataset) -> Dataset:
    return dataclasses.replace(
        fashion_mini,
        name="few",
        **{
            f"{array}_{part}": getattr(fashion_mini, f"{array}_{part}")[:300]
            for array in "xy"
            for part in ("train", "test")
        },
    )


def build(keras: Any, shape: tuple[int, int, int], classes: int) -> Any:
    """Random layers, a changing schedule, moving averages: all of it has a state to lose."""
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input(shape),
            layers.RandomTranslation(0.1, 0.1),
            layers.Conv2D(4, 3, strides=2),
            layers.BatchNormalization(),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(classes, activation="softmax"),
        ]
    )


def scheduled(keras: Any, steps: int) -> Any:
    return keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.01, steps))


STATEFUL = dataclasses.replace(
    recipe.get("fashion-mlp"),
    build=build,
    optimizer=scheduled,
    epochs=4,
    patience=None,
    augment=lambda images, random: augment.mirror(images, random),
)


def cut_after(epochs: int, given: Recipe) -> Recipe:
    """The recipe, whose augmentation kills the run once so many epochs are whole."""
    batches = -(-270 // given.batch_size)
    seen = []

    def change(images: Any, random: Any) -> Any:
        seen.append(1)
        if len(seen) > epochs * batches + 2:
            raise RuntimeError("killed")
        assert given.augment is not None
        return given.augment(images, random)

    return dataclasses.replace(given, augment=change)


def weights(folder: Path) -> list[Any]:
    found: list[Any] = import_keras().saving.load_model(folder / "model.keras", compile=False).get_weights()
    return found


@pytest.mark.slow
def test_resume_of_a_cut_off_run_ends_where_a_whole_one_does(tmp_path: Path, few: Dataset) -> None:
    whole, cut = Options(out=tmp_path / "whole"), Options(out=tmp_path / "cut")
    train("stateful", STATEFUL, few, whole)
    with pytest.raises(Exception, match="killed"):
        train("stateful", cut_after(2, STATEFUL), few, cut)
    assert not (tmp_path / "cut").exists()
    assert (tmp_path / ".cut.training" / "epoch-00002").is_dir()
    found = train("stateful", STATEFUL, few, dataclasses.replace(cut, resume=True))
    assert found.training["epochs"] == 4
    for a, b in zip(weights(tmp_path / "whole"), weights(tmp_path / "cut"), strict=True):
        np.testing.assert_array_equal(a, b)
    assert (tmp_path / "whole" / "history.csv").read_text() == (tmp_path / "cut" / "history.csv").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cut", "whole"]


def test_resume_takes_only_the_same_run(tmp_path: Path, few: Dataset) -> None:
    out = Options(out=tmp_path / "out", resume=True)
    with pytest.raises(InputError, match="cut-off run"):
        train("stateful", STATEFUL, few, out)
    with pytest.raises(Exception, match="killed"):
        train("stateful", cut_after(1, STATEFUL), few, dataclasses.replace(out, resume=False))
    for other in (dataclasses.replace(out, seed=1), dataclasses.replace(out, epochs=9)):
        with pytest.raises(InputError, match="recipe, data, seed and epochs"):
            train("stateful", STATEFUL, few, other)
    with pytest.raises(InputError, match="recipe, data, seed and epochs"):
        train("stateful", STATEFUL, dataclasses.replace(few, y_train=few.y_train[::-1].copy()), out)


@pytest.mark.slow
def test_resume_of_a_run_that_was_killed_before_an_epoch_was_whole_starts_anew(
    tmp_path: Path, few: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = Options(out=tmp_path / "out")
    with monkeypatch.context() as patch, pytest.raises(Exception, match="killed"):
        patch.setattr("edgewright.train.fitting.fit._Run._forget", lambda run: None)  # as SIGKILL has it
        train("stateful", cut_after(0, STATEFUL), few, out)
    assert [path.name for path in tmp_path.iterdir()] == [".out.training"]
    with pytest.raises(InputError, match="recipe, data, seed and epochs"):
        train("stateful", STATEFUL, few, dataclasses.replace(out, seed=1, resume=True))
    found = train("stateful", STATEFUL, few, dataclasses.replace(out, resume=True))
    assert found is not None
    assert found.training["epochs"] == 4
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_run_that_fails_before_an_epoch_was_whole_leaves_nothing(tmp_path: Path, few: Dataset) -> None:
    with pytest.raises(Exception, match="killed"):
        train("stateful", cut_after(0, STATEFUL), few, Options(out=tmp_path / "out"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_train_ctrl_c_writes_what_there_is_and_can_be_resumed(tmp_path: Path, few: Dataset) -> None:
    out = tmp_path / "out"

    def interrupt(images: Any, random: Any) -> Any:
        if (tmp_path / ".out.training" / "epoch-00001").is_dir() and not interrupted.is_set():
            interrupted.set()
            os.kill(os.getpid(), signal.SIGINT)
        return images

    interrupted = threading.Event()
    given = dataclasses.replace(STATEFUL, augment=interrupt, epochs=40)
    found = train("stateful", given, few, Options(out=out))
    assert interrupted.is_set()
    assert not found.training["finished"]
    assert 1 <= found.training["epochs"] < 40
    assert Checkpoint.open(out).metrics["test_accuracy"] > 0
    resumed = train("stateful", dataclasses.replace(given, augment=None), few, Options(out=out, resume=True))
    assert resumed.training["finished"]
    assert resumed.training["epochs"] == 40
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
