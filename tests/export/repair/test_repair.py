"""Repair before refusal, on planted faults: what is tried and kept; a good file is left alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from edgewright.export import formats, variants
from edgewright.export.exporter import Options, export
from edgewright.export.formats import Remedy
from edgewright.export.network.network import Network
from edgewright.export.proof.limits import Limits
from edgewright.export.repair import evidence as seeing
from edgewright.export.repair import ladder as ladders
from edgewright.export.repair.evidence import Evidence, Seen
from edgewright.export.repair.ladder import Ladder
from edgewright.export.repair.task import Repair
from edgewright.export.source import repairing
from edgewright.export.source.repairing import apart, in_parts, repair_count
from edgewright.runtime import Bundle
from edgewright.runtime.contract.heads import Head
from edgewright.runtime.errors import ExportError, InputError
from edgewright.train.checkpoint import scale
from edgewright.train.datasets import Dataset

NetworkOf = Callable[[Path], Network]
MakeCheckpoint = Callable[..., Path]
TFLITE_FIRST = pytest.mark.parametrize("name", ["tflite", pytest.param("onnx", marks=pytest.mark.slow)])
ONNX_FIRST = pytest.mark.parametrize("name", [pytest.param("tflite", marks=pytest.mark.slow), "onnx"])
LOUD = (1, 4, 6)  # channels


@pytest.fixture(scope="module")
def sound(keras: Any, colour: Dataset) -> Any:
    """A convolutional network with a BatchNormalization that can be spoilt, trained for a moment."""
    layers = keras.layers
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input(colour.x_train.shape[1:]),
            layers.Conv2D(8, 3, use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Conv2D(8, 3, strides=2, activation="silu"),
            layers.MaxPooling2D(),
            layers.Rescaling(np.ones(_read(colour)).tolist()),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.005), "sparse_categorical_crossentropy")
    model.fit(scale(colour.x_train, (0.0, 1.0)), colour.y_train, epochs=5, verbose=0)
    return model


def _read(colour: Dataset) -> tuple[int, int, int]:
    """The shape of what the dense layer of `sound` reads."""
    height, width = (((size - 2 - 3) // 2 + 1) // 2 for size in colour.x_train.shape[1:3])
    return height, width, 8


def uneven(keras: Any, sound: Any) -> Any:
    """Three channels 400 times as large, and undone in the next layer."""
    model = keras.models.clone_model(sound)
    weights = [weight.copy() for weight in sound.get_weights()]
    weights[1][[*LOUD]] *= 400  # gamma, then beta
    weights[2][[*LOUD]] *= 400
    kernel = next(i for i, w in enumerate(weights) if w.shape == (3, 3, 8, 8))
    weights[kernel][:, :, [*LOUD]] /= 400
    model.set_weights(weights)
    return model


def outlying(keras: Any, sound: Any) -> Any:
    """As `uneven`, of single inputs of the dense layer, which no factor of a channel undoes."""
    places = next(layer for layer in sound.layers if isinstance(layer, keras.layers.Rescaling))
    factors = np.ones(np.shape(places.scale))
    factors.ravel()[[*LOUD]] = 400

    def with_factors(layer: Any) -> Any:
        if isinstance(layer, keras.layers.Rescaling):
            return keras.layers.Rescaling(factors.tolist())
        return type(layer).from_config(layer.get_config())

    model = keras.models.clone_model(sound, clone_function=with_factors)
    weights = [weight.copy() for weight in sound.get_weights()]
    dense = next(i for i, w in enumerate(weights) if w.ndim == 2)
    weights[dense] /= factors.reshape(-1, 1)
    model.set_weights(weights)
    return model


def evidence(network: Network, colour: Dataset) -> Evidence:
    images = colour.x_train[1000:1400]
    return Evidence(
        images=images,
        reference=network.scores(images),
        truth=colour.y_train[1000:1400],
        head=Head(kind="softmax", count=10),
        measure="accuracy",
        limits=Limits(),
    )


@pytest.fixture
def climb(make_checkpoint: MakeCheckpoint, network_of: NetworkOf, colour: Dataset, tmp_path: Path) -> Any:
    def call(model: Any, name: str) -> tuple[Ladder, Network]:
        network = network_of(make_checkpoint(model, colour))
        few = colour.x_train[:100]
        shown = evidence(network, colour)
        return Ladder(formats.get(name), "int8", network, few, few, shown, tmp_path), network

    return call


@pytest.mark.slow
@ONNX_FIRST
def test_repair_leaves_a_good_file_as_it_is_to_the_byte(
    climb: Any, sound: Any, name: str, colour: Dataset, tmp_path: Path
) -> None:
    ladder, network = climb(sound, name)
    repaired, plain = tmp_path / "repaired", tmp_path / "plain"
    repaired, plain = (path.with_suffix(formats.get(name).suffix) for path in (repaired, plain))
    conversion = ladder.integer(repaired)
    formats.get(name).export(network, "int8", colour.x_train[:100], plain)
    assert repaired.read_bytes() == plain.read_bytes()
    assert [rung["rung"] for rung in conversion.chosen["repair"]["rungs"]] == [ladders.PLAIN]
    assert not ladder.needs_floats


@ONNX_FIRST
def test_repair_equalizes_what_collapsed_and_frees_nothing(
    climb: Any, keras: Any, sound: Any, name: str, colour: Dataset, tmp_path: Path
) -> None:
    ladder, network = climb(uneven(keras, sound), name)
    path = tmp_path / f"int8{formats.get(name).suffix}"
    chosen = ladder.integer(path).chosen
    plain, equalized = chosen["repair"]["rungs"]
    assert plain["drop"] > 0.2
    assert (equalized["rung"], equalized["kept"]) == (ladders.EQUALIZED, True)
    assert not ladder.needs_floats
    assert evidence(network, colour).look(path).drop <= 0.005
    assert not any(path.parent.glob("trial*"))


@pytest.mark.slow
@TFLITE_FIRST
def test_repair_rounds_weights_anew_closer_on_other_images_and_moves_no_scale(
    climb: Any, sound: Any, name: str, colour: Dataset, tmp_path: Path
) -> None:
    _, network = climb(sound, name)
    shown, chosen = evidence(network, colour), formats.get(name)
    make = chosen.schemes["int8"].quantizer
    assert make is not None
    quantizer = make(network, colour.x_train[:400])
    write = cast(formats.Mendable, chosen).write
    made: list[tuple[float, int, dict[str, Any]]] = []
    for rounded in (False, True):
        path = tmp_path / f"{rounded}{chosen.suffix}"
        converted = quantizer.model(Remedy(rounded=rounded))
        write(network, "int8", converted, path)
        made.append((shown.look(path).error, path.stat().st_size, converted[1]))
    (plain, size, note), (closer, same, said) = made
    assert closer < plain
    assert abs(same - size) < 0.01 * size
    assert "rounding" not in note
    assert said["rounding"].startswith("of 4 layers")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tflite", pytest.param("onnx", marks=pytest.mark.long)])
def test_repair_frees_few_operators_where_equalization_does_not_reach(
    climb: Any, keras: Any, sound: Any, name: str, colour: Dataset, tmp_path: Path
) -> None:
    ladder, network = climb(outlying(keras, sound), name)
    path = tmp_path / f"int8{formats.get(name).suffix}"
    ladder.integer(path)
    assert ladder.needs_floats
    chosen = ladder.mixed(path).chosen
    last = [rung for rung in chosen["repair"]["rungs"] if rung["kept"]][-1]
    assert last["rung"] in (ladders.FREED, ladders.LAST_DENSE, ladders.ROUNDED, ladders.TAKEN_BACK)
    assert 1 <= last["freed"] <= 2
    assert 0.5 < chosen["multiplications_in_8_bits"] < 1
    assert evidence(network, colour).look(path).drop <= 0.005


@pytest.mark.slow
def test_repair_says_so_where_nothing_helps(
    climb: Any, sound: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ladder, _ = climb(sound, "onnx")
    monkeypatch.setattr(Evidence, "shows_loss", lambda *_: True)
    monkeypatch.setattr(Evidence, "holds", lambda *_: False)
    path = tmp_path / "int8.onnx"
    rungs = ladder.integer(path).chosen["repair"]["rungs"]
    tried = [ladders.PLAIN, ladders.EQUALIZED, ladders.RANGES, ladders.ROUNDED]
    assert [rung["rung"] for rung in rungs] == tried
    with pytest.raises(ExportError, match=r"half of its layers in float32 .* take float16 or float32"):
        ladder.mixed(path)


def test_repair_that_fails_leaves_the_plain_file_and_says_why(
    climb: Any, sound: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ladder, _ = climb(sound, "onnx")
    monkeypatch.setattr(Evidence, "shows_loss", lambda *_: True)
    monkeypatch.setattr(Ladder, "_try", lambda *_: {}["what a converter raises"])
    path = tmp_path / "int8.onnx"
    repair = ladder.integer(path).chosen["repair"]
    assert path.stat().st_size > 1000
    assert repair["failed"] == "KeyError: 'what a converter raises'"
    assert [rung["kept"] for rung in repair["rungs"]] == [True]
    assert ladder.began and not ladder.needs_floats


def test_repair_evidence_wants_a_margin_of_what_is_repaired_and_proof_of_loss_before_it_begins() -> None:
    shown = Evidence(
        images=np.zeros((1000, 2, 2, 1), np.uint8),
        reference=np.zeros((1000, 10), np.float32),
        truth=np.zeros(1000, np.int64),
        head=Head(kind="softmax", count=10),
        measure="accuracy",
        limits=Limits(),
    )

    def seen(drop: float, low: float, agreement: float = 0.99) -> Seen:
        return Seen(drop=drop, low=low, agreement=agreement, error=1.0)

    assert shown.shows_loss(seen(0.02, 0.005))
    assert not shown.shows_loss(seen(0.02, -0.001)) and not shown.shows_loss(seen(0.009, 0.005))
    assert shown.holds(seen(0.004, 0.0)) and not shown.holds(seen(0.008, 0.0))
    assert not shown.holds(seen(-0.02, -0.03, agreement=0.9))  # right by other mistakes
    unlabelled = dataclasses.replace(shown, truth=None, measure="agreement")
    assert not unlabelled.shows_loss(seen(0.04, 0.03)) and unlabelled.shows_loss(seen(0.06, 0.05))
    assert seen(0, 0).closer_than(Seen(drop=0, low=0, agreement=1, error=1.1))
    assert not seen(0, 0).closer_than(Seen(drop=0, low=0, agreement=1, error=1.01))


def test_repair_sees_a_class_that_is_lost_behind_a_drop_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    truth = np.repeat(np.arange(10), 100)
    reference = np.eye(10, dtype=np.float32)[truth] * 0.8 + 0.02
    scores = reference.copy()
    scores[:40] = np.roll(scores[:40], 1, axis=1)  # the file has lost 40 of class 0 ...
    reference[100:140] = np.roll(reference[100:140], 1, axis=1)  # ... and won 40 of class 1
    shown = Evidence(
        images=np.zeros((1000, 2, 2, 1), np.uint8),
        reference=reference,
        truth=truth,
        head=Head(kind="softmax", count=10),
        measure="accuracy",
        limits=Limits(),
    )
    monkeypatch.setattr(seeing, "_scores", lambda path, images: [scores])
    seen = shown.look(Path("int8.tflite"))
    assert seen.drop == 0
    assert shown.shows_loss(seen) and not shown.holds(seen)


def test_repair_images_neither_calibrate_nor_judge_and_are_few_of_large_ones(colour: Dataset) -> None:
    options, test = Options(out="out"), colour.x_test
    calibration, taken = colour.x_train[:50], np.arange(50, 2000)
    both = colour.x_train.copy()
    both[60], both[70] = test[3], calibration[5]
    found = repairing.beside(calibration, test, both, colour.y_train, taken, options, "accuracy", "train")
    assert found is not None and found.truth is not None
    assert apart(found.images, calibration, test).all()
    assert 900 < len(found.images) <= 1000 and len(found.truth) == len(found.images)
    assert np.array_equal(found.calibrating, np.arange(50))
    assert (repair_count(32, 32), repair_count(224, 224)) == (1000, 256)


def test_repair_takes_one_in_four_that_calibrate_where_there_are_no_others(colour: Dataset) -> None:
    options, none = Options(out="out"), np.arange(0)
    few = colour.x_train[:40]
    found = repairing.beside(few, colour.x_test, few, colour.y_train, none, options, "accuracy", "mine")
    assert found is not None and found.truth is None
    assert found.measure == "agreement" and found.split == "one in four of the calibration images (mine)"
    assert len(found.images) == 10 and len(found.calibrating) == 30
    assert apart(found.images, few[found.calibrating]).all()
    assert repairing.of_calibration(few[:20], options, "accuracy", "mine") is None
    shown, rest = in_parts(few)
    assert sorted([*shown, *rest]) == [*range(40)]


@pytest.mark.parametrize("labelled", [True, False])
def test_repair_task_comes_back_from_disk_as_it_went(labelled: bool, tmp_path: Path, colour: Dataset) -> None:
    task = Repair(
        images=colour.x_train[:5],
        truth=colour.y_train[:5] if labelled else None,
        measure="accuracy",
        limits=Limits(max_drop=0.02),
        split="train",
        calibrating=np.arange(3),
    )
    task.save(tmp_path / "repair.npz")
    again = Repair.read(tmp_path / "repair.npz", task.settings())
    assert again.key() == task.key()
    assert (again.truth is None) == (not labelled)
    assert dataclasses.replace(task, limits=Limits()).key() != task.key()


def test_export_refuses_a_mixed_file_without_repair(trained: Path, tmp_path: Path) -> None:
    options = Options(out=tmp_path / "out", variants="tflite-int8-mixed", repair=False)
    with pytest.raises(InputError, match="expected --repair with tflite-int8-mixed"):
        export(trained, options)


@pytest.mark.slow
def test_export_writes_a_mixed_file_where_8_bits_alone_are_refused_and_says_which(
    keras: Any, sound: Any, colour: Dataset, make_checkpoint: MakeCheckpoint, tmp_path: Path
) -> None:
    spoilt = make_checkpoint(outlying(keras, sound), colour)
    out = tmp_path / "bundle"
    asked = Options(out=out, variants="onnx-int8", max_drop=0.05, calibration_size=100)
    refused, mixed = export(spoilt, asked).outcomes
    assert (refused.name, refused.passed, mixed.name, mixed.passed) == (
        "onnx-int8",
        False,
        "onnx-int8-mixed",
        True,
    )
    assert refused.reason.endswith("; see onnx-int8-mixed")
    manifest = Bundle.open(out).manifest
    assert manifest.calibration["repair"] == {"split": "train", "images": 1000, "labelled": True}
    (entry,) = manifest.variants
    assert entry.scheme == "int8-mixed"
    rungs = entry.conversion["chosen"]["repair"]["rungs"]
    assert rungs[0]["rung"] == ladders.PLAIN and rungs[-1]["kept"]
    (alone,) = export(spoilt, dataclasses.replace(asked, repair=False, overwrite=True)).outcomes
    assert (alone.name, alone.passed) == ("onnx-int8", False)


@pytest.mark.slow
def test_export_asked_for_a_mixed_file_that_is_not_needed_says_so(trained: Path, tmp_path: Path) -> None:
    options = Options(out=tmp_path / "out", variants="onnx-int8-mixed,onnx-float32", calibration_size=40)
    for _ in range(2):  # made, then found
        mixed, plain = export(trained, dataclasses.replace(options, overwrite=True)).outcomes
        assert plain.passed and not mixed.passed and "not needed" in mixed.reason
    assert [v.name for v in variants.with_mixed(variants.parse("onnx-int8-mixed"))] == ["onnx-int8-mixed"]
