"""Runs parts of an ONNX model while it is being made, with products that are exact."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from edgewright.runtime.backends.ort.session import EXACT_PRODUCTS

Values = NDArray[Any]
Held = dict[str, list[Values]]  # the batches of each value


def advance(model: Any, start: int, end: int, held: Held, wanted: str = "") -> Held:
    """What nodes behind `end` read, or the value `wanted` alone, from what is held in front of `start`."""
    if start == end:
        return held
    nodes = model.graph.node
    later = {wanted} if wanted else {value for node in nodes[end:] for value in node.input}
    fixed = {constant.name for constant in model.graph.initializer}
    made = [
        value
        for node in nodes[start:end]
        for value in node.output
        if value in later and not fixed.issuperset(node.input)  # weights dequantized in front of all else
    ]
    part = _part(model, start, end, held, made)
    running, names = session(part), [value.name for value in part.graph.input]
    count = len(next(iter(held.values())))
    results = [running.run(made, {name: held[name][i] for name in names}) for i in range(count)]
    kept = {value: batches for value, batches in held.items() if value in later}
    return kept | {
        value: list(batches) for value, batches in zip(made, zip(*results, strict=True), strict=True)
    }


def _part(model: Any, start: int, end: int, held: Held, outputs: Sequence[str]) -> Any:
    """A model of nodes `start` to `end` alone, with the constants they read.

    Weights are dequantized by nodes that may stand anywhere before; those come along.
    """
    from onnx import helper

    part = copy.deepcopy(model)
    graph = part.graph
    chosen = list(model.graph.node[start:end])
    read = {value for node in chosen for value in node.input}
    chosen = [n for n in model.graph.node[:start] if read & set(n.output) - set(held)] + chosen
    read = {value for node in chosen for value in node.input}
    del graph.node[:], graph.input[:], graph.output[:], graph.value_info[:]
    graph.node.extend(chosen)
    unused = [constant for constant in graph.initializer if constant.name not in read]
    for constant in unused:
        graph.initializer.remove(constant)
    for value in read & set(held):
        kind = helper.np_dtype_to_tensor_dtype(held[value][0].dtype)
        graph.input.append(helper.make_tensor_value_info(value, kind, None))
    graph.output.extend(helper.make_empty_tensor_value_info(value) for value in outputs)
    return part


def session(model: Any) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.add_session_config_entry(*EXACT_PRODUCTS)
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
