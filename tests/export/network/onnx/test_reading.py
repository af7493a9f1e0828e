"""What an ONNX file may not be: each refusal is a line that names what is in the way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from edgewright.export.network.model import Model
from edgewright.export.network.onnx.network import OnnxNetwork
from edgewright.runtime.errors import EdgewrightError, ModelFileError
from edgewright.train.normalization import Normalization

Make = Callable[..., Path]
Layers = tuple[list[Any], dict[str, NDArray[np.float32]]]

FLOAT = TensorProto.FLOAT


def refusal(path: Path, **more: Any) -> str:
    with pytest.raises(EdgewrightError) as caught:
        OnnxNetwork(Model.at(path, Normalization.of_range(0, 1), **more)).facts()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def node(operator: str, given: list[str], made: list[str], **attributes: Any) -> Any:
    return helper.make_node(operator, given, made, name="here", **attributes)


ZERO = {"scale": np.array(0.1, np.float32), "zero": np.array(0, np.uint8)}
STATISTICS = {name: np.ones(3, np.float32) for name in ("a", "b", "c", "d")}


@pytest.mark.parametrize(
    ("first", "constants", "says"),
    [
        ([node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
          node("DequantizeLinear", ["q", "scale", "zero"], ["i"])], ZERO, "quantized already"),
        ([node("Magic", ["x"], ["i"], domain="com.acme")], {}, "Magic at 'here' of 'com.acme'"),
        ([node("RandomNormalLike", ["x"], ["noise"]), node("Add", ["x", "noise"], ["i"])],
         {}, "RandomNormalLike"),
        ([node("BatchNormalization", ["x", "a", "b", "c", "d"], ["i", "m", "v"], training_mode=1)],
         STATISTICS, "as it is in training"),
        ([node("Dropout", ["x", "half", "yes"], ["i"])],
         {"half": np.array(0.5, np.float32), "yes": np.array(True)},
         "Dropout at 'here', as it is in training"),
    ],
    ids=["quantized", "custom", "random", "normalization", "dropout"],
)  # fmt: skip
def test_onnx_operator_that_is_not_exported_is_named(
    first: list[Any], constants: dict[str, Any], says: str, make: Make, layers: Layers
) -> None:
    nodes, weights = layers
    conv = helper.make_node("Conv", ["i", "kernel", "bias"], ["c"], strides=[2, 2])
    path = make([*first, conv, *nodes[1:]], {**weights, **constants}, domains=["com.acme"])
    assert says in refusal(path)


def test_onnx_operator_that_the_scores_do_not_need_is_no_reason(make: Make, layers: Layers) -> None:
    nodes, constants = layers
    extra = node("Magic", ["y"], ["label"], domain="com.acme")
    outputs = {"y": FLOAT, "label": TensorProto.INT64}
    path = make([*nodes, extra], constants, outputs=outputs, domains=["com.acme"])
    assert OnnxNetwork(Model.at(path, Normalization.of_range(0, 1))).facts().classes == 10


@pytest.mark.parametrize(
    ("dims", "says"),
    [
        (("n", 4, 12, 12), "expected an image input .* got 'x' \\(\\?, 4, 12, 12\\)"),
        (("n", 13), "add --size such as 28x28"),
        (("n", 432), "add --size such as 12x12"),
        (("n", 784), "add --size such as 28x28"),
        (("n", None), "leaves it open"),
        (("n", 3, None, None), "add --size such as 224x224"),
        (("n", 3, 10**6, 10**6), "at most 16384 pixels a side, got 1000000x1000000"),
        ((12, 12, 3), "expected an image input"),
        ((12,), "expected an image input"),
        ((), "expected an image input"),
    ],
    ids=str,
)
def test_onnx_input_that_is_no_image_or_leaves_its_size_open(
    dims: tuple[Any, ...], says: str, make: Make
) -> None:
    path = make([node("Identity", ["x"], ["y"])], {}, dims)
    with pytest.raises(EdgewrightError, match=says):
        OnnxNetwork(Model.at(path, Normalization.of_range(0, 1)))


def test_onnx_size_that_is_not_the_files_is_refused(make: Make, layers: Layers) -> None:
    assert "expected --size 12x12 or none" in refusal(make(*layers), size=(24, 24))
    row = make([node("Identity", ["x"], ["y"])], {}, ("n", 432), name="row.onnx")
    assert "got 10x10" in refusal(row, size=(10, 10))


def test_onnx_of_several_inputs_names_them(make: Make, layers: Layers) -> None:
    nodes, constants = layers
    more = helper.make_tensor_value_info("mask", FLOAT, ["n", 10])
    last = [helper.make_node("Gemm", ["f", "dense", "shift"], ["s"]), node("Add", ["s", "mask"], ["y"])]
    assert "got 2: 'x', 'mask'" in refusal(make([*nodes[:-1], *last], constants, more=[more]))


def test_onnx_constants_among_the_inputs_are_no_inputs(make: Make, layers: Layers) -> None:
    """As files of IR version 3 have them."""
    nodes, constants = layers
    more = [helper.make_tensor_value_info(name, FLOAT, v.shape) for name, v in constants.items()]
    path = make(nodes, constants, more=more, opset=9, ir_version=3)
    assert OnnxNetwork(Model.at(path, Normalization.of_range(0, 1))).facts().classes == 10


@pytest.mark.parametrize(
    ("last", "output", "says"),
    [
        (
            node("ArgMax", ["s"], ["y"], axis=1),
            TensorProto.INT64,
            "expected an output of float scores, got y",
        ),
        (node("Transpose", ["r"], ["y"], perm=[0, 2, 3, 1]), FLOAT, r"finds things in pictures"),
        (node("ReduceMax", ["s"], ["y"], keepdims=0), FLOAT, "expected a row of scores an image"),
    ],
    ids=["whole numbers", "map", "one number"],
)
def test_onnx_output_that_is_no_row_of_scores(
    last: Any, output: int, says: str, make: Make, layers: Layers
) -> None:
    nodes, constants = layers
    dense = helper.make_node("Gemm", ["f", "dense", "shift"], ["s"])
    assert says in refusal(make([*nodes[:-1], dense, last], constants, outputs={"y": output}))


def test_onnx_file_cut_off_or_of_something_else(make: Make, layers: Layers, tmp_path: Path) -> None:
    whole = make(*layers).read_bytes()
    path = tmp_path / "part.onnx"
    for raw in (b"", b"not a model", whole[: len(whole) // 2], whole[:-1], b"\xff" * 100):
        path.write_bytes(raw)
        text = refusal(path)
        assert "expected a valid ONNX model" in text or "is no ONNX model" in text, raw[:20]


def test_onnx_node_that_reads_what_nothing_makes_is_refused(make: Make, layers: Layers) -> None:
    path = make(*layers)
    model = onnx.load(path)
    del model.graph.node[1]
    path.write_bytes(model.SerializeToString())
    assert "expected a valid ONNX model" in refusal(path)
    path.write_bytes(b"\x08\x08\x3a\x7f")  # a graph that is longer than the file
    with pytest.raises(ModelFileError, match="damaged or cut off"):
        Model.at(path, Normalization.of_range(0, 1))
