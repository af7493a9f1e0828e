"""ONNX files: old enough for old phones, valid, named by their graph, quantized where it pays."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from edgewright.export.exporter import Result
from edgewright.export.formats.onnx import FORMAT
from edgewright.export.network.model import FileInterface
from edgewright.export.network.network import Network
from edgewright.runtime.backends.ort import BACKEND
from edgewright.runtime.errors import ExportError
from edgewright.train.datasets import Dataset

MakeCheckpoint = Callable[..., Path]
NetworkOf = Callable[..., Network]
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
def test_onnx_file_is_valid_opset_17_of_ir_8_with_no_domain_it_does_not_use(load: Any, scheme: str) -> None:
    model = load(scheme)
    onnx.checker.check_model(model, full_check=True)
    assert model.ir_version == 8
    used = {node.domain for node in model.graph.node}
    assert {entry.domain for entry in model.opset_import} == used
    assert {entry.domain: entry.version for entry in model.opset_import}[""] == 17


@BOTH
def test_onnx_raw_pixels_go_in_and_float_scores_come_out(exported: tuple[Path, Result], scheme: str) -> None:
    file = BACKEND.read(exported[0] / f"onnx-{scheme}.onnx")
    given, scores = file.inputs[0], file.outputs[0]
    assert (given.name, given.dtype, given.shape) == ("image", "uint8", (1, 28, 28, 1))
    assert (scores.name, scores.dtype, scores.shape) == ("scores", "float32", (1, 10))


@BOTH
def test_onnx_names_come_from_the_place_in_the_graph_alone(load: Any, scheme: str) -> None:
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
def test_onnx_contract_stands_in_the_metadata_once(load: Any, scheme: str) -> None:
    assert [entry.key for entry in load(scheme).metadata_props].count("edgewright") == 1


def test_onnx_int8_is_static_qdq_with_integer_weights_and_a_float_classifier(load: Any) -> None:
    model = load("int8")
    kinds = {node.op_type for node in model.graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= kinds
    assert not kinds & {"DynamicQuantizeLinear", "ConvInteger", "MatMulInteger"}
    found = weights(model)
    assert found[onnx.TensorProto.INT8] >= 784 * 256
    assert 2560 <= found[onnx.TensorProto.FLOAT] < 4000


def activations(model: onnx.ModelProto) -> set[int]:
    """The dtypes that QuantizeLinear makes: weights are stored quantized."""
    kinds = {constant.name: constant.data_type for constant in model.graph.initializer}
    return {kinds[node.input[2]] for node in model.graph.node if node.op_type == "QuantizeLinear"}


@pytest.mark.slow
def test_onnx_int8_activations_are_unsigned_and_u8s8_and_s8s8_have_a_name(
    build_conv: Any, colour: Dataset, make_checkpoint: MakeCheckpoint, convert: Convert
) -> None:
    names = ["onnx-int8", "onnx-int8-u8s8", "onnx-int8-s8s8"]
    paths = convert(make_checkpoint(build_conv(), colour), colour.x_train[:40], names)
    found = [activations(onnx.load(path)) for path in paths.values()]
    assert found == [{onnx.TensorProto.UINT8}, {onnx.TensorProto.UINT8}, {onnx.TensorProto.INT8}]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ends", "darkest"),
    [
        ((0.0, 1.0), False),
        ((-1.0, 1.0), True),
        pytest.param((0.0, 1.0), True, marks=pytest.mark.slow),
        pytest.param((-1.0, 1.0), False, marks=pytest.mark.long),
        pytest.param((0.0, 255.0), False, marks=pytest.mark.long),
        pytest.param((0.0, 255.0), True, marks=pytest.mark.slow),
    ],
)
def test_onnx_int8_reads_raw_pixels_without_any_operator_before_the_first_layer(
    ends: tuple[float, float],
    darkest: bool,
    build_conv: Any,
    colour: Dataset,
    make_checkpoint: MakeCheckpoint,
    convert: Convert,
) -> None:
    """(0, 255) has a Rescaling layer inside, which goes the same way."""
    folder = make_checkpoint(build_conv(ends), colour, input_range=ends)
    images = colour.x_train[:40] // 3 if darkest else colour.x_train[:40]
    graph = onnx.load(convert(folder, images, ["onnx-int8"])["onnx-int8"]).graph
    kinds = [node.op_type for node in graph.node]
    assert not {"Cast", "Mul", "Add", "Sub"} & set(kinds)
    assert set(kinds[: kinds.index("Conv")]) <= {"DequantizeLinear", "Transpose"}


def test_onnx_constants_that_a_layer_holds_as_tensors_are_no_inputs(
    keras: Any,
    colour: Dataset,
    make_checkpoint: MakeCheckpoint,
    network_of: NetworkOf,
    convert: Convert,
    score: Any,
) -> None:
    model = keras.Sequential(
        [
            keras.Input(colour.x_train.shape[1:]),
            keras.layers.Normalization(mean=[0.4, 0.5, 0.6], variance=[0.1, 0.2, 0.3]),
            keras.layers.Flatten(),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    folder = make_checkpoint(model, colour)
    reference = network_of(folder).scores(colour.x_test[:20])
    for name, path in convert(folder, colour.x_train[:40], ["onnx-float32", "onnx-int8"]).items():
        assert [given.name for given in onnx.load(path).graph.input] == ["image"]
        assert np.abs(score(path, colour.x_test[:20]) - reference).max() < (1e-5, 0.1)[name == "onnx-int8"]


def test_onnx_dynamic_int8_stores_dense_layers_as_integers_and_convolutions_as_floats(
    build_conv: Any, colour: Dataset, make_checkpoint: MakeCheckpoint, convert: Convert
) -> None:
    names = ["onnx-dynamic-int8"]
    path = convert(make_checkpoint(build_conv(), colour), colour.x_train[:40], names)["onnx-dynamic-int8"]
    model = onnx.load(path)
    kinds = [node.op_type for node in model.graph.node]
    assert (kinds.count("MatMulInteger"), kinds.count("ConvInteger")) == (1, 0)
    assert kinds.count("MatMul") == 1  # the last, small one
    assert weights(model)[onnx.TensorProto.INT8] >= 6 * 6 * 8 * 64


def test_onnx_dynamic_int8_of_a_network_without_dense_layers_is_refused(
    keras: Any, colour: Dataset, make_checkpoint: MakeCheckpoint, convert: Convert
) -> None:
    layers = [keras.Input(colour.x_train.shape[1:]), keras.layers.Conv2D(10, 3)]
    model = keras.Sequential([*layers, keras.layers.GlobalAveragePooling2D(), keras.layers.Softmax()])
    with pytest.raises(ExportError, match="expected a dense layer"):
        convert(make_checkpoint(model, colour), colour.x_train[:40], ["onnx-dynamic-int8"])


@pytest.mark.parametrize("batch", [2, None])
def test_onnx_dynamic_int8_of_a_batch_is_refused(
    batch: int | None, build_conv: Any, colour: Dataset, make_checkpoint: MakeCheckpoint, convert: Convert
) -> None:
    with pytest.raises(ExportError, match="depend on its neighbours"):
        convert(
            make_checkpoint(build_conv(), colour),
            colour.x_train[:40],
            ["onnx-dynamic-int8"],
            FileInterface(batch=batch),
        )


def test_onnx_float16_halves_the_weights_and_keeps_the_pixels_scaling_in_float32(
    build_conv: Any, colour: Dataset, make_checkpoint: MakeCheckpoint, convert: Convert
) -> None:
    model = onnx.load(
        convert(make_checkpoint(build_conv(), colour), colour.x_train[:40], ["onnx-float16"])["onnx-float16"]
    )
    found = weights(model)
    assert found[onnx.TensorProto.FLOAT16] >= 6 * 6 * 8 * 64
    assert found[onnx.TensorProto.FLOAT] == 1
    onnx.checker.check_model(model, full_check=True)


def test_onnx_int8_quantizes_a_last_layer_that_holds_most_weights_too(
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


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_onnx_int8_of_a_network_that_takes_pixels_as_they_are_has_nothing_to_scale(
    dtype: str,
    keras: Any,
    colour: Dataset,
    make_checkpoint: MakeCheckpoint,
    network_of: NetworkOf,
    convert: Convert,
    score: Any,
) -> None:
    keras.utils.set_random_seed(0)
    layers = [keras.Input(colour.x_train.shape[1:]), keras.layers.Flatten()]
    model = keras.Sequential([*layers, keras.layers.Dense(10)])
    model.set_weights([weight / 255 for weight in model.get_weights()])
    folder = make_checkpoint(model, colour, input_range=(0.0, 255.0), head="logits")
    reference = network_of(folder).scores(colour.x_test[:20])
    path = convert(folder, colour.x_train[:40], ["onnx-int8"], FileInterface(dtype=dtype))["onnx-int8"]
    kinds = [node.op_type for node in onnx.load(path).graph.node]
    assert (kinds[0] == "QuantizeLinear") == (dtype == "float32")  # pixels are quantized as they come
    assert not {"Cast", "Mul"} & set(kinds)
    assert np.abs(score(path, colour.x_test[:20]) - reference).max() < 0.03 * np.abs(reference).max()


def test_onnx_weight_int4_stores_kernels_in_half_a_byte_and_says_which_opset_it_wants(
    build_conv: Any, colour: Dataset, make_checkpoint: Any, network_of: Any, tmp_path: Path
) -> None:
    network, path = network_of(make_checkpoint(build_conv(), colour)), tmp_path / "a.onnx"
    made = FORMAT.export(network, "weight-int4", colour.x_train[:40], path)
    assert (made.chosen["opset"], made.chosen["ir_version"]) == (21, 10)
    model = onnx.load(path)
    held = {c.name: c for c in model.graph.initializer}
    read = [held[n.input[0]] for n in model.graph.node if n.op_type == "DequantizeLinear"]
    assert {c.data_type: int(np.prod(c.dims)) for c in read} == {
        onnx.TensorProto.INT8: 216,
        onnx.TensorProto.INT4: 18432,
    }
    (packed,) = (c for c in read if c.data_type == onnx.TensorProto.INT4)
    assert len(packed.raw_data) == 18432 // 2
    assert not [c for c in held.values() if c.data_type == onnx.TensorProto.FLOAT and np.prod(c.dims) > 640]
    found = FORMAT.weights(path)
    assert sorted(array.size for array in found.values()) == [216, 640, 18432]
    assert max(np.abs(a).max() for a in found.values() if a.size == 18432) <= 7
