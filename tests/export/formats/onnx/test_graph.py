"""What is done to ONNX graphs after all tools: the same bytes, and files that onnxruntime loads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgewright.export.formats.onnx import graph as onnx_graph
from edgewright.export.network.network import INPUT, OUTPUT
from edgewright.runtime.backends.ort.session import EXACT_PRODUCTS


def quantized(*, shared_zero: bool = False, order: tuple[int, ...] = (0, 1)) -> Any:
    """Two products of one 8-bit weight, one after the other: QDQ, as onnxruntime writes it."""
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(0)
    constants = {
        "weight": random.integers(-128, 128, (4, 4)).astype(np.int8),
        "weight_scale": random.uniform(0.01, 0.02, 4).astype(np.float32),
        "weight_zero": np.zeros(4, np.int8),
        "bias": np.array([3], np.int8),
        "scale": np.float32(0.1),
        "zero": np.array(-3, np.int8),
        "zero_2": np.array(-3, np.int8),
    }
    second = "zero" if shared_zero else "zero_2"
    front = [
        helper.make_node(
            "DequantizeLinear", ["weight", "weight_scale", "weight_zero"], ["w"], axis=1, name="w"
        ),
        helper.make_node("DequantizeLinear", ["bias", "scale", "zero_2"], ["b"], name="b"),
    ]
    nodes = [
        *(front[i] for i in order),
        helper.make_node("QuantizeLinear", [INPUT, "scale", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["x"]),
        helper.make_node("MatMul", ["x", "w"], ["y"]),
        helper.make_node("QuantizeLinear", ["y", "scale", second], ["qy"]),
        helper.make_node("DequantizeLinear", ["qy", "scale", second], ["z"]),
        helper.make_node("MatMul", ["z", "w"], ["p"]),
        helper.make_node("Add", ["p", "b"], [OUTPUT]),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in (INPUT, OUTPUT)]
    stored = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "made", ends[:1], ends[1:], stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def scores(model: Any, *, exact: bool) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    if exact:
        options.add_session_config_entry(*EXACT_PRODUCTS)
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    given = np.linspace(-1, 1, 4, dtype=np.float32)[np.newaxis]
    return session.run([OUTPUT], {INPUT: given})[0]


@pytest.mark.parametrize("shared_zero", [False, True])
def test_unshare_has_a_file_of_shared_8_bit_weights_load_where_products_are_kept_exact(
    shared_zero: bool,
) -> None:
    import onnx

    model = quantized(shared_zero=shared_zero)
    expected = scores(model, exact=False)
    with pytest.raises(Exception, match="Attempt to replace the existing tensor"):
        scores(model, exact=True)
    onnx_graph.unshare(model)
    onnx.checker.check_model(model, full_check=True)
    np.testing.assert_allclose(scores(model, exact=True), expected, atol=1e-6)
    types = {constant.name: constant.data_type for constant in model.graph.initializer}
    assert types["weight"] == onnx.TensorProto.UINT8


def test_normalized_puts_what_dequantizes_constants_where_it_is_read_whatever_its_order_was() -> None:
    one, other = (onnx_graph.normalized(quantized(order=order)) for order in ((0, 1), (1, 0)))
    assert one.SerializeToString(deterministic=True) == other.SerializeToString(deterministic=True)
    np.testing.assert_array_equal(scores(one, exact=False), scores(quantized(), exact=False))


def test_normalized_names_what_is_inside_a_loop_too() -> None:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    def info(name: str, kind: int, shape: list[int]) -> Any:
        return helper.make_tensor_value_info(name, kind, shape)

    body = helper.make_graph(
        [
            helper.make_node("Add", ["state", "outer"], ["grown"]),
            helper.make_node("Mul", ["grown", "inner"], ["next"]),
            helper.make_node("Identity", ["going"], ["goes_on"]),
        ],
        "body",
        [info("i", TensorProto.INT64, []), info("going", TensorProto.BOOL, []), info("state", 1, [1, 2])],
        [info("goes_on", TensorProto.BOOL, []), info("next", 1, [1, 2])],
        [numpy_helper.from_array(np.float32([[2.0, 3.0]]), "inner")],
    )
    graph = helper.make_graph(
        [
            helper.make_node("Add", ["one", "one"], ["outer"]),
            helper.make_node("Loop", ["steps", "", INPUT], [OUTPUT], body=body),
        ],
        "made",
        [info(INPUT, 1, [1, 2])],
        [info(OUTPUT, 1, [1, 2])],
        [
            numpy_helper.from_array(np.float32([[1.0, 1.0]]), "one"),
            numpy_helper.from_array(np.int64(3), "steps"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    import onnxruntime

    given = {INPUT: np.float32([[1.0, -1.0]])}
    expected = onnxruntime.InferenceSession(model.SerializeToString()).run(None, given)
    found = onnx_graph.normalized(model)
    onnx.checker.check_model(found, full_check=True)
    names = {name for node in found.graph.node[-1].attribute[0].g.node for name in node.output}
    assert all(name.startswith("v") for name in names)
    got = onnxruntime.InferenceSession(found.SerializeToString()).run(None, given)
    np.testing.assert_array_equal(got[0], expected[0])
