"""Which nodes of ONNX graphs are one step, and which axes of its value are which."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgewright.export.explaining.comparison import Pairing, compare
from edgewright.export.explaining.onnx import OnnxNetwork

RANDOM = np.random.default_rng(3)
KERNEL = RANDOM.normal(size=(4, 3, 3, 3)).astype(np.float32)
SCALES, OFFSETS = (RANDOM.uniform(0.5, 2, 4).astype(np.float32) for _ in range(2))


def _network(nodes: list[Any], output: str, **constants: Any) -> OnnxNetwork:
    """A network of pixels `(1, 8, 8, 3)`, which a Transpose makes `chw`."""
    first = [
        helper.make_node("Cast", ["image"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["floats"], ["chw"], perm=[0, 3, 1, 2]),
    ]
    graph = helper.make_graph(
        first + nodes,
        "graph",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, (1, 8, 8, 3))],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return OnnxNetwork(Path("made.onnx"), model.SerializeToString())


def _unfolded() -> OnnxNetwork:
    """Channels last behind the convolution, its normalization and ReLU on their own."""
    return _network(
        [
            helper.make_node("Conv", ["chw", "kernel"], ["a"], name="Conv_0"),
            helper.make_node("Transpose", ["a"], ["b"], perm=[0, 2, 3, 1]),
            helper.make_node("Mul", ["b", "scales"], ["c"]),
            helper.make_node("Add", ["c", "offsets"], ["d"]),
            helper.make_node("Relu", ["d"], ["e"]),
            helper.make_node("ReduceMean", ["e"], ["scores"], axes=[1, 2], keepdims=0),
        ],
        "scores",
        kernel=KERNEL,
        scales=SCALES,
        offsets=OFFSETS,
    )


def _folded() -> OnnxNetwork:
    return _network(
        [
            helper.make_node("Conv", ["chw", "kernel", "bias"], ["a"], name="Conv_0"),
            helper.make_node("Relu", ["a"], ["e"]),
            helper.make_node("ReduceMean", ["e"], ["scores"], axes=[2, 3], keepdims=0),
        ],
        "scores",
        kernel=KERNEL * SCALES.reshape(-1, 1, 1, 1),
        bias=OFFSETS,
    )


def test_a_normalization_that_was_not_folded_belongs_to_its_convolution() -> None:
    assert [step.value for step in _unfolded().steps] == ["e", "scores"]
    assert [step.value for step in _folded().steps] == ["e", "scores"]


def test_channels_may_stand_elsewhere_in_the_float_file() -> None:
    images = RANDOM.integers(0, 256, (2, 8, 8, 3)).astype(np.uint8)
    pairing = Pairing(_folded(), _unfolded(), images[:1])
    assert pairing.turns[0] == (0, 2, 3, 1)
    assert pairing.unmatched == 0
    found = compare(_folded(), _unfolded(), pairing, images, "onnxruntime-cpu", ["conv", "scores"], [(), ()])
    assert all(step.own_snr > 100 and step.snr > 100 for step in found.steps)
    assert found.diverges is None
    other = Pairing(_unfolded(), _folded(), images[:1])
    assert other.turns[0] == (0, 3, 1, 2)
    again = compare(_unfolded(), _folded(), other, images, "onnxruntime-cpu", ["conv", "scores"], [(), ()])
    assert again.steps[0].spread == pytest.approx(found.steps[0].spread)


def test_an_activation_function_of_constants_is_no_bias() -> None:
    """Hard sigmoid: one number for all channels."""
    network = _network(
        [
            helper.make_node("Conv", ["chw", "kernel"], ["a"], name="Conv_0"),
            helper.make_node("Add", ["a", "three"], ["b"], name="Add_0"),
            helper.make_node("Clip", ["b", "zero", "six"], ["c"]),
            helper.make_node("Mul", ["c", "sixth"], ["d"], name="Mul_0"),
        ],
        "d",
        kernel=KERNEL,
        three=3,
        zero=0,
        six=6,
        sixth=1 / 6,
    )
    assert [step.value for step in network.steps] == ["a", "c", "d"]
