"""Runs a .tflite file while it is being made, on kernels that give each tensor, and the same everywhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from numpy.typing import NDArray

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


def _interpreter(raw: bytes) -> Any:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_content=raw,
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    return interpreter
