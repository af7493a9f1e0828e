"""The graph of an .onnx file, its shapes walked through where the file leaves them out.

The rules cover what image classifiers are made of; what lies behind another operator stays unknown, and
is called so. Field numbers: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, prod

from edgewright.runtime.backends.ort import DTYPES
from edgewright.runtime.graph import Graph, Node, Shape, Tensor, broadcast
from edgewright.runtime.protobuf import Message

_MOST_SHAPE_VALUES = 64  # constants up to this long may be shapes, axes or pads: they are read
_MAX_SIZE = 2**40

Rule = Callable[["_Call"], Shape | None]


@dataclass(frozen=True, kw_only=True)
class _Call:
    """A node as the rules see it: shapes of its inputs (None: unknown), short constants, attributes."""

    shapes: Sequence[Shape | None]
    values: Sequence[tuple[int, ...] | tuple[float, ...] | None]
    attributes: Mapping[str, Message]

    def shape(self, place: int) -> Shape | None:
        return self.shapes[place] if place < len(self.shapes) else None

    def integers(self, name: str, place: int = -1) -> tuple[int, ...] | None:
        """An attribute's integers, or those of the input that newer opsets take instead."""
        if name in self.attributes:
            return self.attributes[name].integers(8)
        given = self.values[place] if 0 <= place < len(self.values) else None
        return tuple(int(value) for value in given) if given is not None else None

    def integer(self, name: str, default: int = 0) -> int:
        found = self.attributes[name].integers(3) if name in self.attributes else ()
        return found[-1] if found else default

    def text(self, name: str) -> str:
        return self.attributes[name].text(4) if name in self.attributes else ""


def read(model: Message) -> Graph:
    """The main graph. Raises `DamagedError`."""
    graph = model.message(7)
    tensors: dict[Hashable, Tensor] = {}
    values: dict[str, tuple[int, ...] | tuple[float, ...]] = {}
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
    values: dict[str, tuple[int, ...] | tuple[float, ...]],
) -> None:
    shape, dtype = _sane(tensor.integers(1)), DTYPES.get(tensor.integer(2), "other")
    tensors[name] = Tensor(name=name, shape=shape, dtype=dtype, stored_bytes=tensor.size)
    if shape is None or prod(shape) > _MOST_SHAPE_VALUES:
        return
    raw, count = tensor.data(9), prod(shape)
    layout = {"int64": "q", "int32": "i", "float32": "f"}.get(dtype)
    if layout and len(raw) == count * struct.calcsize(layout):
        values[name] = struct.unpack(f"<{count}{layout}", raw)
    elif dtype == "int64" and not raw:
        values[name] = tensor.integers(7)


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
    values: dict[str, tuple[int, ...] | tuple[float, ...]],
    declared: Mapping[str, Tensor],
) -> Node:
    names, outputs = node.texts(1), [name for name in node.texts(2) if name]
    operator = node.text(4)
    attributes = {attribute.text(1): attribute for attribute in node.messages(5)}
    if operator == "Constant" and "value" in attributes and outputs:
        _constant(attributes["value"].message(5), outputs[0], tensors, values)
        return Node(operator=operator, inputs=(), outputs=(), macs=0)
    given = [tensors.get(name) for name in names]
    call = _Call(
        shapes=[tensor.shape if tensor else None for tensor in given],
        values=[values.get(name) for name in names],
        attributes=attributes,
    )
    rule = _RULES.get(operator)
    try:
        shape = rule(call) if rule else None
    except (ArithmeticError, LookupError, TypeError, ValueError):  # attributes that make no sense
        shape = None
    for place, name in enumerate(outputs):
        known = declared.get(name)
        found = _sane(shape) if shape is not None and place == 0 else None
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
        key = node.outputs[0] if node.operator == "QuantizeLinear" else node.inputs[0]
        scale = scales.get(str(node.inputs[1]))
        if scale is None or not (raw := scale.data(9)) or len(raw) % 4:
            continue
        found = struct.unpack(f"<{len(raw) // 4}f", raw)
        many = len(found) > 1
        words = f"per channel: {len(found)} scales {min(found):.3g} to {max(found):.3g}"
        old = vars(tensors[key])
        tensors[key] = Tensor(**{**old, "quantization": words if many else f"scale {found[0]:.6g}"})


def _macs(operator: str, call: _Call, out: Shape | None) -> int | None:
    """Multiply-accumulates, 0 of what multiplies no matrix, None where a shape is unknown."""
    if operator == "ConvTranspose":
        given, weights = call.shape(0), call.shape(1)
        return None if given is None or weights is None else prod(given) * prod(weights[1:])
    if operator in _CONVOLUTIONS:
        weights = call.shape(_CONVOLUTIONS[operator])
        return None if out is None or weights is None else prod(out) * prod(weights[1:])
    if operator in _PRODUCTS:
        left = call.shape(0)
        if out is None or not left:
            return None
        return prod(out) * left[0 if operator == "Gemm" and call.integer("transA") else -1]
    return 0


_CONVOLUTIONS = {"Conv": 1, "FusedConv": 1, "ConvInteger": 1, "QLinearConv": 3}  # where the weights are
_PRODUCTS = {"MatMul": 1, "MatMulInteger": 1, "QLinearMatMul": 3, "Gemm": 1, "MatMulNBits": 1}


def _same(call: _Call) -> Shape | None:
    return call.shape(0)


def _windows(call: _Call, spatial: Sequence[int], kernel: Sequence[int]) -> list[int]:
    """The size of what a kernel gives that slides over `spatial`."""
    rank = len(spatial)
    strides = call.integers("strides") or (1,) * rank
    dilations = call.integers("dilations") or (1,) * rank
    auto, pads = call.text("auto_pad"), call.integers("pads") or (0,) * 2 * rank
    found = []
    for i in range(rank):
        reach = (kernel[i] - 1) * dilations[i] + 1
        if auto in ("SAME_UPPER", "SAME_LOWER"):
            found.append(ceil(spatial[i] / strides[i]))
            continue
        padded = spatial[i] + (0 if auto == "VALID" else pads[i] + pads[i + rank])
        rounded = ceil if call.integer("ceil_mode") else floor
        found.append(rounded((padded - reach) / strides[i]) + 1)
    return found


def _convolution(weights_at: int) -> Rule:
    def rule(call: _Call) -> Shape | None:
        given, weights = call.shape(0), call.shape(weights_at)
        if given is None or weights is None:
            return None
        return (given[0], weights[0], *_windows(call, given[2:], weights[2:]))

    return rule


def _transposed(call: _Call) -> Shape | None:
    given, weights = call.shape(0), call.shape(1)
    if given is None or weights is None or call.text("auto_pad") not in ("", "NOTSET"):
        return None
    rank = len(given) - 2
    strides, pads = call.integers("strides") or (1,) * rank, call.integers("pads") or (0,) * 2 * rank
    extra = call.integers("output_padding") or (0,) * rank
    sizes = [
        strides[i] * (given[i + 2] - 1) + weights[i + 2] + extra[i] - pads[i] - pads[i + rank]
        for i in range(rank)
    ]
    return (given[0], weights[1] * call.integer("group", 1), *sizes)


def _pool(call: _Call) -> Shape | None:
    given, kernel = call.shape(0), call.integers("kernel_shape")
    return None if given is None or not kernel else (*given[:2], *_windows(call, given[2:], kernel))


def _global_pool(call: _Call) -> Shape | None:
    given = call.shape(0)
    return None if given is None else (*given[:2], *(1,) * (len(given) - 2))


def _product(right_at: int) -> Rule:
    def rule(call: _Call) -> Shape | None:
        left, right = call.shape(0), call.shape(right_at)
        if left is None or right is None or len(right) < 2 or not left:
            return None
        lead = broadcast(left[:-2], right[:-2])
        return None if lead is None else (*lead, *left[-2:-1], right[-1])

    return rule


def _gemm(call: _Call) -> Shape | None:
    left, right = call.shape(0), call.shape(1)
    if left is None or right is None:
        return None
    return (
        left[1 if call.integer("transA") else 0],
        right[0 if call.integer("transB") else 1],
    )


def _few_bits(call: _Call) -> Shape | None:
    left = call.shape(0)
    return None if left is None else (*left[:-1], call.integer("N"))


def _reshape(call: _Call) -> Shape | None:
    given, wanted = call.shape(0), call.integers("shape", 1)
    if given is None or wanted is None:
        return None
    sizes = [given[i] if size == 0 else size for i, size in enumerate(wanted)]
    if -1 in sizes:
        sizes[sizes.index(-1)] = prod(given) // -prod(sizes)
    return tuple(sizes) if prod(sizes) == prod(given) else None


def _flatten(call: _Call) -> Shape | None:
    given, axis = call.shape(0), call.integer("axis", 1)
    return None if given is None else (prod(given[:axis]), prod(given[axis:]))


def _transpose(call: _Call) -> Shape | None:
    given = call.shape(0)
    if given is None:
        return None
    order = call.integers("perm")
    return tuple(given[i] for i in order) if order else given[::-1]


def _concat(call: _Call) -> Shape | None:
    if not call.shapes or any(shape is None for shape in call.shapes):
        return None
    shapes = [shape for shape in call.shapes if shape is not None]
    axis = call.integer("axis") % len(shapes[0])
    return (*shapes[0][:axis], sum(shape[axis] for shape in shapes), *shapes[0][axis + 1 :])


def _squeeze(call: _Call) -> Shape | None:
    given, axes = call.shape(0), call.integers("axes", 1)
    if given is None:
        return None
    gone = (
        {i for i, size in enumerate(given) if size == 1} if axes is None else {a % len(given) for a in axes}
    )
    return tuple(size for i, size in enumerate(given) if i not in gone)


def _unsqueeze(call: _Call) -> Shape | None:
    given, axes = call.shape(0), call.integers("axes", 1)
    if given is None or axes is None:
        return None
    rank = len(given) + len(axes)
    new, rest = {axis % rank for axis in axes}, iter(given)
    return tuple(1 if i in new else next(rest) for i in range(rank))


def _pad(call: _Call) -> Shape | None:
    given, pads = call.shape(0), call.integers("pads", 1)
    if given is None or pads is None or len(pads) != 2 * len(given):
        return None
    return tuple(size + pads[i] + pads[i + len(given)] for i, size in enumerate(given))


def _reduce(call: _Call) -> Shape | None:
    given, axes = call.shape(0), call.integers("axes", 1)
    if given is None:
        return None
    gone = {axis % len(given) for axis in axes} if axes else set(range(len(given)))
    kept = call.integer("keepdims", 1)
    return tuple(1 if i in gone else size for i, size in enumerate(given) if kept or i not in gone)


def _resize(call: _Call) -> Shape | None:
    given = call.shape(0)
    sizes = call.values[3] if len(call.values) > 3 else None
    scales = call.values[2] if len(call.values) > 2 else None
    if sizes:
        return tuple(int(size) for size in sizes)
    if given is None or not scales or len(scales) != len(given):
        return None
    return tuple(floor(size * scale) for size, scale in zip(given, scales, strict=True))


def _every(call: _Call) -> Shape | None:
    return broadcast(*call.shapes)


def _quantized_pair(call: _Call) -> Shape | None:
    return broadcast(call.shape(0), call.shape(3))


_KEEPING = """
    Abs BatchNormalization Cast Ceil Clip DequantizeLinear Dropout DynamicQuantizeLinear Elu Erf Exp Floor
    Gelu HardSigmoid HardSwish Identity InstanceNormalization LRN LayerNormalization LeakyRelu Log
    LogSoftmax Mish Neg PRelu QLinearLeakyRelu QLinearSigmoid QLinearSoftmax QuantizeLinear QuickGelu
    Reciprocal Relu Round Selu Sigmoid Sign Softmax Softplus Softsign Sqrt Tanh ThresholdedRelu
"""
_ELEMENT_BY_ELEMENT = """
    Add And Div Equal Greater Less Max Mean Min Mod Mul Or Pow Sub Sum Where Xor
"""
_REDUCING = "ReduceL1 ReduceL2 ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum"

_RULES: dict[str, Rule] = {
    **dict.fromkeys(_KEEPING.split(), _same),
    **dict.fromkeys(_ELEMENT_BY_ELEMENT.split(), _every),
    **dict.fromkeys(_REDUCING.split(), _reduce),
    **{operator: _convolution(place) for operator, place in _CONVOLUTIONS.items()},
    **{operator: _product(place) for operator, place in _PRODUCTS.items()},
    **dict.fromkeys(("MaxPool", "AveragePool", "QLinearAveragePool"), _pool),
    **dict.fromkeys(("GlobalAveragePool", "GlobalMaxPool", "QLinearGlobalAveragePool"), _global_pool),
    **dict.fromkeys(("QLinearAdd", "QLinearMul"), _quantized_pair),
    "ConvTranspose": _transposed,
    "Gemm": _gemm,
    "MatMulNBits": _few_bits,
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Transpose": _transpose,
    "Concat": _concat,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Pad": _pad,
    "Resize": _resize,
}
