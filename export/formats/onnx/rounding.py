"""Rounds the weights of a float ONNX model layer by layer, see `edgewright.export.weights.rounding`.

What is stored in 4 bits is brought to 32-bit floats by a DequantizeLinear, which takes such weights from
opset 21 on (IR version 10).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewright.export.formats.onnx import graph as onnx_graph
from edgewright.export.formats.onnx import run as onnx_run
from edgewright.export.formats.onnx.equalization import shapes
from edgewright.export.network.float_network import INPUT, FloatNetwork
from edgewright.export.weights import rounding
from edgewright.export.weights.moments import Moments, patches, places_of, same_padding, sample
from edgewright.export.weights.rounding import Rounded
from edgewright.runtime.errors import ExportError
from edgewright.train.datasets import Images

OPSET = 21

Values = NDArray[Any]


def places(graph: Any, but: Mapping[str, Any]) -> dict[int, int]:
    """Where the convolutions and dense layers with float weights of their own stand, and how many weights
    each has; but the nodes of those names."""
    from onnx import TensorProto

    held = {c.name: c for c in graph.initializer if c.data_type == TensorProto.FLOAT}
    found = {}
    for place, node in enumerate(graph.node):
        if node.op_type not in ("Conv", "Gemm", "MatMul") or node.name in but or node.input[1] not in held:
            continue
        kernel = held[node.input[1]]
        whole = len(kernel.dims) == (4 if node.op_type == "Conv" else 2)
        if whole and len(onnx_graph.readers(graph, kernel.name)) == 1 and _plain(node):
            found[place] = int(np.prod(kernel.dims))
    return found


def _plain(node: Any) -> bool:
    """Whether a dense layer is nothing but that."""
    odd = {a.name: a for a in node.attribute}
    return not (
        ("transA" in odd and odd["transA"].i) or any(odd[n].f != 1 for n in ("alpha", "beta") if n in odd)
    )


def bits(graph: Any, sizes: Mapping[int, int]) -> dict[int, int]:
    """How many bits each layer gets: what has few weights, or is in groups, keeps 8."""
    grouped = {place for place in sizes if attributes(graph.node[place]).get("group", 1) != 1}
    chosen = rounding.bits({place: size for place, size in sizes.items() if place not in grouped})
    return chosen | dict.fromkeys(grouped, 8)


def refine(model: Any, bits: Mapping[int, int], network: FloatNetwork, images: Images) -> None:
    """Store the layers of a float model in so many bits each, by their places.

    Raises:
        ExportError: onnx cannot bring the model to the opset that 4-bit weights need.
    """
    import onnx
    from onnx import numpy_helper

    graph = model.graph
    exact = onnx.ModelProto.FromString(model.SerializeToString())
    held = {constant.name: constant for constant in graph.initializer}
    known = shapes(onnx.shape_inference.infer_shapes(model).graph)
    chosen = sample(images, max(int(np.prod(shape)) for shape in known.values()))
    given: onnx_run.Held = {INPUT: list(network.batches(chosen))}
    true, start = given, 0
    stored = {}
    for place in sorted(bits):
        true = onnx_run.advance(exact, start, place, true)
        given = onnx_run.advance(model, start, place, given)
        node, start = graph.node[place], place
        kernel = numpy_helper.to_array(held[node.input[1]])
        weights = rows(node, kernel)
        bias = held.get(node.input[2]) if len(node.input) > 2 else None
        if bias is not None and len(onnx_graph.readers(graph, bias.name)) > 1:
            bias = None
        value = node.input[0]
        layer = _rounded(
            node, kernel.shape, weights, bits[place], true[value], given[value], bias is not None
        )
        floats = layer.codes * layer.scales[:, np.newaxis]
        held[node.input[1]].CopyFrom(
            numpy_helper.from_array(laid_out(node, floats.astype(np.float32), kernel.shape), node.input[1])
        )
        if bias is not None:
            moved = numpy_helper.to_array(bias) + layer.shift.astype(np.float32)
            bias.CopyFrom(numpy_helper.from_array(moved.astype(np.float32), bias.name))
        stored[node.input[1]] = (
            bits[place],
            _axis(node),
            laid_out(node, layer.codes, kernel.shape),
            layer.scales,
        )
    _bring_to_opset(model)
    for name, (count, axis, codes, scales) in stored.items():
        _store(model.graph, name, count, axis, codes, scales)


def _store(graph: Any, name: str, count: int, axis: int, codes: Values, scales: Values) -> None:
    """Have the constant `name` made of codes."""
    from onnx import TensorProto, helper, numpy_helper

    few = count == rounding.BITS
    zeros = np.zeros(len(scales), np.int8)  # onnxruntime makes one for all channels where there is none
    for part, numbers in (("codes", codes), ("zero_points", zeros)):
        raw = (rounding.packed(numbers) if few else numbers).tobytes()
        kind = TensorProto.INT4 if few else TensorProto.INT8
        graph.initializer.append(helper.make_tensor(f"{name}_{part}", kind, numbers.shape, raw, raw=True))
    graph.initializer.append(numpy_helper.from_array(scales, f"{name}_scales"))
    graph.initializer.remove(next(constant for constant in graph.initializer if constant.name == name))
    read = [f"{name}_codes", f"{name}_scales", f"{name}_zero_points"]
    graph.node.insert(0, helper.make_node("DequantizeLinear", read, [name], axis=axis))


def _bring_to_opset(model: Any) -> None:
    from onnx import version_converter

    opset = next(entry.version for entry in model.opset_import if not entry.domain)
    if opset < OPSET:
        try:
            newer = version_converter.convert_version(model, OPSET)
        except Exception as failure:  # a C++ library's, of operators that it does not know
            reason = " ".join(str(failure).split())
            raise ExportError(
                f"expected a model that onnx can bring from opset {opset} to {OPSET}, which 4-bit weights "
                f"need, got: {reason[:200]}; take another scheme"
            ) from failure
        model.CopyFrom(newer)
    model.ir_version = max(model.ir_version, onnx_graph.least_ir_version(model))


def _rounded(
    node: Any,
    shape: Sequence[int],
    weights: Values,
    bits: int,
    exact: Sequence[Values],
    given: Sequence[Values],
    has_bias: bool,
) -> Rounded:
    ours = rounding.on_grid(weights)
    if ours is None and bits == 8:
        ours = rounding.nearest(weights, bits)
    if ours is None:
        few = places_of(len(given))
        pairs = zip(exact, given, strict=True)
        moments = Moments(
            [(seen(node, shape, first, few), seen(node, shape, second, few)) for first, second in pairs]
        )
        ours = rounding.rounded(weights, moments, bits, has_bias=has_bias)
    return ours


def seen(node: Any, shape: Sequence[int], values: Values, most: int) -> Values:
    """What the layer multiplies its weights with, in the order of `rows`."""
    if node.op_type != "Conv":
        return values.reshape(-1, values.shape[-1])[:most]
    chosen = attributes(node)
    size = shape[2:]
    strides, dilations = chosen.get("strides", (1, 1)), chosen.get("dilations", (1, 1))
    pads = chosen.get("pads", (0, 0, 0, 0))
    ends = [(pads[0], pads[2]), (pads[1], pads[3])]
    if chosen.get("auto_pad", b"NOTSET") in (b"SAME_UPPER", b"SAME_LOWER"):
        lower = chosen["auto_pad"] == b"SAME_LOWER"
        extents = values.shape[2:]
        ends = [same_padding(*numbers) for numbers in zip(extents, size, strides, dilations, strict=True)]
        ends = [(behind, before) if lower else (before, behind) for before, behind in ends]
    return patches(values.transpose(0, 2, 3, 1), size, strides, dilations, ends, most)


def attributes(node: Any) -> dict[str, Any]:
    from onnx import helper

    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


def rows(node: Any, kernel: Values) -> Values:
    """A kernel as `(outputs, inputs)`; of a convolution inputs are height, width, channels."""
    if node.op_type == "Conv":
        return kernel.transpose(0, 2, 3, 1).reshape(len(kernel), -1)
    return kernel if _axis(node) == 0 else kernel.T


def laid_out(node: Any, rows: Values, shape: Sequence[int]) -> Values:
    """The other way round."""
    if node.op_type == "Conv":
        outputs, channels, height, width = shape
        rows = rows.reshape(outputs, height, width, channels).transpose(0, 3, 1, 2)
    elif _axis(node) == 1:
        rows = rows.T
    return np.ascontiguousarray(rows)


def _axis(node: Any) -> int:
    """Where the outputs of a kernel are."""
    return 0 if node.op_type == "Conv" or attributes(node).get("transB", 0) else 1
