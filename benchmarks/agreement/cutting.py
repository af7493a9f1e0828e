"""Cuts operators out of a .tflite file, as a file of their own with the same constants and quantization.

What such a file takes are the values that reach the operators in the whole file, what it gives are those that
leave them. It is written anew from the tensors, buffers and operator codes that they need: nothing else of
the file is left in it.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewright.runtime.backends.litert.graph import OPERATORS

# They run other graphs of the file, or keep something from one run to the next.
_NOT_ALONE = frozenset(
    (
        *("IF", "WHILE", "CALL", "CALL_ONCE", "STABLEHLO_WHILE", "STABLEHLO_CASE", "STABLEHLO_COMPOSITE"),
        *("VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE", "HASHTABLE", "HASHTABLE_FIND"),
        *("HASHTABLE_IMPORT", "HASHTABLE_SIZE", "STABLEHLO_REDUCE", "STABLEHLO_SORT", "STABLEHLO_SCATTER"),
        *("STABLEHLO_REDUCE_WINDOW", "DELEGATE"),
    )
)
_WEIGHTED = frozenset(("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV", "BATCH_MATMUL"))
_FLOAT32, _INT8 = 0, 9  # TensorType


class NotAloneError(ValueError):
    """Operators that are not the same in a file of their own."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """A file with some of another file's operators; `inputs` and `outputs` are that file's tensors, in the
    order that the part takes and gives them."""

    raw: bytes = field(repr=False)
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


class Cutter:
    """A file's main graph, to be cut. `tree` is as `edgewright.runtime.backends.litert.tree` reads it."""

    def __init__(self, tree: Any) -> None:
        self._tree = tree
        self._graph = tree.subgraphs[0]
        for op in self._graph.operators:  # a vector that is left out is an empty one
            op.inputs, op.outputs = (() if given is None else given for given in (op.inputs, op.outputs))
        codes = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in tree.operatorCodes]
        self.names = [
            OPERATORS[code] if 0 <= (code := codes[op.opcodeIndex]) < len(OPERATORS) else f"builtin-{code}"
            for op in self._graph.operators
        ]
        self._maker = {
            int(index): place for place, op in enumerate(self._graph.operators) for index in op.outputs
        }
        self.given = [int(index) for index in self._graph.inputs]
        # What is computed of constants alone, and what of shapes and constants: the same in each run.
        self._unpacked, self._fixed = set[int](), set[int]()
        for place, op in enumerate(self._graph.operators):
            read = [int(i) for i in op.inputs if i >= 0]
            if all(self._is_constant(i) or self._maker.get(i) in self._unpacked for i in read):
                self._unpacked.add(place)
            elif self.names[place] == "SHAPE" or all(
                self._is_constant(i) or self._maker.get(i) in (self._unpacked | self._fixed) for i in read
            ):
                self._fixed.add(place)
        # Those that compute something of what the file is given, and can be cut out.
        self.alone = [
            place
            for place, op in enumerate(self._graph.operators)
            if place not in self._unpacked | self._fixed and self._can_leave(place, op)
        ]

    def _can_leave(self, place: int, op: Any) -> bool:
        tensors = [self._graph.tensors[int(i)] for i in (*op.inputs, *op.outputs) if i >= 0]
        return (
            self.names[place] not in _NOT_ALONE
            and not any(tensor.isVariable for tensor in tensors)
            and not len(op.intermediates if op.intermediates is not None else ())
            and not op.largeCustomOptionsOffset
        )

    def cut(self, places: Sequence[int], held: Mapping[int, NDArray[Any]], *, floats: bool = False) -> Part:
        """The operators at these places as a file.

        Args:
            places: in the order they run.
            held: the value of each computed tensor in one run; shapes are taken from them.
            floats: weights of 8 bits beside float inputs are written as float32.

        Raises:
            NotAloneError: they cannot stand alone.
        """
        from ai_edge_litert import schema_py_generated as schema

        from edgewright.runtime.backends.litert.tree import write

        if not set(places) <= set(self.alone):
            raise NotAloneError(f"operators {places}")
        chosen = self._with_constants(places)
        made = {int(i) for place in chosen for i in self._graph.operators[place].outputs}
        read = [int(i) for place in chosen for i in self._graph.operators[place].inputs if i >= 0]
        inputs = [
            i
            for i in dict.fromkeys(read)
            if i not in made and not self._is_constant(i) and self._maker.get(i) not in self._fixed
        ]
        outputs = self._leaving(places, chosen)
        if not inputs or not outputs or not {*inputs, *outputs} <= set(held):
            raise NotAloneError(f"operators {places}")
        builder = _Builder(self._tree, held)
        operators = []
        for place in chosen:
            op = self._graph.operators[place]
            new = copy.copy(op)
            new.opcodeIndex = builder.code(op.opcodeIndex)
            widened = floats and self._is_hybrid(place)
            new.inputs = np.array(
                [
                    builder.tensor(
                        int(i),
                        constant=self._is_constant(int(i)) or self._maker.get(int(i)) in self._fixed,
                        widened=widened and n == 1,
                    )
                    for n, i in enumerate(op.inputs)
                ],
                np.int32,
            )
            new.outputs = np.array([builder.tensor(int(i)) for i in op.outputs], np.int32)
            operators.append(new)
        graph = schema.SubGraphT()
        graph.inputs = np.array([builder.tensor(i) for i in inputs], np.int32)
        graph.outputs = np.array([builder.tensor(i) for i in outputs], np.int32)
        graph.tensors, graph.operators, graph.name = builder.tensors, operators, "main"
        model = schema.ModelT()
        model.version, model.description = 3, "cut"
        model.operatorCodes, model.buffers, model.subgraphs = builder.codes, builder.buffers, [graph]
        return Part(raw=write(model), inputs=tuple(inputs), outputs=tuple(outputs))

    def is_hybrid(self, places: Sequence[int]) -> bool:
        """True if one of them multiplies floats by weights of 8 bits."""
        return any(map(self._is_hybrid, places))

    def _is_hybrid(self, place: int) -> bool:
        op = self._graph.operators[place]
        if self.names[place] not in _WEIGHTED or len(op.inputs) < 2:
            return False
        given, weights = (self._graph.tensors[int(i)] for i in op.inputs[:2])
        return given.type == _FLOAT32 and weights.type == _INT8 and self._is_constant(int(op.inputs[1]))

    def _with_constants(self, places: Sequence[int]) -> list[int]:
        """And the operators that unpack the constants they read."""
        chosen, waiting = set(places), list(places)
        while waiting:
            for index in self._graph.operators[waiting.pop()].inputs:
                maker = self._maker.get(int(index))
                if maker in self._unpacked and maker not in chosen:
                    chosen.add(maker)
                    waiting.append(maker)
        return sorted(chosen)

    def _leaving(self, places: Sequence[int], chosen: Sequence[int]) -> list[int]:
        """What the operators give to others, or to nobody."""
        within = {int(i) for place in chosen for i in self._graph.operators[place].inputs}
        others = {
            int(i) for n, op in enumerate(self._graph.operators) if n not in chosen for i in op.inputs
        } | {int(i) for i in self._graph.outputs}
        made = [int(i) for place in places for i in self._graph.operators[place].outputs]
        return [i for i in made if i in others or i not in within]

    def _is_constant(self, index: int) -> bool:
        if index < 0 or index in self._maker or index in self.given:
            return False
        data = self._tree.buffers[self._graph.tensors[index].buffer].data
        return data is not None and len(data) > 0


class _Builder:
    """Tensors, buffers and operator codes of a new file, each taken over once."""

    def __init__(self, tree: Any, held: Mapping[int, NDArray[Any]]) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self._tree, self._held, self._buffer = tree, held, schema.BufferT
        self.tensors: list[Any] = []
        self.buffers: list[Any] = [schema.BufferT()]  # the first one is empty in every file
        self.codes: list[Any] = []
        self._places: dict[tuple[int, bool], int] = {}
        self._codes: dict[int, int] = {}

    def code(self, index: int) -> int:
        if index not in self._codes:
            self._codes[index] = len(self.codes)
            self.codes.append(copy.copy(self._tree.operatorCodes[index]))
        return self._codes[index]

    def tensor(self, index: int, *, constant: bool = False, widened: bool = False) -> int:
        if index < 0:
            return -1
        key = index, widened
        if key not in self._places:
            old = self._tree.subgraphs[0].tensors[index]
            new = copy.copy(old)
            new.shapeSignature, new.buffer = None, 0
            if not constant and index in self._held:
                new.shape = np.array(self._held[index].shape, np.int32)
            data = self._tree.buffers[old.buffer].data if constant else None
            if constant and (data is None or not len(data)):
                data = np.frombuffer(np.ascontiguousarray(self._held[index]).tobytes(), np.uint8)
                new.shape = np.array(self._held[index].shape, np.int32)
            if widened:
                data = np.frombuffer(_floats(old, data).tobytes(), np.uint8)
                new.type, new.quantization = _FLOAT32, None
            if data is not None:
                kept = self._buffer()
                kept.data = data
                new.buffer = len(self.buffers)
                self.buffers.append(kept)
            self._places[key] = len(self.tensors)
            self.tensors.append(new)
        return self._places[key]


def _floats(tensor: Any, data: Any) -> NDArray[np.float32]:
    """A constant of 8 bits as the floats it stands for."""
    numbers = np.frombuffer(bytes(data), np.int8).reshape([int(n) for n in tensor.shape])
    given = tensor.quantization
    scales, zeros = np.asarray(given.scale, np.float32), np.asarray(given.zeroPoint, np.float32)
    along = [1] * numbers.ndim
    if len(scales) > 1:
        along[given.quantizedDimension] = len(scales)
    result: NDArray[np.float32] = (numbers - zeros.reshape(along)) * scales.reshape(along)
    return result.astype(np.float32)
