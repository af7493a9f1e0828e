"""The graph of an .onnx file, its shapes walked through where the file leaves them out.

What lies behind an operator without a rule (`shapes`) stays unknown, and is called so. Field numbers: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

from __future__ import annotations

import struct
from collections.abc import Hashable, Mapping, Sequence
from math import prod

from edgewright.runtime.backends.ort import schema
from edgewright.runtime.backends.ort.protobuf import Message
from edgewright.runtime.backends.ort.schema import DTYPES
from edgewright.runtime.backends.ort.shapes import CONVOLUTIONS, PRODUCTS, Call, Values, inferred
from edgewright.runtime.graph import Graph, Node, Shape, Tensor

_MOST_SHAPE_VALUES = 64  # constants up to this long may be shapes, axes or pads: they are read
_MAX_SIZE = 2**40


def read(raw: bytes) -> Graph:
    """The main graph. Raises `DamagedError`."""
    graph = schema.parsed(raw).message(7)
    tensors: dict[Hashable, Tensor] = {}
    values: dict[str, Values] = {}
    for initializer in graph.messages(5):
        _constant(initializer, initializer.text(8), tensors, values)
    inputs = []
    for value in graph.messages(11):
        if value.text(1) not in tensors:
            tensors[value.text(1)] = _declared(value)
            inputs.append(value.text(1))
    declared = {value.text(1): _declared(value) for number in (13, 12) for value in graph.messages(number)}
    nodes = [_node(node, tensors, values, declared) for node in graph.messages(1)]
    outputs = [value.text(1) for value in graph.messages(12) if value.text(1) in tensors]
    _quantizations(nodes, graph, tensors)
    return Graph(tensors=tensors, nodes=nodes, inputs=inputs, outputs=outputs)


def _constant(
    tensor: Message,
    name: str,
    tensors: dict[Hashable, Tensor],
    values: dict[str, Values],
) -> None:
    shape, dtype = _sane(tensor.integers(1)), DTYPES.get(tensor.integer(2), "other")
    tensors[name] = Tensor(name=name, shape=shape, dtype=dtype, stored_bytes=tensor.size)
    if shape is None or prod(shape) > _MOST_SHAPE_VALUES:
        return
    raw, count = tensor.data(9) or tensor.data(4 if dtype == "float32" else 0), prod(shape)
    layout = {"int64": "q", "int32": "i", "float32": "f"}.get(dtype)
    if layout and len(raw) == count * struct.calcsize(layout):
        values[name] = struct.unpack(f"<{count}{layout}", raw)
    elif dtype in ("int64", "int32") and not raw:
        values[name] = tensor.integers(7 if dtype == "int64" else 5)


def _declared(value: Message) -> Tensor:
    kind = value.message(2).message(1)
    shape = tuple(dimension.integer(1) or 1 for dimension in kind.message(2).messages(1))
    said = bool(kind.messages(2))
    dtype = DTYPES.get(kind.integer(1), "other")
    return Tensor(name=value.text(1), shape=_sane(shape) if said else None, dtype=dtype)


def _sane(shape: Sequence[int]) -> Shape | None:
    fits = len(shape) <= 16 and all(size >= 0 for size in shape) and prod(shape) < _MAX_SIZE
    return tuple(shape) if fits else None


def _node(
    node: Message,
    tensors: dict[Hashable, Tensor],
    values: dict[str, Values],
    declared: Mapping[str, Tensor],
) -> Node:
    names, outputs = node.texts(1), [name for name in node.texts(2) if name]
    operator = node.text(4)
    attributes = {attribute.text(1): attribute for attribute in node.messages(5)}
    if operator == "Constant" and "value" in attributes and outputs:
        _constant(attributes["value"].message(5), outputs[0], tensors, values)
        return Node(operator=operator, inputs=(), outputs=(), macs=0)
    given = [tensors.get(name) for name in names]
    call = Call(
        shapes=[tensor.shape if tensor else None for tensor in given],
        values=[values.get(name) for name in names],
        attributes=attributes,
    )
    shape, known_values = inferred(operator, call)
    if known_values is not None and outputs and len(known_values) <= _MOST_SHAPE_VALUES:
        values[outputs[0]] = known_values
    for place, name in enumerate(outputs):
        known = declared.get(name)
        alike = place == 0 or operator in ("Dropout", "MaxPool")  # a mask, the places of what was largest
        found = _sane(shape) if shape is not None and alike else None
        if operator == "DynamicQuantizeLinear" and place:
            found = ()
        if found is None and known is not None:
            found = known.shape
        said = known is not None and known.dtype != "other"
        dtype = known.dtype if known and said else _dtype(operator, place, given, attributes)
        tensors[name] = Tensor(name=name, shape=found, dtype=dtype)
    return Node(
        operator=operator,
        inputs=tuple(name for name in names if name in tensors),
        outputs=tuple(outputs),
        macs=_macs(operator, call, tensors[outputs[0]].shape if outputs else None),
    )


def _dtype(
    operator: str, place: int, given: Sequence[Tensor | None], attributes: Mapping[str, Message]
) -> str:
    """The dtype of an output. Most operators keep that of their first input."""

    def of(number: int) -> str:
        tensor = given[number] if number < len(given) else None
        return tensor.dtype if tensor else "other"

    if operator == "Shape":
        return "int64"
    if operator == "ConstantOfShape":
        value = attributes["value"].message(5) if "value" in attributes else None
        return DTYPES.get(value.integer(2), "other") if value else "float32"
    if operator == "Cast":
        return DTYPES.get(attributes["to"].integer(3), "other") if "to" in attributes else "other"
    if operator == "QuantizeLinear":
        return of(2) if len(given) > 2 else "uint8"
    if operator == "DequantizeLinear":
        return of(1)
    if operator == "DynamicQuantizeLinear":
        return "float32" if place == 1 else "uint8"
    if operator in ("ConvInteger", "MatMulInteger"):
        return "int32"
    if operator in ("Equal", "Greater", "Less"):
        return "bool"
    if operator == "Where":
        return of(1)
    return of(0)


def _quantizations(nodes: Sequence[Node], graph: Message, tensors: dict[Hashable, Tensor]) -> None:
    """Say of each tensor that a QuantizeLinear gives or a DequantizeLinear takes how it is quantized."""
    scales = {t.text(8): t for t in graph.messages(5) if t.integer(2) == 1}
    for node in nodes:
        if node.operator not in ("QuantizeLinear", "DequantizeLinear") or len(node.inputs) < 2:
            continue
        key = next(iter(node.outputs), None) if node.operator == "QuantizeLinear" else node.inputs[0]
        scale = scales.get(str(node.inputs[1]))
        if key not in tensors or scale is None or not (raw := scale.data(9)) or len(raw) % 4:
            continue
        found = struct.unpack(f"<{len(raw) // 4}f", raw)
        many = len(found) > 1
        words = f"per channel: {len(found)} scales {min(found):.3g} to {max(found):.3g}"
        old = vars(tensors[key])
        tensors[key] = Tensor(**{**old, "quantization": words if many else f"scale {found[0]:.6g}"})


def _macs(operator: str, call: Call, out: Shape | None) -> int | None:
    """Multiply-accumulates, 0 of what multiplies no matrix, None where a shape is unknown."""
    if operator == "ConvTranspose":
        given, weights = call.shape(0), call.shape(1)
        return None if given is None or weights is None else prod(given) * prod(weights[1:])
    if operator in CONVOLUTIONS:
        weights = call.shape(CONVOLUTIONS[operator])
        return None if out is None or weights is None else prod(out) * prod(weights[1:])
    if operator in PRODUCTS:
        left = call.shape(0)
        if out is None or not left:
            return None
        return prod(out) * left[0 if operator == "Gemm" and call.integer("transA") else -1]
    return 0
