"""What is looked up in ONNX graphs, and what no tool does to them: constants closed in, values named."""

from __future__ import annotations

import math
from typing import Any

from numpy.typing import NDArray

from edgewright.export.network.network import INPUT, OUTPUT


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


def readers(graph: Any, value: str) -> list[Any]:
    """The nodes that read a value."""
    return [node for node in graph.node if value in node.input]


def numbers(graph: Any) -> dict[str, Any]:
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
