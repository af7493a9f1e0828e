"""A .tflite file as a tree of objects that can be looked through, changed and written again."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewright.runtime.backends.litert.tree import read as read
from edgewright.runtime.backends.litert.tree import write as write


@dataclass(frozen=True, kw_only=True)
class Operator:
    """One operator by its schema name, with the tensors it reads and writes by their index."""

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def shorten_names(tree: Any) -> None:
    """Cut each tensor's name to the first of the operations that the converter fused into it.

    Names join all of them: 6.3 of ResNet-8's 98.8 KB in int8. Names stay different from each other.
    """
    taken: set[str] = set()
    for graph in tree.subgraphs:
        for index, tensor in enumerate(graph.tensors):
            name = _text(tensor.name).partition(";")[0]
            while name in taken:
                name += f":{index}"
            tensor.name = name
            taken.add(name)


def operators(tree: Any) -> list[Operator]:
    """The main graph's operators in execution order."""
    names = _operator_names()
    return [
        Operator(
            name=names.get(tree.operatorCodes[op.opcodeIndex].builtinCode, "CUSTOM"),
            inputs=tuple(int(i) for i in op.inputs),
            outputs=tuple(int(i) for i in op.outputs),
        )
        for op in tree.subgraphs[0].operators
    ]


def tensor_name(tree: Any, index: int) -> str:
    return _text(tree.subgraphs[0].tensors[index].name)


def constant_sizes(tree: Any) -> dict[int, int]:
    """How many numbers each constant tensor holds, by its index."""
    return {
        i: math.prod(int(n) for n in tensor.shape)
        for i, tensor in enumerate(tree.subgraphs[0].tensors)
        if tensor.shape is not None and tree.buffers[tensor.buffer].data is not None
    }


def kernels(tree: Any) -> dict[str, NDArray[Any]]:
    """The constant kernels of convolutions and dense layers as they are stored, output channels first."""
    order, result = operators(tree), {}
    stored = {op.outputs[0]: op.inputs[0] for op in order if op.name == "DEQUANTIZE"}  # float16, weight-only
    for op in order:
        if op.name not in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
            continue
        index = stored.get(op.inputs[1], op.inputs[1])
        tensor = tree.subgraphs[0].tensors[index]
        data = tree.buffers[tensor.buffer].data
        if data is None:
            continue
        numbers = np.frombuffer(bytes(data), dtype(tree, index))
        shape = [int(n) for n in tensor.shape]
        if numbers.size < math.prod(shape):  # four bits each, the first of a byte in its lower half
            numbers = np.stack([numbers << 4 >> 4, numbers >> 4], axis=1).ravel()[: math.prod(shape)]
        array = numbers.reshape(shape)
        result[tensor_name(tree, index)] = np.moveaxis(array, -1, 0) if "DEPTHWISE" in op.name else array
    return result


def quantization(tree: Any, index: int) -> tuple[float, int]:
    """A tensor's scale and zero point; (0.0, 0) where it is not quantized."""
    given = tree.subgraphs[0].tensors[index].quantization
    if given is None or given.scale is None or len(given.scale) == 0:
        return 0.0, 0
    return float(given.scale[0]), int(given.zeroPoint[0])


def dtype(tree: Any, index: int) -> np.dtype[Any]:
    """That of the bytes, for 4-bit numbers. Raises `KeyError` for a type that no tensor of ours has."""
    from ai_edge_litert.schema_py_generated import TensorType

    known = {"FLOAT32": "<f4", "FLOAT16": "<f2", "UINT8": "u1", "INT8": "i1", "INT4": "i1", "INT32": "<i4"}
    numbers = {getattr(TensorType, name): code for name, code in known.items()}
    return np.dtype(numbers[tree.subgraphs[0].tensors[index].type])


def is_constant(tree: Any, index: int) -> bool:
    return index >= 0 and tree.buffers[tree.subgraphs[0].tensors[index].buffer].data is not None


def constant(tree: Any, index: int) -> NDArray[Any]:
    """What a constant tensor holds.

    Raises:
        KeyError: as `dtype`.
    """
    tensor = tree.subgraphs[0].tensors[index]
    held = np.frombuffer(bytes(tree.buffers[tensor.buffer].data), dtype(tree, index))
    return held.reshape([int(n) for n in tensor.shape])


def set_constant(tree: Any, index: int, array: NDArray[Any]) -> None:
    """Change what one tensor holds; others that are stored in the same place keep theirs."""
    tensor = tree.subgraphs[0].tensors[index]
    new = copy.copy(tree.buffers[tensor.buffer])
    new.data = np.frombuffer(np.ascontiguousarray(array, dtype(tree, index)).tobytes(), np.uint8)
    if sum(one.buffer == tensor.buffer for one in tree.subgraphs[0].tensors) > 1:
        tensor.buffer = len(tree.buffers)
        tree.buffers.append(new)
    else:
        tree.buffers[tensor.buffer] = new


def set_input(tree: Any, place: int, position: int, array: NDArray[Any]) -> None:
    """Change a constant that the operator at `place` reads; others that read the same tensor keep theirs."""
    graph = tree.subgraphs[0]
    read = graph.operators[place].inputs
    index = int(read[position])
    if sum(list(op.inputs).count(index) for op in graph.operators) > 1:
        own = copy.copy(graph.tensors[index])
        own.name = f"{_text(own.name)}:{place}"
        graph.tensors.append(own)
        index = len(graph.tensors) - 1
        changed = np.array(read, np.int32)
        changed[position] = index
        graph.operators[place].inputs = changed
    set_constant(tree, index, array)


def remembered(tree: Any) -> Callable[[], None]:
    """What puts the constants of all tensors back, whatever `set_constant` has made of them since."""
    buffers, places = list(tree.buffers), [tensor.buffer for tensor in tree.subgraphs[0].tensors]

    def put_back() -> None:
        tree.buffers[:] = buffers
        for tensor, place in zip(tree.subgraphs[0].tensors, places, strict=True):
            tensor.buffer = place

    return put_back


def set_quantization(tree: Any, index: int, scale: float, zero_point: int) -> None:
    given = tree.subgraphs[0].tensors[index].quantization
    given.scale, given.zeroPoint = np.array([scale], np.float32), np.array([zero_point], np.int64)
    given.min = given.max = None


def set_metadata(tree: Any, entries: Mapping[str, bytes]) -> None:
    """Set metadata entries; those of the same names are replaced."""
    from ai_edge_litert import schema_py_generated as schema

    tree.metadata = tree.metadata or []
    places = {_text(entry.name): entry.buffer for entry in tree.metadata}
    for name, data in entries.items():
        if name not in places:
            entry = schema.MetadataT()
            entry.name, entry.buffer = name, len(tree.buffers)
            tree.metadata.append(entry)
            tree.buffers.append(schema.BufferT())
        tree.buffers[places.get(name, -1)].data = np.frombuffer(data, np.uint8)


@cache
def _operator_names() -> dict[int, str]:
    from ai_edge_litert.schema_py_generated import BuiltinOperator

    return {number: name for name, number in vars(BuiltinOperator).items() if isinstance(number, int)}


def _text(name: str | bytes) -> str:
    return name if isinstance(name, str) else name.decode("utf-8", "replace")
