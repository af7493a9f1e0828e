"""Runs a .tflite file while it is being made, on kernels that give each tensor, and the same everywhere."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewright.export.formats.tflite import tree as tflite_tree
from edgewright.export.formats.tflite.tree import Operator
from edgewright.export.network.float_network import batches
from edgewright.train.datasets import Images

Values = NDArray[Any]


def tensors(raw: bytes, wanted: Sequence[int], images: Images) -> Iterator[list[Values]]:
    """What the tensors `wanted` hold for `images`, as many at once as the file takes.

    The last batch is filled up with its last image.
    """
    interpreter = _interpreter(raw)
    given = interpreter.get_input_details()[0]
    for batch in batches(images, int(given["shape"][0]), given["dtype"]):
        interpreter.set_tensor(given["index"], batch)
        interpreter.invoke()
        yield [interpreter.get_tensor(tensor) for tensor in wanted]


def run(raw: bytes, given: Sequence[Sequence[Values]]) -> list[list[Values]]:
    """The batches of each output for the batches of each input, inputs and outputs in the file's order."""
    interpreter = _interpreter(raw)
    inputs = [detail["index"] for detail in interpreter.get_input_details()]
    outputs = [detail["index"] for detail in interpreter.get_output_details()]
    results: list[list[Values]] = [[] for _ in outputs]
    for batch in zip(*given, strict=True):
        for index, value in zip(inputs, batch, strict=True):
            interpreter.set_tensor(index, value)
        interpreter.invoke()
        for taken, index in zip(results, outputs, strict=True):
            taken.append(interpreter.get_tensor(index))
    return results


def edges(operators: Sequence[Operator], start: int, end: int, held: Any) -> tuple[list[int], list[int]]:
    """What operators `start` to `end` read of `held`, and what they write that is read later; the last one's
    output is always among it."""
    between = operators[start : end + 1]
    reads = dict.fromkeys(tensor for op in between for tensor in op.inputs if tensor in held)
    later = {tensor for op in operators[end + 1 :] for tensor in op.inputs}
    written = [tensor for op in between for tensor in op.outputs]
    return list(reads), [t for t in written if t in later or t == written[-1]]


def part(tree: Any, start: int, end: int, reads: Sequence[int], writes: Sequence[int]) -> bytes:
    """A file of operators `start` to `end` alone, with the constants they read."""
    whole = copy.copy(tree)
    graph = copy.copy(tree.subgraphs[0])
    graph.operators = graph.operators[start : end + 1]
    graph.inputs, graph.outputs = np.array(reads, np.int32), np.array(writes, np.int32)
    used = {int(index) for op in graph.operators for index in op.inputs if index >= 0}
    kept = {graph.tensors[index].buffer for index in used}
    empty = copy.copy(tree.buffers[0])
    empty.data = None
    whole.subgraphs, whole.signatureDefs, whole.metadata = [graph], None, None
    whole.buffers = [buffer if i in kept else empty for i, buffer in enumerate(tree.buffers)]
    return tflite_tree.write(whole)


def _interpreter(raw: bytes) -> Any:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_content=raw,
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    return interpreter
