"""Heads beside the softmax: one sigmoid for two classes, and one for each of several labels."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewright.runtime.contract.heads import Head
from edgewright.runtime.errors import InputError
from edgewright.train import datasets, recipe
from edgewright.train.checkpoint import Checkpoint, scale
from edgewright.train.datasets import Dataset
from edgewright.train.fitting.fit import Options, train
from edgewright.train.fitting.heads import head_of
from edgewright.train.recipe import Recipe
from edgewright.train.stack import import_keras

KINDS = {"sigmoid": "sigmoid", None: "sigmoid-logits"}


def coloured(names: tuple[str, ...], *, several: bool) -> Dataset:
    """Grey noise to which each label adds its channel; of two classes one is the red."""
    random = np.random.default_rng(0)
    arrays: dict[str, Any] = {}
    for part, count in (("train", 300), ("test", 80)):
        flags = random.random((count, len(names))) < (0.6, 0.3, 0.2)[: len(names)]
        x = (
            random.integers(0, 60, (count, 8, 8, 3))
            + 150 * np.pad(flags, ((0, 0), (0, 3 - len(names))))[:, None, None]
        )
        arrays[f"x_{part}"] = x.astype(np.uint8)
        arrays[f"y_{part}"] = flags if several else flags[:, 0].astype(np.int64)
    labels = names if several else ("dull", "red")
    return Dataset(name="coloured", source="coloured.npz", labels=labels, **arrays)


def ends_in(scores: int, activation: str | None) -> Recipe:
    def build(keras: Any, shape: tuple[int, int, int], classes: int) -> Any:
        layers = [keras.Input(shape), keras.layers.Flatten(), keras.layers.Dense(scores, activation)]
        return keras.Sequential(layers)

    return dataclasses.replace(recipe.get("fashion-mlp"), build=build, epochs=6, batch_size=16)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("activation", "features"),
    [
        ("sigmoid", True),
        pytest.param("sigmoid", False, marks=pytest.mark.slow),
        pytest.param(None, True, marks=pytest.mark.slow),
        (None, False),
    ],
)
def test_one_sigmoid_tells_two_classes_apart(tmp_path: Path, activation: str | None, features: bool) -> None:
    data = coloured(("red",), several=False)
    found = train("mine", ends_in(1, activation), data, Options(out=tmp_path / "out", features=features))
    assert found is not None
    assert found.head == KINDS[activation]
    assert found.labels == ("dull", "red")
    assert found.metrics["test_accuracy"] > 0.95
    assert found.metrics["train_accuracy"] > 0.8
    model = import_keras().saving.load_model(tmp_path / "out" / "model.keras", compile=False)
    scores = np.asarray(model(scale(data.x_test, (0.0, 1.0))))
    decided = Head(kind=found.head, count=1).decisions(scores)
    assert float((decided == data.y_test).mean()) == found.metrics["test_accuracy"]
    matrix = json.loads((tmp_path / "out" / "evaluation.json").read_text())["confusion"]
    assert np.sum(matrix) == 80
    assert Checkpoint.open(tmp_path / "out") == found


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["sigmoid", pytest.param(None, marks=pytest.mark.slow)])
def test_sigmoids_tell_several_labels_apart(tmp_path: Path, activation: str | None) -> None:
    data = coloured(("red", "green", "blue"), several=True)
    found = train("mine", ends_in(3, activation), data, Options(out=tmp_path / "out"))
    assert found is not None
    assert (found.head, found.threshold) == (KINDS[activation], 0.5)
    assert {f"test_{key}" for key in ("accuracy", "exact", "auc", "f1", "loss")} <= {*found.metrics}
    assert found.metrics["test_auc"] > 0.95
    assert found.metrics["test_accuracy"] > 0.85
    assert found.metrics["train_accuracy"] > 0.8
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"classes.csv", "mistakes.png"} <= written
    assert not {"confusion.csv", "confusion.png"} & written
    with (tmp_path / "out" / "classes.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["label"] for row in rows] == ["red", "green", "blue"]
    assert [int(row["images"]) for row in rows] == data.y_test.sum(axis=0).tolist()
    assert Checkpoint.open(tmp_path / "out") == found


@pytest.mark.parametrize(
    ("scores", "activation", "several", "message"),
    [
        (3, "softmax", True, "sigmoid a label.*train photos"),
        (3, "sigmoid", False, "end in a softmax"),
        (1, "softmax", False, "a softmax of one score"),
        (1, "sigmoid", True, r"\(None, 3\), got .* \(None, 1\)"),
    ],
)
def test_head_that_does_not_suit_the_labels_is_refused(
    tmp_path: Path, scores: int, activation: str, several: bool, message: str
) -> None:
    data = coloured(("red", "green", "blue"), several=several)
    if scores == 3 and not several:
        data = dataclasses.replace(data, labels=("a", "b", "c"))
    with pytest.raises(InputError, match=message):
        train("mine", ends_in(scores, activation), data, Options(out=tmp_path / "out"))
    assert list(tmp_path.iterdir()) == []


def test_head_of_reads_sigmoids_off_the_last_layer() -> None:
    keras = import_keras()

    def of(count: int, activation: str | None, several: bool = False) -> str:
        layers = [keras.Input((2,)), keras.layers.Dense(count, activation=activation)]
        return head_of(keras.Sequential(layers), several=several)

    assert (of(1, "sigmoid"), of(4, "sigmoid", True)) == ("sigmoid", "sigmoid")
    assert (of(1, None), of(4, None, True), of(4, None)) == ("sigmoid-logits", "sigmoid-logits", "logits")


@pytest.mark.parametrize(
    ("classes", "several", "ends"),
    [(2, False, (1, "sigmoid")), (5, False, (5, "softmax")), (2, True, (2, "sigmoid"))],
)
def test_photos_end_in_the_head_that_the_data_asks_for(
    tmp_path: Path, classes: int, several: bool, ends: tuple[int, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def build(keras: Any, shape: Any, scores: int, weights: Any, activation: str) -> Any:
        asked.append((scores, activation))
        raise RuntimeError("enough")

    y = np.arange(40) % classes if not several else np.random.default_rng(0).random((40, classes)) < 0.5
    x = np.zeros((40, 8, 8, 3), np.uint8)
    data = Dataset(
        name="d", source="d", x_train=x, y_train=y, x_test=x, y_test=y, labels=tuple("abcde"[:classes])
    )
    mine = dataclasses.replace(recipe.get("photos"), build=build)
    with pytest.raises(InputError, match="enough"):
        train("photos", mine, data, Options(out=tmp_path / "out", weights="none"))
    assert asked == [ends]


@pytest.mark.slow
@pytest.mark.parametrize("several", [pytest.param(False, marks=pytest.mark.long), True])
def test_checkpoints_of_sigmoids_are_exported(tmp_path: Path, several: bool) -> None:
    from edgewright.export.exporter import Options as ExportOptions
    from edgewright.export.exporter import export

    names = ("red", "green", "blue") if several else ("red",)
    data = coloured(names, several=several)
    arrays = {key: getattr(data, key) for key in ("x_train", "y_train", "x_test", "y_test")}
    np.savez(tmp_path / "coloured.npz", **arrays, labels=np.array(data.labels))
    data = datasets.load(str(tmp_path / "coloured.npz"))
    train("fashion-mlp", ends_in(len(names), "sigmoid"), data, Options(out=tmp_path / "checkpoint"))
    options = ExportOptions(out=tmp_path / "bundle", variants=("tflite-int8", "onnx-float32"), max_drop=0.2)
    result = export(tmp_path / "checkpoint", options)
    assert [outcome.passed for outcome in result.outcomes] == [True, True]
