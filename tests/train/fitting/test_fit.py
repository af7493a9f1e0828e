"""Training: writes what it promises, whole or not at all, and the same again from the same seed."""

from __future__ import annotations

import csv
import dataclasses
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from edgewright.runtime.errors import DataError, EdgewrightError, OutputError
from edgewright.train import recipe
from edgewright.train.checkpoint import Checkpoint, scale, split
from edgewright.train.datasets import Dataset
from edgewright.train.fitting.fit import Options, head_of, train
from edgewright.train.recipe import Recipe
from edgewright.train.stack import import_keras

PICTURES = {"accuracy.png", "loss.png", "f1.png", "confusion.png", "mistakes.png"}
FIGURES = {"checkpoint.json", "history.csv", "evaluation.json", "classes.csv", "confusion.csv"}
FILES = {"model.keras", "model.h5"} | PICTURES | FIGURES


@pytest.fixture(scope="module")
def few(fashion_mini: Dataset) -> Dataset:
    """600 training and 200 test images: enough to train for a moment."""
    return Dataset(
        name="few",
        source="few.npz",
        x_train=fashion_mini.x_train[:600],
        y_train=fashion_mini.y_train[:600],
        x_test=fashion_mini.x_test[:200],
        y_test=fashion_mini.y_test[:200],
        labels=fashion_mini.labels,
    )


def short(**changes: Any) -> Recipe:
    """The recipe of fashion-mlp, one epoch of it, with changes."""
    return dataclasses.replace(recipe.get("fashion-mlp"), epochs=1, **changes)


def test_train_writes_the_files_it_promises_and_no_other(trained: Path) -> None:
    assert {path.name for path in trained.iterdir()} == FILES
    assert [path.name for path in trained.parent.iterdir()] == [trained.name]


def test_train_learns_fashion_mini_to_the_promised_accuracy(trained: Path) -> None:
    assert Checkpoint.open(trained).metrics["test_accuracy"] > 0.82


def test_train_writes_model_keras_and_h5_that_predict_what_the_checkpoint_says(
    trained: Path, fashion_mini: Dataset
) -> None:
    keras = import_keras()
    checkpoint = Checkpoint.open(trained)
    x = scale(fashion_mini.x_test, checkpoint.input_range)
    scores = [
        keras.saving.load_model(trained / name, compile=False).predict(x, verbose=0)
        for name in ("model.keras", "model.h5")
    ]
    np.testing.assert_allclose(scores[0], scores[1], atol=1e-6)
    accuracy = float(np.mean(scores[0].argmax(1) == fashion_mini.y_test))
    assert accuracy == checkpoint.metrics["test_accuracy"]


def test_train_keeps_no_optimizer_state(trained: Path, tmp_path: Path) -> None:
    import h5py

    with zipfile.ZipFile(trained / "model.keras") as archive:
        archive.extract("model.weights.h5", tmp_path)
    for path in (tmp_path / "model.weights.h5", trained / "model.h5"):
        names: list[str] = []
        numbers = 0
        with h5py.File(path) as file:
            file.visit(names.append)
            numbers = sum(file[name].size for name in names if isinstance(file[name], h5py.Dataset))
        assert not [name for name in names if "optimizer" in name]
        assert numbers == 203_530


def test_history_csv_has_a_row_an_epoch_and_the_best_is_kept(trained: Path) -> None:
    with (trained / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    checkpoint = Checkpoint.open(trained)
    assert [int(row["epoch"]) for row in rows] == list(range(1, checkpoint.training["epochs"] + 1))
    assert set(rows[0]) == {"epoch", "accuracy", "loss"} | {
        f"val_{name}" for name in ("accuracy", "loss", "f1", "precision", "recall")
    }
    best = min(rows, key=lambda row: float(row["val_loss"]))
    assert int(best["epoch"]) == checkpoint.training["best_epoch"]
    assert float(best["val_loss"]) == pytest.approx(checkpoint.metrics["validation_loss"], abs=1e-6)
    assert float(best["val_accuracy"]) == pytest.approx(checkpoint.metrics["validation_accuracy"], abs=1e-6)


def test_train_keeps_the_weights_of_the_best_epoch(trained: Path, fashion_mini: Dataset) -> None:
    checkpoint = Checkpoint.open(trained)
    assert checkpoint.training["best_epoch"] < checkpoint.training["epochs"]
    _, held_out = split(fashion_mini.y_train, checkpoint.validation, checkpoint.seed)
    x = scale(fashion_mini.x_train[held_out], checkpoint.input_range)
    model = import_keras().saving.load_model(trained / "model.keras", compile=False)
    right = model.predict(x, verbose=0)[np.arange(len(x)), fashion_mini.y_train[held_out]]
    losses = -np.log(np.maximum(right, 1e-7))  # as Keras clips
    assert losses.mean() == pytest.approx(checkpoint.metrics["validation_loss"], rel=1e-3)


def test_training_curves_are_pictures(trained: Path) -> None:
    for name in ("accuracy.png", "loss.png", "f1.png"):
        with Image.open(trained / name) as picture:
            picture.load()
            assert picture.size == (840, 504)
            assert picture.convert("L").getextrema() == (0, 255)


def weights_of(folder: Path) -> list[NDArray[np.float32]]:
    found: list[NDArray[np.float32]] = (
        import_keras().saving.load_model(folder / "model.keras", compile=False).get_weights()
    )
    return found


@pytest.mark.slow
def test_train_with_the_same_seed_gives_the_same_weights_in_fresh_processes(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "edgewright.runtime", "train", "fashion-mlp"]
    command += ["--epochs", "1", "--seed", "5", "--out"]
    outs = [tmp_path / "a", tmp_path / "b"]
    children = [subprocess.Popen([*command, str(out)], stdout=subprocess.DEVNULL) for out in outs]
    assert [child.wait() for child in children] == [0, 0]
    first, second = map(weights_of, outs)
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.slow
def test_train_with_another_seed_gives_other_weights(tmp_path: Path, few: Dataset) -> None:
    for seed in (5, 6):
        train("fashion-mlp", short(), few, Options(out=tmp_path / str(seed), seed=seed))
    assert not np.array_equal(weights_of(tmp_path / "5")[0], weights_of(tmp_path / "6")[0])


def test_train_leaves_a_taken_out_folder_alone(tmp_path: Path, few: Dataset) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.txt").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(OutputError, match=r"mine\.txt"):
            train("fashion-mlp", short(), few, Options(out=tmp_path / "out", overwrite=overwrite))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]


@pytest.mark.slow
def test_train_overwrite_replaces_the_whole_checkpoint(checkpoint: Path, few: Dataset) -> None:
    train("fashion-mlp", short(), few, Options(out=checkpoint, overwrite=True))
    assert Checkpoint.open(checkpoint).data.name == "few"
    assert {path.name for path in checkpoint.iterdir()} == FILES


def test_train_that_fails_midway_leaves_the_old_checkpoint_and_nothing_else(
    checkpoint: Path, few: Dataset
) -> None:
    def optimizer(keras: Any, _: int) -> Any:
        class Failing(keras.optimizers.Adam):  # type: ignore[misc]
            def update_step(self, *_: Any) -> None:
                raise RuntimeError("out of memory")

        return Failing()

    before = {path.name: path.read_bytes() for path in checkpoint.iterdir()}
    with pytest.raises(RuntimeError, match="out of memory"):
        train("fashion-mlp", short(optimizer=optimizer), few, Options(out=checkpoint, overwrite=True))
    assert {path.name: path.read_bytes() for path in checkpoint.iterdir()} == before
    assert list(checkpoint.parent.iterdir()) == [checkpoint]


def test_train_that_diverges_ends_in_one_line_and_writes_nothing(tmp_path: Path, few: Dataset) -> None:
    wild = short(optimizer=lambda keras, _: keras.optimizers.SGD(1e30))
    with pytest.raises(EdgewrightError, match=r"NaN|finite|diverge"):
        train("fashion-mlp", wild, few, Options(out=tmp_path / "out"))
    assert list(tmp_path.iterdir()) == []


def test_train_names_a_class_of_too_few_images_for_a_validation_split(tmp_path: Path, few: Dataset) -> None:
    labels = few.y_train.copy()
    labels[labels == 9] = 0
    labels[0] = 9
    lonely = dataclasses.replace(few, y_train=labels)
    with pytest.raises(DataError, match="validation images of few"):
        train("fashion-mlp", short(), lonely, Options(out=tmp_path / "out"))
    assert list(tmp_path.iterdir()) == []


def linear(activation: str | None) -> Any:
    def build(keras: Any, shape: tuple[int, int, int], classes: int) -> Any:
        layers = [keras.Input(shape), keras.layers.Flatten(), keras.layers.Dense(classes, activation)]
        return keras.Sequential(layers)

    return build


@pytest.mark.slow
def test_train_with_a_logits_head_is_by_their_softmax(tmp_path: Path, few: Dataset) -> None:
    losses = {}
    for head, activation in (("softmax", "softmax"), ("logits", None)):
        found = train(head, short(build=linear(activation)), few, Options(out=tmp_path / head, epochs=3))
        assert found.head == head
        losses[head] = found.metrics["validation_loss"]
    assert losses["logits"] == pytest.approx(losses["softmax"], rel=0.02)


def test_head_of_reads_softmax_or_logits_off_the_last_layer() -> None:
    keras = import_keras()
    dense = keras.layers.Dense
    assert head_of(keras.Sequential([keras.Input((2,)), dense(3, activation="softmax")])) == "softmax"
    assert head_of(keras.Sequential([keras.Input((2,)), dense(3), keras.layers.Softmax()])) == "softmax"
    assert head_of(keras.Sequential([keras.Input((2,)), dense(3)])) == "logits"
