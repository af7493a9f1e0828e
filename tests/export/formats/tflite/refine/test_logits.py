"""Narrowing the logits: finer steps where the softmax can see them, and never coarser ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from edgewright.export.formats import Context
from edgewright.export.formats.tflite import tree as tflite_tree
from edgewright.export.formats.tflite.refine import logits
from edgewright.export.network.network import Network
from edgewright.train.datasets import Dataset, Images

NetworkOf = Callable[[Path], Network]
MakeCheckpoint = Callable[..., Path]
Converted = Callable[[Network, Images], tuple[bytes, bytes]]
Score = Callable[[Path, Images], NDArray[np.float32]]


def steps(raw: bytes) -> float:
    """The scale of what the softmax reads."""
    tree = tflite_tree.read(raw)
    last = next(op for op in tflite_tree.operators(tree) if op.name == "SOFTMAX")
    return tflite_tree.quantization(tree, last.inputs[0])[0]


def ends(raw: bytes) -> tuple[float, float]:
    """The least and the largest logit that the file can say."""
    tree = tflite_tree.read(raw)
    last = next(op for op in tflite_tree.operators(tree) if op.name == "SOFTMAX")
    scale, zero_point = tflite_tree.quantization(tree, last.inputs[0])
    return (-128 - zero_point) * scale, (127 - zero_point) * scale


def narrowed_by(quantized: bytes, float32: bytes, calibration: Images) -> tuple[bytes, str] | None:
    """The file with its logits narrowed, and what was said of it; None if it was left as it is."""
    tree = tflite_tree.read(quantized)
    before = tflite_tree.write(tree)
    network = cast(Any, None)  # the refinement does not look at it
    twin = (float32, tflite_tree.read(float32))
    said = logits.refine(tree, Context(network=network, float32=twin, calibration=calibration))
    assert said is not None or tflite_tree.write(tree) == before
    return (tflite_tree.write(tree), said) if said else None


@pytest.fixture(scope="module")
def both(
    network_of: NetworkOf, converted: Converted, trained: Path, fashion_mini: Dataset
) -> tuple[bytes, bytes]:
    return converted(network_of(trained), fashion_mini.x_train[:128])


def test_narrowed_logits_tie_fewer_images_and_agree_no_less(
    network_of: NetworkOf,
    both: tuple[bytes, bytes],
    trained: Path,
    fashion_mini: Dataset,
    tmp_path: Path,
    score: Score,
) -> None:
    quantized, float32 = both
    narrowed = narrowed_by(quantized, float32, fashion_mini.x_train[:128])
    assert narrowed is not None
    reference = network_of(trained).scores(fashion_mini.x_test)
    agreement, tied = {}, {}
    for name, raw in (("wide", quantized), ("narrow", narrowed[0])):
        path = tmp_path / f"{name}.tflite"
        path.write_bytes(raw)
        scores = np.sort(found := score(path, fashion_mini.x_test), axis=1)
        tied[name] = np.mean(scores[:, -1] == scores[:, -2])
        agreement[name] = np.mean(found.argmax(1) == reference.argmax(1))
    assert tied["narrow"] < tied["wide"]
    assert agreement["narrow"] >= agreement["wide"]


def test_narrowed_logits_add_no_operator_and_say_what_was_chosen(
    both: tuple[bytes, bytes], fashion_mini: Dataset
) -> None:
    quantized, float32 = both
    narrowed = narrowed_by(quantized, float32, fashion_mini.x_train[:128])
    assert narrowed is not None
    before, after = (tflite_tree.operators(tflite_tree.read(raw)) for raw in (quantized, narrowed[0]))
    assert before == after
    assert len(narrowed[0]) <= len(quantized) + 100
    assert f"steps of {steps(narrowed[0]):.3f} instead of {steps(quantized):.3f}" in narrowed[1]


@pytest.mark.parametrize("images", [1, 10, 128])
def test_narrowed_logits_are_never_wider_and_what_is_narrow_already_is_left(
    both: tuple[bytes, bytes], fashion_mini: Dataset, images: int
) -> None:
    quantized, float32 = both
    once = narrowed_by(quantized, float32, fashion_mini.x_train[:images])
    assert once is not None
    assert steps(once[0]) < steps(quantized)
    twice = narrowed_by(once[0], float32, fashion_mini.x_train[:images])
    assert twice is None or steps(twice[0]) == pytest.approx(steps(once[0]), rel=0.02)


def test_narrowed_logits_end_where_they_did_above_and_where_it_says_below(
    both: tuple[bytes, bytes], fashion_mini: Dataset
) -> None:
    """To half of a step, which a zero point is rounded by."""
    narrowed = narrowed_by(*both, fashion_mini.x_train[:128])
    assert narrowed is not None
    (_, wide), (low, high) = ends(both[0]), ends(narrowed[0])
    half = 0.51 * steps(narrowed[0])
    assert abs(high - wide) <= half
    assert abs(low - float(narrowed[1].split()[2].rstrip(":"))) <= half + 0.005


def test_narrowed_logits_keep_every_8_bit_score_within_reach(
    both: tuple[bytes, bytes], fashion_mini: Dataset, tmp_path: Path, score: Score
) -> None:
    """Saturation itself may not change a score by more than its own step: quantization noise does."""
    quantized, float32 = both
    narrowed = narrowed_by(quantized, float32, fashion_mini.x_train[:128])
    assert narrowed is not None
    paths = tmp_path / "float32.tflite", tmp_path / "wide.tflite", tmp_path / "narrow.tflite"
    for path, raw in zip(paths, (float32, quantized, narrowed[0]), strict=True):
        path.write_bytes(raw)
    exact, wide, narrow = (score(path, fashion_mini.x_test[:500]) for path in paths)
    assert np.abs(narrow - exact).mean() < np.abs(wide - exact).mean()
    assert np.abs(narrow - exact).max() <= np.abs(wide - exact).max() + 1 / 256


def test_narrowed_logits_leave_a_network_that_gives_logits_alone(
    network_of: NetworkOf,
    converted: Converted,
    build_conv: Any,
    colour: Dataset,
    make_checkpoint: MakeCheckpoint,
) -> None:
    folder = make_checkpoint(build_conv((-1.0, 1.0), None), colour, input_range=(-1.0, 1.0), head="logits")
    quantized, float32 = converted(network_of(folder), colour.x_train[:60])
    assert narrowed_by(quantized, float32, colour.x_train[:60]) is None


def test_narrowed_logits_that_are_all_within_reach_are_left_alone(
    network_of: NetworkOf,
    converted: Converted,
    keras: Any,
    colour: Dataset,
    make_checkpoint: MakeCheckpoint,
) -> None:
    keras.utils.set_random_seed(0)
    layers = [keras.Input(colour.x_train.shape[1:]), keras.layers.Flatten()]
    model = keras.Sequential([*layers, keras.layers.Dense(10, activation="softmax")])
    folder = make_checkpoint(model, colour)
    quantized, float32 = converted(network_of(folder), colour.x_train[:60])
    assert narrowed_by(quantized, float32, colour.x_train[:60]) is None
