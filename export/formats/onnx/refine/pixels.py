"""Lets an int8 ONNX file read raw pixels: its input's own scale and zero point do the scaling."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgewright.export.formats import Context
from edgewright.export.formats.onnx import graph as onnx_graph
from edgewright.export.network.float_network import INPUT

_MOVES = ("Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze")  # numbers stay as they are


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """The nodes that scale pixels first of all, `factor * pixel + offset`, and the value they give."""

    nodes: list[Any]
    factor: float
    offset: float
    value: str


def scaling(graph: Any) -> Scaling:
    """Follow the input for as long as it is only cast and scaled by single numbers."""
    numbers = onnx_graph.numbers(graph)
    value, nodes, factor, offset = INPUT, [], 1.0, 0.0
    while len(readers := onnx_graph.readers(graph, value)) == 1:
        node = readers[0]
        others = [float(numbers[name]) for name in node.input if name in numbers]
        if len(node.input) - len(others) != 1 or len(others) > 1:
            break
        number = others[0] if others else 0.0
        match node.op_type:
            case "Cast" | "Identity":
                pass
            case "Mul":
                factor, offset = factor * number, offset * number
            case "Div" if node.input[0] == value:
                factor, offset = factor / number, offset / number
            case "Add":
                offset += number
            case "Sub" if node.input[0] == value:
                offset -= number
            case _:
                break
        nodes.append(node)
        value = node.output[0]
    return Scaling(nodes=nodes, factor=factor, offset=offset, value=value)


def refine(model: Any, context: Context) -> str | None:
    """Let the first quantization's scale and zero point read raw pixels, instead of scaling them.

    A uint8 pixel is already what QuantizeLinear would make of it once scaled, so both go: the file
    has no operator before its first layer. With two ends of the range at half a step, as in -1..1,
    pixels are half a step off. Of signed activations, and of any other scaling, nothing is changed.
    """
    from onnx import helper, numpy_helper

    graph = model.graph
    numbers, scaled = onnx_graph.numbers(graph), scaling(graph)
    moves: list[Any] = []
    value = scaled.value
    while len(readers := onnx_graph.readers(graph, value)) == 1 and readers[0].op_type in _MOVES:
        moves.append(readers[0])
        value = readers[0].output[0]
    if len(readers) != 1 or readers[0].op_type != "QuantizeLinear":
        return None
    quantize = readers[0]
    step, zero_point = (numbers.get(name) for name in quantize.input[1:3])
    if (
        step is None
        or zero_point is None
        or zero_point.dtype != np.uint8
        or not math.isclose(step, scaled.factor, rel_tol=1e-5)
        or abs(scaled.offset + zero_point * step) > step / 2 * 1.01
    ):
        return None
    pixels = INPUT if context.network.interface.dtype == "uint8" else "pixels"
    renamed = {scaled.value: pixels, quantize.output[0]: moves[-1].output[0] if moves else pixels}
    for node in (*scaled.nodes, quantize):
        graph.node.remove(node)
    for node in graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
    if pixels != INPUT:
        graph.initializer.append(numpy_helper.from_array(np.float32(1), "pixels_scale"))
        graph.initializer.append(numpy_helper.from_array(np.uint8(0), "pixels_zero_point"))
        rounding = [INPUT, "pixels_scale", "pixels_zero_point"]
        graph.node.insert(0, helper.make_node("QuantizeLinear", rounding, [pixels]))
    return "pixels by the input's own quantization"
