"""The graph inside a model file, for people: operators, sizes, multiplications, memory.

`inspect` reads it, and `foreign` to see what scores mean; a device that predicts with a file of ours does
not. What is counted is what the file says: an interpreter fuses operators and packs weights as it likes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

Shape = tuple[int, ...]

_BYTES = {
    **dict.fromkeys(("float64", "int64", "uint64"), 8.0),
    **dict.fromkeys(("float32", "int32", "uint32"), 4.0),
    **dict.fromkeys(("float16", "bfloat16", "int16", "uint16"), 2.0),
    **dict.fromkeys(("int8", "uint8", "bool"), 1.0),
    **dict.fromkeys(("int4", "uint4"), 0.5),
}

# What gives the values that it takes: in another shape, order or dtype, but none changed on purpose.
_PASSING = frozenset(
    (
        *("RESHAPE", "SQUEEZE", "EXPAND_DIMS", "TRANSPOSE", "QUANTIZE", "DEQUANTIZE", "CAST"),
        *("STABLEHLO_RESHAPE", "STABLEHLO_TRANSPOSE", "STABLEHLO_CONVERT"),
        *("Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Cast"),
        *("QuantizeLinear", "DequantizeLinear", "Dropout"),
    )
)

# Scopes that Keras opens within a layer, and the operations that give a layer's kernel its name.
_OPERATION = "batchnorm"
_WITHIN = frozenset(("reduction_indices", "ReadVariableOp", "Reshape"))
_KERNELS = frozenset(("convolution", "depthwise", "MatMul", "conv_transpose", "separable_conv2d"))
_TRACED = re.compile(r"_\d+$")


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """`shape` counts a free size as 1, and is None where it is unknown. `stored_bytes` is what a constant
    takes in the file, None for what is computed. `quantization` is in words, empty if there is none."""

    name: str
    shape: Shape | None
    dtype: str
    stored_bytes: int | None = None
    quantization: str = ""

    @property
    def bytes(self) -> int | None:
        """What it takes in memory, unpadded."""
        size = _BYTES.get(self.dtype)
        return None if self.shape is None or size is None else int(prod(self.shape) * size + 0.5)


@dataclass(frozen=True, kw_only=True)
class Node:
    """An operator. Keys of absent optional inputs are left out. `macs` is None where a shape is unknown."""

    operator: str
    inputs: tuple[Hashable, ...]
    outputs: tuple[Hashable, ...]
    macs: int | None


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A row for people: the operator, its first output, its multiplications, and the bytes of the
    constants that it is the first to use."""

    operator: str
    output: str
    shape: Shape | None
    dtype: str
    macs: int | None
    stored_bytes: int


@dataclass(frozen=True, kw_only=True)
class Graph:
    """Nodes in the order they run, and the tensors between them by a key of the format's own."""

    tensors: Mapping[Hashable, Tensor]
    nodes: Sequence[Node]
    inputs: Sequence[Hashable]
    outputs: Sequence[Hashable]
    notes: Sequence[str] = field(default=())

    def operators(self) -> Counter[str]:
        return Counter(node.operator for node in self.nodes)

    def macs(self) -> tuple[int, int]:
        """Multiply-accumulates of one run, and of how many operators they are unknown."""
        known = [node.macs for node in self.nodes if node.macs is not None]
        return sum(known), len(self.nodes) - len(known)

    def ending(self) -> str:
        """The operator that the first output's values come from: what only reshapes, quantizes or casts
        them is passed over. `Softmax` where e^x is divided by its sum, `LpNormalization` where a vector is by
        its length; empty if nothing computes it."""
        maker = {key: node for node in self.nodes for key in node.outputs}

        def behind(key: Hashable, passing: frozenset[str] = _PASSING) -> Node | None:
            seen = set[Hashable]()
            while (node := maker.get(key)) and node.operator in passing and node.inputs and key not in seen:
                seen.add(key)
                key = node.inputs[0]
            return node

        def is_exponential(key: Hashable) -> bool:
            node = behind(key)
            return node is not None and node.operator in ("Exp", "EXP")

        last = behind(self.outputs[0]) if self.outputs else None
        if last is None:
            return ""
        if last.operator in ("Div", "DIV") and len(last.inputs) == 2:
            above, below = last.inputs
            divisor = behind(below, _PASSING | {"Expand", "Clip", "Max"})
            if divisor and divisor.operator == "ReduceL2":
                return "LpNormalization"
            summed = divisor.inputs[:1] if divisor and divisor.operator in ("ReduceSum", "SUM") else ()
            if is_exponential(above) and any(map(is_exponential, summed)):
                return "Softmax"
        return last.operator

    def layers(self) -> list[Layer]:
        found, counted = [], set[Hashable]()
        for node in self.nodes:
            own = [key for key in dict.fromkeys(node.inputs) if key not in counted]
            counted.update(own)
            first = self.tensors[node.outputs[0]] if node.outputs else None
            found.append(
                Layer(
                    operator=node.operator,
                    output=first.name if first else "",
                    shape=first.shape if first else None,
                    dtype=first.dtype if first else "",
                    macs=node.macs,
                    stored_bytes=sum(self.tensors[key].stored_bytes or 0 for key in own),
                )
            )
        return found

    def peak_bytes(self) -> int | None:
        """The most bytes that tensors need at one moment, None where a size is unknown.

        All that is computed and still needed while an operator runs, its inputs and outputs among it;
        nothing is computed in place, nothing fused. What is computed of constants alone, such as weights
        that are unpacked, counts as one.
        """
        constant = {key for key, tensor in self.tensors.items() if tensor.stored_bytes is not None}
        for node in self.nodes:
            if node.inputs and constant.issuperset(node.inputs):
                constant.update(node.outputs)
        last = {key: place for place, node in enumerate(self.nodes) for key in (*node.inputs, *node.outputs)}
        last |= dict.fromkeys(self.outputs, len(self.nodes))
        ending: dict[int, list[Hashable]] = {}
        for key, place in last.items():
            ending.setdefault(place, []).append(key)
        alive: dict[Hashable, int] = {}
        peak = now = 0
        for place, node in enumerate(self.nodes):
            for key in (*(self.inputs if place == 0 else ()), *node.outputs):
                tensor = self.tensors[key]
                if key not in constant and key not in alive:
                    if tensor.bytes is None:
                        return None
                    alive[key] = tensor.bytes
                    now += tensor.bytes
            peak = max(peak, now)
            for key in ending.get(place, ()):
                now -= alive.pop(key, 0)
        return peak

    def constants(self) -> list[Tensor]:
        return [tensor for tensor in self.tensors.values() if tensor.stored_bytes is not None]


def broadcast(*shapes: Shape | None) -> Shape | None:
    """The shape of what is computed element by element; None where one is unknown or they do not fit."""
    rank = max((len(shape) for shape in shapes if shape is not None), default=0)
    sizes = [1] * rank
    for shape in shapes:
        if shape is None:
            return None
        for place, size in enumerate(reversed(shape)):
            if size != 1:
                if sizes[-1 - place] not in (1, size):
                    return None
                sizes[-1 - place] = size
    return tuple(sizes)


def keras_layers(named: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    """The Keras layers that each operator is made of, the one with the kernel first, by what the tensors of
    each are called: its constants', then its output's. Empty where none is known.

    TensorFlow names a tensor by the scopes it is made in: the model, a model within, the layer, and the
    operation, such as `mnist_tiny_1/conv2d_5_1/convolution`. A scope that is entered once more, as when a
    model is traced, gets a number behind it: the same for all layers, or a higher one where that name is
    taken (`conv2d` is traced as `conv2d_1`, then `conv2d_1` as `conv2d_1_2`).
    """
    found = []
    for names in named:
        paths = sorted(
            (path for name in names if (path := _scopes(name))), key=lambda p: p[1] not in _KERNELS
        )
        found.append(list(dict.fromkeys(path[0] for path in paths)))
    every = [name for names in found for name in names]
    # Scopes within a layer, such as `flatten_1/strided_slice`, have no number of their own.
    layers = [name for name in every if _TRACED.search(name) or not re.search(r"_\d+/", name)]
    numbers = [match[0] if (match := _TRACED.search(name)) else "" for name in layers]
    traced = max(numbers, key=numbers.count, default="")
    again = [name for name in layers if not name.endswith(traced)]
    if traced and all(numbers) and all(_TRACED.sub("", name).endswith(traced) for name in again):

        def plain(name: str) -> str:
            parts = name.split("/")
            while not _TRACED.search(parts[-1]):
                parts.pop()
            return _TRACED.sub("", "/".join(parts))

        found = [[plain(name) for name in names] for names in found]
    return [tuple(names) for names in found]


def _scopes(name: str) -> tuple[str, str] | None:
    """The layer, with the models within which it is, and the operation."""
    parts = [part for part in re.sub(r"(:\d+)+$", "", name.partition(";")[0]).split("/") if part]
    while len(parts) > 3 and (parts[-1] in _WITHIN or parts[-2] in {*_WITHIN, _OPERATION}):
        parts = parts[:-1]
    if name.startswith("/") and len(parts) > 1:  # as PyTorch names nodes, without the model in front
        return "/".join(parts[:-1]), re.sub(r"_\d+$", "", parts[-1])
    if len(parts) < 3:
        return None
    return "/".join(parts[1:-1]), re.sub(r"_\d+$", "", parts[-1])
