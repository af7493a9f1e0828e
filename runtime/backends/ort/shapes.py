"""Shapes of ONNX operators: from those of the inputs, short constants and attributes to the first output's.

The rules cover what image classifiers are made of. One that lacks a shape or a number raises `UnknownError`,
one that meets attributes that make no sense gives None or raises what arithmetic raises.
Operators: https://onnx.ai/onnx/operators/
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import ceil, floor, prod

from edgewright.runtime.backends.ort.protobuf import Message
from edgewright.runtime.graph import Shape, broadcast

Values = tuple[int, ...] | tuple[float, ...]
Rule = Callable[["Call"], Shape | None]


class UnknownError(LookupError):
    """A shape or a number that the file leaves out, or that comes of an operator without a rule."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """A node as the rules see it: shapes of its inputs (None: unknown), short constants, attributes."""

    shapes: Sequence[Shape | None]
    values: Sequence[Values | None]
    attributes: Mapping[str, Message]

    def shape(self, place: int) -> Shape | None:
        return self.shapes[place] if place < len(self.shapes) else None

    def known(self, place: int = 0) -> Shape:
        if (shape := self.shape(place)) is None:
            raise UnknownError
        return shape

    def integers(self, name: str, place: int = -1) -> tuple[int, ...] | None:
        """An attribute's integers, or those of the input that newer opsets take instead."""
        if name in self.attributes:
            return self.attributes[name].integers(8)
        given = self.values[place] if 0 <= place < len(self.values) else None
        return tuple(int(value) for value in given) if given is not None else None

    def given(self, name: str, place: int = -1) -> tuple[int, ...]:
        """The same where a rule cannot do without."""
        if (found := self.integers(name, place)) is None:
            raise UnknownError
        return found

    def integer(self, name: str, default: int = 0) -> int:
        found = self.attributes[name].integers(3) if name in self.attributes else ()
        return found[-1] if found else default

    def text(self, name: str) -> str:
        return self.attributes[name].text(4) if name in self.attributes else ""


def computed(operator: str, call: Call) -> tuple[int, ...] | None:
    """What an operator gives that works on shapes: files of a free batch compute theirs as they run."""
    if operator == "Shape":
        return call.shape(0)
    if operator == "Concat":
        parts = [call.integers("", place) for place in range(len(call.values))]
        return None if None in parts else tuple(size for part in parts for size in part or ())
    given = call.integers("", 0)
    if given is None:
        return None
    if operator in ("Cast", "Identity", "Squeeze", "Unsqueeze"):
        return given
    if operator == "Gather" and (places := call.integers("", 1)) is not None:
        return tuple(given[place] for place in places)
    if operator == "Slice":
        starts, ends, steps = (call.integers("", place) for place in (1, 2, 4))
        return given[starts[0] : ends[0] : (steps or (1,))[0]] if starts and ends else None
    return None


CONVOLUTIONS = {"Conv": 1, "FusedConv": 1, "ConvInteger": 1, "QLinearConv": 3}  # where the weights are
PRODUCTS = {"MatMul": 1, "MatMulInteger": 1, "QLinearMatMul": 3, "Gemm": 1, "MatMulNBits": 1}


def _windows(call: Call, spatial: Sequence[int], kernel: Sequence[int]) -> list[int]:
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
    def rule(call: Call) -> Shape | None:
        given, weights = call.known(), call.known(weights_at)
        return (given[0], weights[0], *_windows(call, given[2:], weights[2:]))

    return rule


def _transposed(call: Call) -> Shape | None:
    given, weights = call.known(), call.known(1)
    if call.text("auto_pad") not in ("", "NOTSET"):
        return None
    rank = len(given) - 2
    strides, pads = call.integers("strides") or (1,) * rank, call.integers("pads") or (0,) * 2 * rank
    extra = call.integers("output_padding") or (0,) * rank
    sizes = [
        strides[i] * (given[i + 2] - 1) + weights[i + 2] + extra[i] - pads[i] - pads[i + rank]
        for i in range(rank)
    ]
    return (given[0], weights[1] * call.integer("group", 1), *sizes)


def _pool(call: Call) -> Shape | None:
    given, kernel = call.known(), call.integers("kernel_shape")
    return (*given[:2], *_windows(call, given[2:], kernel)) if kernel else None


def _global_pool(call: Call) -> Shape | None:
    given = call.known()
    return (*given[:2], *(1,) * (len(given) - 2))


def _product(right_at: int) -> Rule:
    def rule(call: Call) -> Shape | None:
        left, right = call.known(), call.known(right_at)
        if len(right) < 2 or not left:
            return None
        lead = broadcast(left[:-2], right[:-2])
        return None if lead is None else (*lead, *left[-2:-1], right[-1])

    return rule


def _gemm(call: Call) -> Shape | None:
    left, right = call.known(), call.known(1)
    return (left[1 if call.integer("transA") else 0], right[0 if call.integer("transB") else 1])


def _reshape(call: Call) -> Shape | None:
    given, wanted = call.known(), call.given("shape", 1)
    sizes = [given[i] if size == 0 else size for i, size in enumerate(wanted)]
    if -1 in sizes:
        sizes[sizes.index(-1)] = prod(given) // -prod(sizes)
    return tuple(sizes) if prod(sizes) == prod(given) else None


def _flatten(call: Call) -> Shape | None:
    given, axis = call.known(), call.integer("axis", 1)
    return (prod(given[:axis]), prod(given[axis:]))


def _transpose(call: Call) -> Shape | None:
    given, order = call.known(), call.integers("perm")
    return tuple(given[i] for i in order) if order else given[::-1]


def _concat(call: Call) -> Shape | None:
    shapes = [call.known(place) for place in range(len(call.shapes))]
    axis = call.integer("axis") % len(shapes[0])
    return (*shapes[0][:axis], sum(shape[axis] for shape in shapes), *shapes[0][axis + 1 :])


def _squeeze(call: Call) -> Shape | None:
    given, axes = call.known(), call.integers("axes", 1)
    gone = (
        {i for i, size in enumerate(given) if size == 1} if axes is None else {a % len(given) for a in axes}
    )
    return tuple(size for i, size in enumerate(given) if i not in gone)


def _unsqueeze(call: Call) -> Shape | None:
    given, axes = call.known(), call.given("axes", 1)
    rank = len(given) + len(axes)
    new, rest = {axis % rank for axis in axes}, iter(given)
    return tuple(1 if i in new else next(rest) for i in range(rank))


def _pad(call: Call) -> Shape | None:
    given, pads = call.known(), call.given("pads", 1)
    if len(pads) != 2 * len(given):
        return None
    return tuple(size + pads[i] + pads[i + len(given)] for i, size in enumerate(given))


def _reduce(call: Call) -> Shape | None:
    given, axes = call.known(), call.integers("axes", 1)
    gone = {axis % len(given) for axis in axes} if axes else set(range(len(given)))
    kept = call.integer("keepdims", 1)
    return tuple(1 if i in gone else size for i, size in enumerate(given) if kept or i not in gone)


def _resize(call: Call) -> Shape | None:
    sizes = call.values[3] if len(call.values) > 3 else None
    scales = call.values[2] if len(call.values) > 2 else None
    if sizes:
        return tuple(int(size) for size in sizes)
    given = call.known()
    if not scales or len(scales) != len(given):
        return None
    return tuple(floor(size * scale) for size, scale in zip(given, scales, strict=True))


def _gather(call: Call) -> Shape | None:
    given, places = call.known(), call.known(1)
    axis = call.integer("axis") % len(given)
    return (*given[:axis], *places, *given[axis + 1 :])


def _slice(call: Call) -> Shape | None:
    sizes, starts, ends = list(call.known()), call.given("starts", 1), call.given("ends", 2)
    axes = call.integers("axes", 3) or tuple(range(len(starts)))
    steps = call.integers("steps", 4) or (1,) * len(starts)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        sizes[axis] = len(range(sizes[axis])[start:end:step])
    return tuple(sizes)


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

RULES: dict[str, Rule] = {
    **{operator: lambda call: call.shape(0) for operator in _KEEPING.split()},
    **{operator: lambda call: broadcast(*call.shapes) for operator in _ELEMENT_BY_ELEMENT.split()},
    **dict.fromkeys(_REDUCING.split(), _reduce),
    **{operator: _convolution(place) for operator, place in CONVOLUTIONS.items()},
    **{operator: _product(place) for operator, place in PRODUCTS.items()},
    **dict.fromkeys(("MaxPool", "AveragePool", "QLinearAveragePool"), _pool),
    **dict.fromkeys(("GlobalAveragePool", "GlobalMaxPool", "QLinearGlobalAveragePool"), _global_pool),
    "ConvTranspose": _transposed,
    "Gemm": _gemm,
    "MatMulNBits": lambda call: (*call.known()[:-1], call.integer("N")),
    "QLinearAdd": lambda call: broadcast(call.shape(0), call.shape(3)),
    "QLinearMul": lambda call: broadcast(call.shape(0), call.shape(3)),
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Transpose": _transpose,
    "Concat": _concat,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Pad": _pad,
    "Resize": _resize,
    "Expand": lambda call: broadcast(call.shape(0), call.integers("", 1)),
    "Gather": _gather,
    "Slice": _slice,
    "Shape": lambda call: (len(call.known()),),
    "ConstantOfShape": lambda call: call.integers("", 0),
}


def inferred(operator: str, call: Call) -> tuple[Shape | None, tuple[int, ...] | None]:
    """The shape of the first output, and what is in it if it is a shape; None for what cannot be known."""
    rule, shape = RULES.get(operator), None
    try:
        with suppress(UnknownError):
            shape = rule(call) if rule else None
        return shape, computed(operator, call)
    except (ArithmeticError, LookupError, TypeError, ValueError):  # attributes that make no sense
        return None, None
