"""ONNX files: old enough for old phones, valid, named by their graph, quantized where it pays."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest

from edgewright.export.exporter import Result
from edgewright.runtime.backends.ort import BACKEND
from edgewright.train.datasets import Dataset

MakeCheckpoint = Callable[..., Path]
Convert = Callable[..., dict[str, Path]]
BOTH = pytest.mark.parametrize("scheme", ["float32", "int8"])


@pytest.fixture
def load(exported: tuple[Path, Result]) -> Callable[[str], onnx.ModelProto]:
    return lambda scheme: onnx.load(exported[0] / f"onnx-{scheme}.onnx")


def weights(model: onnx.ModelProto) -> dict[int, int]:
    """How many numbers the constants hold, by dtype."""
    counts: dict[int, int] = {}
    for constant in model.graph.initializer:
        counts[constant.data_type] = counts.get(constant.data_type, 0) + math.prod(constant.dims)
    return counts


@BOTH
def test_it_is_valid_opset_17_of_ir_8_with_no_domain_it_does_not_use(load: Any, scheme: str) -> None:
    model = load(scheme)
    onnx.checker.check_model(model, full_check=True)
    assert model.ir_version == 8
    used = {node.domain for node in model.graph.node}
    assert {entry.domain for entry in model.opset_import} == used
    assert {entry.domain: entry.version for entry in model.opset_import}[""] == 17


@BOTH
def test_raw_pixels_go_in_and_float_scores_come_out(exported: tuple[Path, Result], scheme: str) -> None:
    file = BACKEND.read(exported[0] / f"onnx-{scheme}.onnx")
    given, scores = file.inputs[0], file.outputs[0]
    assert (given.name, given.dtype, given.shape) == ("image", "uint8", (1, 28, 28, 1))
    assert (scores.name, scores.dtype, scores.shape) == ("scores", "float32", (1, 10))


@BOTH
def test_names_come_from_the_place_in_the_graph_alone(load: Any, scheme: str) -> None:
    graph = load(scheme).graph
    produced = [value for node in graph.node for value in node.output]
    assert all(re.fullmatch(r"v\d+|scores", value) for value in produced)
    assert [node.name for node in graph.node] == [f"{n.op_type}_{i}" for i, n in enumerate(graph.node)]
    numbers = [int(constant.name.removeprefix("v")) for constant in graph.initializer]
    assert numbers == sorted(numbers)
    assert not graph.value_info
    used = {value for node in graph.node for value in node.input}
    assert {constant.name for constant in graph.initializer} <= used


@BOTH
def test_the_contract_stands_in_the_metadata_once(load: Any, scheme: str) -> None:
    assert [entry.key for entry in load(scheme).metadata_props].count("edgewright") == 1


def test_int8_is_static_qdq_with_integer_weights_and_a_float_classifier(load: Any) -> None:
    model = load("int8")
    kinds = {node.op_type for node in model.graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= kinds
    assert not kinds & {"DynamicQuantizeLinear", "ConvInteger", "MatMulInteger"}
    found = weights(model)
    assert found[onnx.TensorProto.INT8] >= 784 * 256
    assert 2560 <= found[onnx.TensorProto.FLOAT] < 4000


def test_activations_are_signed_so_that_no_cpu_saturates(load: Any) -> None:
    graph = load("int8").graph
    kinds = {constant.name: constant.data_type for constant in graph.initializer}
    zero_points = {
        kinds[node.input[2]]
        for node in graph.node
        if node.op_type in ("QuantizeLinear", "DequantizeLinear") and len(node.input) > 2
    }
    assert zero_points <= {onnx.TensorProto.INT8, onnx.TensorProto.INT32}


def test_a_last_layer_that_holds_most_weights_is_quantized_too(
    keras: Any, colour: Dataset, make_checkpoint: MakeCheckpoint, convert: Convert
) -> None:
    model = keras.Sequential(
        [
            keras.Input(colour.x_train.shape[1:]),
            keras.layers.Conv2D(4, 3, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    path = convert(make_checkpoint(model, colour), colour.x_train[:60], ["onnx-int8"])["onnx-int8"]
    found = weights(onnx.load(path))
    assert found[onnx.TensorProto.INT8] >= 12 * 12 * 4 * 10
    assert found[onnx.TensorProto.FLOAT] < 1000
