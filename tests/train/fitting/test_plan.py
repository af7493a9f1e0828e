"""Trainings of two parts: when the second begins, what learns in it, and that a cut-off run ends the same."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewright.runtime.errors import InputError
from edgewright.train import datasets, recipe
from edgewright.train.checkpoint import Checkpoint
from edgewright.train.datasets import Dataset
from edgewright.train.fitting import fit
from edgewright.train.fitting.fit import Options, train
from edgewright.train.fitting.plan import Plan, balance, unfreeze
from edgewright.train.pretrained import Weights
from edgewright.train.recipe import Tuning
from edgewright.train.stack import import_keras

PHOTOS = recipe.get("photos")
FALLING = [1.0 - i / 100 for i in range(100)]


def plan(first: int, second: int, patience: int | None) -> Plan:
    tuning = Tuning(optimizer=PHOTOS.optimizer, epochs=second, patience=patience)
    return Plan.of(dataclasses.replace(PHOTOS, epochs=first, patience=patience, tuning=tuning), None)


@pytest.mark.parametrize(
    ("losses", "place"),
    [
        ([], (0, 0)),
        (FALLING[:4], (0, 0)),
        (FALLING[:5], (1, 5)),
        (FALLING[:8], None),
        ([0.5, 0.6], (0, 0)),
        ([0.5, 0.6, 0.6], (1, 3)),
        ([0.5, 0.6, 0.6, 0.6], (1, 3)),
        ([0.5, 0.6, 0.6, 0.6, 0.6], None),  # two that are no better than the best of the first part
        ([0.5, 0.6, 0.6, 0.6, 0.4, 0.5], None),  # three epochs are the most
    ],
)
def test_plan_place_follows_from_the_losses(losses: list[float], place: tuple[int, int] | None) -> None:
    assert plan(5, 3, 2).place(losses) == place


@pytest.mark.parametrize(
    ("epochs", "parts"), [(None, [60, 12]), (1, [1]), (2, [1, 1]), (6, [5, 1]), (36, [30, 6])]
)
def test_plan_shares_the_epochs_that_are_asked_for(epochs: int | None, parts: list[int]) -> None:
    assert [part.epochs for part in Plan.of(PHOTOS, epochs).parts] == parts
    assert Plan.of(PHOTOS, epochs).epochs == (epochs or 72)


def test_plan_of_random_weights_is_one_part_that_augments() -> None:
    (only,) = Plan.of(PHOTOS.starting_from("photos", None, "none"), None).parts
    assert only.augment is not None


def test_balance_has_every_class_count_the_same() -> None:
    labels = np.array([0] * 30 + [1] * 10 + [2] * 20)
    weights = balance(labels, 3)
    assert weights is not None
    np.testing.assert_allclose(np.bincount(labels, weights), [20, 20, 20])
    assert balance(np.arange(60) % 3, 3) is None
    assert balance(np.eye(9, 2, dtype=bool), 2) is None


def tiny_base(self: Weights, keras: Any, shape: tuple[int, int, int]) -> Any:
    layers = keras.layers
    chain = [keras.Input(shape), layers.Conv2D(6, 5, strides=4), layers.BatchNormalization(), layers.ReLU()]
    return keras.Sequential(chain, name="base")


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> recipe.Recipe:
    """The recipe `photos` with a base that trains in a moment, and few epochs."""
    monkeypatch.setattr(Weights, "network", tiny_base)
    tuning = Tuning(optimizer=lambda keras, _: keras.optimizers.Adam(0.003), epochs=3, patience=None)
    return dataclasses.replace(PHOTOS, epochs=3, patience=None, tuning=tuning)


@pytest.fixture(scope="module")
def colours() -> Dataset:
    """Three classes of unequal number, told apart by their tint."""
    random = np.random.default_rng(0)
    parts = {}
    for part, counts in (("train", (30, 12, 12)), ("test", (6, 6, 6))):
        y = np.repeat(np.arange(3), counts)
        x = random.integers(0, 90, (len(y), 24, 24, 3))
        x[np.arange(len(y)), ..., y] += 120
        parts |= {f"x_{part}": x.astype(np.uint8), f"y_{part}": y.astype(np.int64)}
    return Dataset(name="colours", source="colours.npz", labels=("red", "green", "blue"), **parts)


def weights_of(folder: Path) -> list[Any]:
    model = import_keras().saving.load_model(folder / "model.keras", compile=False)
    return [np.asarray(w) for w in model.get_weights()]


@pytest.mark.slow
def test_photos_train_a_frozen_base_and_then_all_but_batch_normalization(
    tiny: recipe.Recipe, colours: Dataset, tmp_path: Path
) -> None:
    said: list[str] = []
    found = train("photos", tiny, colours, Options(out=tmp_path / "out"), say=said.append)
    assert found is not None
    assert found.metrics["test_accuracy"] > 0.6
    assert (found.head, found.training["base"]) == ("softmax", "MobileNetV2")
    assert sum("all layers but BatchNormalization" in line for line in said) == 1
    assert found.training["best_epoch"] > 3
    model = import_keras().saving.load_model(tmp_path / "out" / "model.keras", compile=False)
    base = model.get_layer("base")
    norm = next(layer for layer in base.layers if "batch" in layer.name)
    assert [layer.trainable for layer in base.layers if layer.weights] == [True, False]
    np.testing.assert_array_equal(norm.moving_mean, np.zeros(6))


@pytest.mark.slow
def test_photos_whose_tuning_brings_nothing_are_those_of_the_first_part(
    tiny: recipe.Recipe, colours: Dataset, tmp_path: Path
) -> None:
    assert tiny.tuning is not None
    worse = dataclasses.replace(tiny.tuning, optimizer=lambda keras, _: keras.optimizers.SGD(-0.05))
    found = train("photos", dataclasses.replace(tiny, tuning=worse), colours, Options(out=tmp_path / "out"))
    assert found is not None
    assert found.training["best_epoch"] <= 3
    model = import_keras().saving.load_model(tmp_path / "out" / "model.keras", compile=False)
    assert not model.get_layer("base").trainable_weights


@pytest.mark.slow
@pytest.mark.long
def test_photos_that_were_cut_off_end_with_the_same_weights(
    tiny: recipe.Recipe, colours: Dataset, tmp_path: Path
) -> None:
    """Between both parts, and in the second; for the first, test_progress.py has it of a training of one."""
    whole = train("photos", tiny, colours, Options(out=tmp_path / "whole"))
    note = fit._Run.note_epoch
    for killed_after in (3, 5):
        out = tmp_path / f"cut {killed_after}"
        with pytest.raises(RuntimeError, match="killed"), pytest.MonkeyPatch.context() as patch:

            def stop(self: Any, *given: Any, most: int = killed_after) -> None:
                note(self, *given)
                if len(self.state.history) == most:
                    raise RuntimeError("killed")

            patch.setattr(fit._Run, "note_epoch", stop)
            train("photos", tiny, colours, Options(out=out))
        resumed = train("photos", tiny, colours, Options(out=out, resume=True))
        assert whole is not None and resumed is not None
        assert resumed.metrics == whole.metrics, killed_after
        for a, b in zip(weights_of(tmp_path / "whole"), weights_of(out), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_photos_with_random_weights_learn_at_once_and_save_what_they_learnt(
    tiny: recipe.Recipe, colours: Dataset, tmp_path: Path
) -> None:
    found = train(
        "photos", tiny, colours, Options(out=tmp_path / "out", weights="none", base="EfficientNetB0")
    )
    assert found is not None
    assert (found.input_range, found.weights, found.training["base"]) == ((0.0, 255.0), {}, "EfficientNetB0")
    assert Checkpoint.open(tmp_path / "out").input_range == (0.0, 255.0)


def test_unfreeze_reaches_nested_models() -> None:
    keras = import_keras()
    base = tiny_base(Weights(), keras, (24, 24, 3))
    base.trainable = False
    model = keras.Sequential([keras.Input((24, 24, 3)), base, keras.layers.Flatten(), keras.layers.Dense(2)])
    unfreeze(model)
    assert len(model.trainable_weights) == 4


def test_training_of_two_parts_takes_one_machine(colours: Dataset, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="leave out --strategy"):
        train(
            "photos", PHOTOS, colours, Options(out=tmp_path / "out", weights="none", strategy="multiworker")
        )


def test_validation_holds_out_no_duplicate_of_what_is_learnt(tmp_path: Path, album: Any) -> None:
    import shutil

    from edgewright.runtime.contract import InputContract
    from edgewright.train.checkpoint import split

    album(tmp_path)
    for i in range(10):
        shutil.copy(tmp_path / "cat" / f"{i}.png", tmp_path / "cat" / f"{i}-again.png")
    found = datasets.load(str(tmp_path), contract=InputContract(height=32, width=32, channels=3))
    assert found.origin is not None
    names = np.array(found.origin.train)
    for seed in range(5):
        learnt, held_out = split(found.y_train, 0.3, seed, found.groups)
        plain = {name.replace("-again", "") for name in names[learnt]}
        assert not plain & {name.replace("-again", "") for name in names[held_out]}
