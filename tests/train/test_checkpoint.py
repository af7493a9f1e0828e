"""The checkpoint: what is written is read back, and a broken one is refused before any work."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewright.runtime.errors import CheckpointError
from edgewright.train.checkpoint import CHECKPOINT, MODEL, Checkpoint, DataRecord, scale, split
from edgewright.train.datasets import Dataset


def edit(folder: Path, **changes: Any) -> None:
    """Set keys of `checkpoint.json`; `...` takes a key out."""
    path = folder / CHECKPOINT
    data = {**json.loads(path.read_bytes()), **changes}
    path.write_text(json.dumps({key: value for key, value in data.items() if value is not ...}))


def test_checkpoint_json_that_is_written_is_read_back(checkpoint: Path) -> None:
    found = Checkpoint.open(checkpoint)
    (checkpoint / CHECKPOINT).write_bytes(found.to_bytes())
    assert Checkpoint.open(checkpoint) == found


def test_checkpoint_json_says_what_the_model_takes_gives_and_has_seen(
    trained: Path, fashion_mini: Dataset
) -> None:
    found = Checkpoint.open(trained)
    assert found.recipe == "fashion-mlp"
    assert found.labels == fashion_mini.labels
    assert found.input.shape == (28, 28, 1)
    assert (found.input_range, found.head) == ((0.0, 1.0), "softmax")
    assert found.data == DataRecord.of(fashion_mini)
    assert (found.validation, found.seed) == (0.1, 0)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        pytest.param({"labels": ...}, "labels", id="no labels"),
        pytest.param({"labels": []}, "at least two labels", id="empty labels"),
        pytest.param({"labels": "0123456789"}, "labels", id="labels in one string"),
        pytest.param({"labels": [1, 2, 3]}, "labels", id="labels that are numbers"),
        pytest.param({"schema_version": 2}, "newer edgewright", id="newer schema"),
        pytest.param({"schema_version": ...}, "schema_version", id="no schema"),
        pytest.param({"input_range": [0.0]}, "two rising numbers", id="half a range"),
        pytest.param({"input_range": [1.0, 0.0]}, "two rising numbers", id="falling range"),
        pytest.param({"input_range": [0.0, float("nan")]}, "two rising numbers", id="NaN in the range"),
        pytest.param({"input_range": [0.0, float("inf")]}, "input_range", id="endless range"),
        pytest.param({"head": "tanh"}, "softmax, logits", id="unknown head"),
        pytest.param({"head": "embedding"}, "labels", id="a head without labels"),
        pytest.param({"head": "sigmoid", "threshold": 1.5}, "threshold", id="a threshold above all"),
        pytest.param({"input": {"height": 28}}, "width", id="half an input"),
        pytest.param({"data": {}}, "name", id="no data"),
        pytest.param({"validation": float("nan")}, "finite number", id="NaN validation"),
        pytest.param({"validation": 0.0}, "validation", id="nothing held out"),
        pytest.param({"validation": 1.5}, "validation", id="more than all held out"),
        pytest.param({"seed": -1}, "seed", id="negative seed"),
        pytest.param({"seed": 2**40}, "seed", id="seed out of range"),
        pytest.param({"model_sha256": "0" * 64}, "train it again", id="another model's hash"),
    ],
)
def test_checkpoint_json_that_makes_no_sense_is_refused(
    checkpoint: Path, changes: dict[str, Any], says: str
) -> None:
    edit(checkpoint, **changes)
    with pytest.raises(CheckpointError, match=says) as refused:
        Checkpoint.open(checkpoint)
    assert "\n" not in str(refused.value)


def test_checkpoint_with_a_changed_model_keras_is_refused(checkpoint: Path) -> None:
    raw = bytearray((checkpoint / MODEL).read_bytes())
    raw[len(raw) // 2] ^= 1
    (checkpoint / MODEL).write_bytes(raw)
    with pytest.raises(CheckpointError, match=r"model\.keras is not the model"):
        Checkpoint.open(checkpoint)


def test_checkpoint_without_its_model_keras_names_it(checkpoint: Path) -> None:
    (checkpoint / MODEL).unlink()
    with pytest.raises(CheckpointError, match=r"expected model\.keras in"):
        Checkpoint.open(checkpoint)


@pytest.mark.parametrize("raw", [b"", b"no json", b"[]", b"\xff\xfe", b"{}"])
def test_checkpoint_json_that_is_no_checkpoint_is_refused(checkpoint: Path, raw: bytes) -> None:
    (checkpoint / CHECKPOINT).write_bytes(raw)
    with pytest.raises(CheckpointError, match=r"checkpoint\.json"):
        Checkpoint.open(checkpoint)


def test_checkpoint_open_tells_a_folder_without_checkpoint_json_from_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"without checkpoint\.json"):
        Checkpoint.open(tmp_path)
    with pytest.raises(CheckpointError, match="which is no folder"):
        Checkpoint.open(tmp_path / "nowhere")


def test_checkpoint_json_never_holds_metrics_that_are_not_finite(trained: Path) -> None:
    found = dataclasses.replace(Checkpoint.open(trained), metrics={"test_accuracy": float("nan")})
    with pytest.raises(ValueError, match="JSON"):
        found.to_bytes()


def test_validation_split_is_stratified_and_comes_out_the_same_again(fashion_mini: Dataset) -> None:
    labels = fashion_mini.y_train
    train, held_out = split(labels, 0.1, seed=7)
    assert np.bincount(labels[held_out]).tolist() == [100] * 10
    assert np.array_equal(np.sort(np.concatenate([train, held_out])), np.arange(len(labels)))
    again = split(labels, 0.1, seed=7)
    assert np.array_equal(train, again[0])
    assert np.array_equal(held_out, again[1])
    assert not np.array_equal(held_out, split(labels, 0.1, seed=8)[1])


@pytest.mark.parametrize("ends", [(0.0, 1.0), (-1.0, 1.0), (0.0, 255.0), (-0.5, 0.5)])
def test_scale_brings_black_and_white_to_the_ends_of_the_input_range(ends: tuple[float, float]) -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    scaled = scale(pixels, ends)
    assert scaled.dtype == np.float32
    exact = ends[0] + pixels.astype(np.float64) * (ends[1] - ends[0]) / 255
    np.testing.assert_allclose(scaled, exact, atol=1e-6 * (ends[1] - ends[0]))
