"""What no tool does to ONNX graphs: close constants in, read pixels as they are, name values by place."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewright.export import codebooks
from edgewright.export.network import INPUT, OUTPUT

_MOVES = ("Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze")  # numbers stay as they are


def close_in(graph: Any, captured: Any) -> None:
    """Make constants of the inputs that are none: tensors the traced function had captured.

    tf2onnx leaves what a Keras layer holds as a plain tensor (Normalization's mean) an input that a
    runtime would ask for.

    Args:
        graph: the model's graph, changed in place.
        captured: `(value, placeholder)` pairs, as a traced function's graph lists them.
    """
    from onnx import numpy_helper

    values = {placeholder.name: value for value, placeholder in captured}
    for given in [given for given in graph.input if given.name != INPUT]:
        graph.initializer.append(numpy_helper.from_array(values[given.name].numpy(), given.name))
        graph.input.remove(given)


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """The nodes that scale pixels first of all, `factor * pixel + offset`, and the value they give."""

    nodes: list[Any]
    factor: float
    offset: float
    value: str


def scaling(graph: Any) -> Scaling:
    """Follow the input for as long as it is only cast and scaled by single numbers."""
    numbers = _numbers(graph)
    value, nodes, factor, offset = INPUT, [], 1.0, 0.0
    while len(readers := _readers(graph, value)) == 1:
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


def read_raw_pixels(graph: Any, dtype: str) -> bool:
    """Let the first quantization's scale and zero point read raw pixels, instead of scaling them.

    A uint8 pixel is already what QuantizeLinear would make of it once scaled, so both go: the file
    has no operator before its first layer. With two ends of the range at half a step, as in -1..1,
    pixels are half a step off. True if it was so; else the graph is as it was.

    Args:
        graph: a QDQ graph with uint8 activations, changed in place.
        dtype: of the graph's input, uint8 or float32.
    """
    from onnx import helper, numpy_helper

    numbers, found = _numbers(graph), scaling(graph)
    moves: list[Any] = []
    value = found.value
    while len(readers := _readers(graph, value)) == 1 and readers[0].op_type in _MOVES:
        moves.append(readers[0])
        value = readers[0].output[0]
    if len(readers) != 1 or readers[0].op_type != "QuantizeLinear":
        return False
    quantize = readers[0]
    step, zero_point = (numbers.get(name) for name in quantize.input[1:3])
    if (
        step is None
        or zero_point is None
        or zero_point.dtype != np.uint8
        or not math.isclose(step, found.factor, rel_tol=1e-5)
        or abs(found.offset + zero_point * step) > step / 2 * 1.01
    ):
        return False
    pixels = INPUT if dtype == "uint8" else "pixels"
    renamed = {found.value: pixels, quantize.output[0]: moves[-1].output[0] if moves else pixels}
    for node in (*found.nodes, quantize):
        graph.node.remove(node)
    for node in graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
    if pixels != INPUT:
        graph.initializer.append(numpy_helper.from_array(np.float32(1), "pixels_scale"))
        graph.initializer.append(numpy_helper.from_array(np.uint8(0), "pixels_zero_point"))
        rounding = [INPUT, "pixels_scale", "pixels_zero_point"]
        graph.node.insert(0, helper.make_node("QuantizeLinear", rounding, [pixels]))
    return True


def share_codebooks(graph: Any, kernels: Sequence[NDArray[Any]]) -> int:
    """Store clustered layers of a QDQ graph with one codebook each, see `codebooks`; how many there are.

    Args:
        graph: changed in place.
        kernels: as `codebooks.clustered` finds them.
    """
    from onnx import numpy_helper

    constants = {constant.name: constant for constant in graph.initializer}
    made = {node.output[0]: node for node in graph.node if node.op_type == "DequantizeLinear"}
    uses = Counter(name for node in graph.node for name in node.input)
    turned = [np.moveaxis(kernel, -1, 1) for kernel in kernels]  # input channels before height and width
    done = 0
    for node in graph.node:
        parts = [made[name] for name in node.input[1:] if name in made]
        owned = [name for part in parts for name in (*part.input[:2], part.output[0])]
        if (
            node.op_type not in ("Conv", "Gemm", "MatMul")
            or not parts
            or node.input[1] != parts[0].output[0]
            or not all(uses[name] == 1 for name in owned)
            or not constants.keys() >= {name for part in parts for name in part.input}
        ):
            continue
        stored, scales = (numpy_helper.to_array(constants[name]) for name in parts[0].input[:2])
        if stored.dtype != np.int8 or scales.ndim != 1:
            continue
        axis = next((a.i for a in parts[0].attribute if a.name == "axis"), 1)
        found = codebooks.recode(np.moveaxis(stored, axis, 0), scales, turned)
        if found is None:
            continue
        anew = {parts[0].input[0]: np.moveaxis(found[0], 0, axis), parts[0].input[1]: found[1]}
        if len(parts) > 1:
            bias, steps = (numpy_helper.to_array(constants[name]) for name in parts[1].input[:2])
            moved = np.rint(bias * (scales / found[1].astype(np.float64)))
            if np.abs(moved).max() > 2**31 - 1:
                continue
            anew |= {parts[1].input[0]: moved.astype(np.int32), parts[1].input[1]: steps * found[1] / scales}
        for name, array in anew.items():
            constants[name].CopyFrom(numpy_helper.from_array(np.ascontiguousarray(array), name))
        done += 1
    return done


def normalized(model: Any) -> Any:
    """The same graph with every value, constant and node named and ordered by its place.

    tf2onnx numbers names by what it converted before, and orders constants by hash.
    """
    graph = model.graph
    names = {INPUT: INPUT, OUTPUT: OUTPUT, "": ""}
    for node in graph.node:
        node.name, node.doc_string = "", ""
        for value in (*node.input, *node.output):
            names.setdefault(value, f"v{len(names)}")
    for i, node in enumerate(graph.node):
        node.name = f"{node.op_type}_{i}"
        node.input[:] = [names[value] for value in node.input]
        node.output[:] = [names[value] for value in node.output]
    constants = sorted(
        (c for c in graph.initializer if c.name in names), key=lambda c: int(names[c.name][1:])
    )
    for constant in constants:
        constant.name, constant.doc_string = names[constant.name], ""
    del graph.value_info[:]
    ordered = [type(constant).FromString(constant.SerializeToString()) for constant in constants]
    del graph.initializer[:]
    graph.initializer.extend(ordered)
    used = {node.domain for node in graph.node}
    for place in reversed(range(len(model.opset_import))):
        if model.opset_import[place].domain not in used:
            del model.opset_import[place]
    for value in (*graph.input, *graph.output):  # a free size is numbered too
        batch = value.type.tensor_type.shape.dim[0]
        if not batch.HasField("dim_value"):
            batch.dim_param = "batch"
    graph.name, graph.doc_string, model.doc_string = "edgewright", "", ""
    return model


def sizes(graph: Any) -> dict[str, int]:
    """How many numbers each constant holds, by name."""
    return {constant.name: math.prod(constant.dims) for constant in graph.initializer}


def _readers(graph: Any, value: str) -> list[Any]:
    return [node for node in graph.node if value in node.input]


def _numbers(graph: Any) -> dict[str, Any]:
    """Constants of one number, by name."""
    from onnx import numpy_helper

    small = [constant for constant in graph.initializer if math.prod(constant.dims) == 1]
    return {constant.name: numpy_helper.to_array(constant).reshape(())[()] for constant in small}


def kernels(graph: Any) -> dict[str, NDArray[Any]]:
    """The constant kernels of convolutions and dense layers as they are stored, output channels first."""
    from onnx import numpy_helper

    stored = {value.name: value for value in graph.initializer}
    quantized = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "DequantizeLinear"}
    result = {}
    for node in graph.node:
        if node.op_type not in ("Conv", "Gemm", "MatMul", "MatMulInteger"):
            continue
        name = quantized.get(node.input[1], node.input[1])
        if name not in stored:
            continue
        turned = any(a.name == "transB" and a.i for a in node.attribute)
        array = numpy_helper.to_array(stored[name])
        result[name] = array if node.op_type == "Conv" or turned else array.T
    return result
