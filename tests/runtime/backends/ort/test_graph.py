"""The graph of .onnx files: shapes as the onnx package infers them, multiplications counted by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgewright.export.exporter import Result
from edgewright.runtime.backends.ort import graph as onnx_graph
from edgewright.runtime.graph import Graph


def ints(*values: int) -> np.ndarray[Any, Any]:
    return np.array(values, np.int64)


def floats(*shape: int) -> np.ndarray[Any, Any]:
    return np.ones(shape, np.float32)


def model(
    nodes: list[Any], constants: dict[str, np.ndarray[Any, Any]], shape: tuple[Any, ...]
) -> onnx.ModelProto:
    last = nodes[-1].output[0]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_value_info(last, onnx.TypeProto())],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])


def read(proto: onnx.ModelProto) -> Graph:
    return onnx_graph.read(proto.SerializeToString())


N = helper.make_node
NODES = [
    (N("Conv", ["x", "w"], ["y"]), {"w": floats(5, 3, 3, 3)}),
    (N("Conv", ["x", "w"], ["y"], auto_pad="SAME_UPPER", strides=[2, 2]), {"w": floats(5, 3, 3, 3)}),
    (N("Conv", ["x", "w"], ["y"], pads=[1, 0, 2, 1], dilations=[2, 1]), {"w": floats(5, 3, 3, 3)}),
    (N("Conv", ["x", "w"], ["y"], group=3), {"w": floats(3, 1, 2, 2)}),
    (N("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2], pads=[1, 1, 0, 0]), {"w": floats(3, 4, 3, 3)}),
    (N("MaxPool", ["x"], ["y"], kernel_shape=[3, 2], strides=[2, 2], ceil_mode=1), {}),
    (N("AveragePool", ["x"], ["y"], kernel_shape=[2, 2]), {}),
    (N("GlobalAveragePool", ["x"], ["y"]), {}),
    (N("Flatten", ["x"], ["y"], axis=2), {}),
    (N("Transpose", ["x"], ["y"], perm=[0, 2, 3, 1]), {}),
    (N("Transpose", ["x"], ["y"]), {}),
    (N("Reshape", ["x", "s"], ["y"]), {"s": ints(0, -1, 7)}),
    (N("Concat", ["x", "x", "c"], ["y"], axis=-3), {"c": floats(1, 2, 9, 7)}),
    (N("Pad", ["x", "p"], ["y"]), {"p": ints(0, 0, 1, 2, 0, 0, 3, 4)}),
    (N("ReduceMean", ["x"], ["y"], axes=[2, -1], keepdims=0), {}),
    (N("ReduceSum", ["x", "a"], ["y"]), {"a": ints(1)}),
    (N("Unsqueeze", ["x", "a"], ["y"]), {"a": ints(0, -1)}),
    (N("Resize", ["x", "", "s"], ["y"]), {"s": np.array([1, 1, 2, 1.5], np.float32)}),
    (N("Resize", ["x", "", "", "s"], ["y"]), {"s": ints(1, 3, 20, 5)}),
    (N("Add", ["x", "c"], ["y"]), {"c": floats(4, 1, 1, 7)}),
    (N("Where", ["b", "x", "c"], ["y"]), {"b": np.array([True]), "c": floats(7)}),
    (
        N("Slice", ["x", "s", "e", "a", "t"], ["y"]),
        {"s": ints(1, -1), "e": ints(9, -9), "a": ints(2, -1), "t": ints(2, -3)},
    ),
    (N("Expand", ["x", "s"], ["y"]), {"s": ints(2, 1, 1, 7)}),
    (N("Gather", ["x", "i"], ["y"], axis=-2), {"i": ints(0, 3)}),
    (N("ConstantOfShape", ["s"], ["y"]), {"s": ints(3, 4)}),
    (N("Shape", ["x"], ["y"]), {}),
    (N("Less", ["x", "c"], ["y"]), {"c": floats(7)}),
    (N("Cast", ["x"], ["y"], to=TensorProto.FLOAT16), {}),
    (N("QuantizeLinear", ["x", "s", "z"], ["y"]), {"s": np.float32(1), "z": np.int8(0)}),
    (N("MatMul", ["x", "w"], ["y"]), {"w": floats(7, 11)}),
    (N("Softmax", ["x"], ["y"]), {}),
    (N("LeakyRelu", ["x"], ["y"]), {}),
]


@pytest.mark.parametrize(("node", "constants"), NODES, ids=lambda value: getattr(value, "op_type", ""))
def test_onnx_graph_shapes_and_dtypes_are_those_that_onnx_infers(
    node: Any, constants: dict[str, Any]
) -> None:
    proto = model([node], {name: np.asarray(value) for name, value in constants.items()}, (1, 3, 9, 7))
    inferred = onnx.shape_inference.infer_shapes(proto, strict_mode=True).graph.output[0].type.tensor_type
    expected = tuple(dimension.dim_value for dimension in inferred.shape.dim)
    found = read(proto).tensors["y"]
    assert found.shape == expected
    assert found.dtype == onnx_graph.DTYPES[inferred.elem_type]


@pytest.mark.parametrize(
    ("node", "weights", "macs"),
    [
        (N("Conv", ["x", "w"], ["y"]), (5, 3, 3, 3), 5 * 7 * 5 * 27),
        (N("Conv", ["x", "w"], ["y"], group=3), (3, 1, 2, 2), 3 * 8 * 6 * 4),
        (N("ConvTranspose", ["x", "w"], ["y"]), (3, 4, 3, 3), 3 * 9 * 7 * 4 * 9),
        (N("MatMul", ["x", "w"], ["y"]), (7, 11), 3 * 9 * 7 * 11),
        (N("Relu", ["x"], ["y"]), (1,), 0),
    ],
    ids=lambda value: getattr(value, "op_type", ""),
)
def test_onnx_graph_macs_are_those_counted_by_hand(node: Any, weights: tuple[int, ...], macs: int) -> None:
    assert read(model([node], {"w": floats(*weights)}, (1, 3, 9, 7))).macs() == (macs, 0)


def test_onnx_graph_free_sizes_count_as_one() -> None:
    graph = read(model([N("MatMul", ["x", "w"], ["y"])], {"w": floats(7, 11)}, ("n", 7)))
    assert (graph.tensors["x"].shape, graph.macs()) == ((1, 7), (77, 0))


def test_onnx_graph_behind_an_unknown_operator_is_unknown() -> None:
    nodes = [N("NonZero", ["x"], ["a"]), N("MatMul", ["a", "w"], ["y"])]
    graph = read(model(nodes, {"w": floats(7, 11)}, (1, 7)))
    assert graph.macs() == (0, 1)
    assert graph.peak_bytes() is None
    assert graph.tensors["y"].shape is None


def test_onnx_graph_follows_shapes_that_the_file_computes() -> None:
    """What a file of free batch does before its dense layers: the batch of x, then all the rest."""
    nodes = [
        N("Shape", ["x"], ["sizes"]),
        N("Cast", ["sizes"], ["real"], to=TensorProto.INT64),
        N("Slice", ["real", "zero", "one", "zero"], ["batch"]),
        N("Concat", ["batch", "rest"], ["wanted"], axis=0),
        N("Reshape", ["x", "wanted"], ["flat"]),
        N("MatMul", ["flat", "w"], ["y"]),
    ]
    constants = {"zero": ints(0), "one": ints(1), "rest": ints(-1), "w": floats(63, 5)}
    graph = read(model(nodes, constants, ("n", 9, 7)))
    assert graph.tensors["y"].shape == (1, 5)
    assert graph.macs() == (63 * 5, 0)


@pytest.mark.parametrize(("name", "macs"), [("resnet50", 4_089_184_256), ("vgg19", 19_632_062_464)])
def test_onnx_graph_macs_of_well_known_networks_are_as_published(name: str, macs: int) -> None:
    """torchvision's documentation lists 4.09 and 19.63 GFLOPS, by which it means multiply-accumulates."""
    folder = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
    path = folder / f"light_{name}.onnx"
    if not path.exists():
        pytest.skip("this onnx package comes without its test data")
    graph = onnx_graph.read(path.read_bytes())
    assert graph.peak_bytes() is not None
    found, unknown = graph.macs()
    assert unknown == 0
    assert found == pytest.approx(macs, rel=0.001)


def test_onnx_graph_attributes_that_make_no_sense_leave_the_shape_unknown() -> None:
    nodes = [
        N("Conv", ["x", "w"], ["y"], strides=[0, 0]),
        N("Transpose", ["x"], ["y"], perm=[9, 9, 9, 9]),
        N("Conv", ["x"], ["y"]),
        N("Reshape", ["x"], ["y"]),
    ]
    for node in nodes:
        graph = read(model([node], {"w": floats(5, 3, 3, 3)}, (1, 3, 9, 7)))
        assert graph.tensors["y"].shape is None


def test_onnx_graph_macs_and_peak_bytes_of_exported_files(exported: tuple[Path, Result]) -> None:
    for name in ("onnx-float32", "onnx-int8"):
        graph = onnx_graph.read((exported[0] / f"{name}.onnx").read_bytes())
        assert graph.macs() == (28 * 28 * 256 + 256 * 10, 0)
        assert graph.peak_bytes() in range(784, 2 * 4 * 784 + 1)
        assert graph.tensors["scores"].shape == (1, 10)
    assert any("scale" in tensor.quantization for tensor in graph.tensors.values())
