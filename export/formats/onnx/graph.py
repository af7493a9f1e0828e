"""What is looked up in ONNX graphs, and what no tool does to them: values named."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewright.export.network.float_network import INPUT, OUTPUT
from edgewright.export.network.onnx import graphs


def normalized(model: Any) -> Any:
    """The same graph with every value, constant and node named and ordered by its place.

    tf2onnx numbers names by what it converted before, and orders constants by hash; so does onnxruntime with
    what dequantizes them.
    """
    graph = model.graph
    _bring_to_readers(graph)
    names = {INPUT: INPUT, OUTPUT: OUTPUT, "": ""}
    for node in graph.node:
        _name_values(node, names)
    _rename(graph, names, "")
    constants = sorted((c for c in graph.initializer if c.name), key=lambda c: int(c.name[1:]))
    ordered = [type(constant).FromString(constant.SerializeToString()) for constant in constants]
    del graph.initializer[:]
    graph.initializer.extend(ordered)
    used = {node.domain for part in graphs.everywhere(graph) for node in part.node}
    for place in reversed(range(len(model.opset_import))):
        if model.opset_import[place].domain not in used:
            del model.opset_import[place]
    for value in (*graph.input, *graph.output):  # a free size is numbered too
        batch = value.type.tensor_type.shape.dim[0]
        if not batch.HasField("dim_value"):
            batch.dim_param = "batch"
    graph.name, graph.doc_string, model.doc_string = "edgewright", "", ""
    return model


def _bring_to_readers(graph: Any) -> None:
    """Put each node that reads constants alone just before the first that reads it."""
    constants = {constant.name for constant in graph.initializer}
    waiting = {
        name: node
        for node in graph.node
        if node.input and {*node.input} <= constants | {""} and len(node.output) == 1
        for name in node.output
    }
    ordered = []
    for node in graph.node:
        if node.output[0] in waiting:
            continue
        inside = any(attribute.HasField("g") for attribute in node.attribute)  # a Loop's body reads them too
        ordered += [waiting.pop(name) for name in ([*waiting] if inside else node.input) if name in waiting]
        ordered.append(node)
    nodes = [type(node).FromString(node.SerializeToString()) for node in (*ordered, *waiting.values())]
    del graph.node[:]
    graph.node.extend(nodes)


def _name_values(node: Any, names: dict[str, str]) -> None:
    """Name the values of a node, and those within it, by how many were named before."""
    for value in (*node.input, *node.output):
        names.setdefault(value, f"v{len(names)}")
    for part in graphs.inner(node):
        for value in (*part.input, *part.initializer):
            names.setdefault(value.name, f"v{len(names)}")
        for inside in part.node:
            _name_values(inside, names)
        for value in part.output:
            names.setdefault(value.name, f"v{len(names)}")


def _rename(graph: Any, names: Mapping[str, str], place: str) -> None:
    for i, node in enumerate(graph.node):
        node.name, node.doc_string = f"{place}{node.op_type}_{i}", ""
        node.input[:] = [names[value] for value in node.input]
        node.output[:] = [names[value] for value in node.output]
        for part in graphs.inner(node):
            _rename(part, names, f"{node.name}/")
    for value in (*graph.input, *graph.output):
        value.name = names.get(value.name, value.name)
    for constant in graph.initializer:
        constant.name, constant.doc_string = names.get(constant.name, ""), ""
    del graph.value_info[:]


def flatten_biases(graph: Any) -> None:
    """Give each Gemm's bias the one dimension that onnxruntime's quantizer expects; onnxslim makes a Gemm of
    a MatMul and any Add that broadcasts."""
    constants = {constant.name: constant for constant in graph.initializer}
    for name in {node.input[2] for node in graph.node if node.op_type == "Gemm" and len(node.input) > 2}:
        alone = all(node.op_type == "Gemm" for node in readers(graph, name))
        if alone and name in constants and len(constants[name].dims) == 2 and constants[name].dims[0] == 1:
            del constants[name].dims[0]


def unshare(model: Any) -> None:
    """Give nodes of their own what onnxruntime makes anew for each: it names what it makes by what was there,
    and fails to load a file where two nodes had the same.

    Told to keep 8-bit products exact (`session.x64quantprecision`), it makes signed weights and activations
    unsigned. So signed weights that several nodes read, such as those of a recurrent layer that is written
    out, are made unsigned here, which changes no product, and signed zero points are one a tensor.
    """
    from onnx import TensorProto

    signed = {c.name: c for c in model.graph.initializer if c.data_type == TensorProto.INT8}
    _make_shared_weights_unsigned(model.graph, signed)
    _give_each_tensor_its_zero_point(model.graph, signed)


def _make_shared_weights_unsigned(graph: Any, signed: dict[str, Any]) -> None:
    from onnx import numpy_helper

    reading: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in dict.fromkeys(value for value in node.input if value in signed):
            reading.setdefault(name, []).append(node)
    for name, nodes in reading.items():
        places = {"DequantizeLinear": (0, 2), "MatMulInteger": (1, 3)}.get(nodes[0].op_type, (0, 0))
        if len({node.op_type for node in nodes}) > 1 or len(nodes[0].input) <= places[1]:
            continue
        weight, zero = places
        shared = len(nodes) > 1 or len(readers(graph, nodes[0].output[0])) > 1
        if not shared or any(node.input[weight] != name for node in nodes):
            continue
        for stored, new in ((signed[name], name), (signed[nodes[0].input[zero]], f"{name}_zero_point")):
            moved = (numpy_helper.to_array(stored).astype(np.int16) + 128).astype(np.uint8)
            if new == name:
                stored.CopyFrom(numpy_helper.from_array(moved, new))
            else:
                graph.initializer.append(numpy_helper.from_array(moved, new))
        for node in nodes:
            node.input[zero] = f"{name}_zero_point"


def _give_each_tensor_its_zero_point(graph: Any, signed: dict[str, Any]) -> None:
    from onnx import numpy_helper

    tensors: dict[str, str] = {}  # by the zero point that stays with them
    for node in graph.node:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear") or len(node.input) < 3:
            continue
        tensor = node.output[0] if node.op_type == "QuantizeLinear" else node.input[0]
        zero = node.input[2]
        if zero not in signed or tensors.setdefault(zero, tensor) == tensor:
            continue
        node.input[2] = own = f"{zero}_of_{tensor}"
        if tensors.setdefault(own, "") != tensor:
            tensors[own] = tensor
            graph.initializer.append(numpy_helper.from_array(numpy_helper.to_array(signed[zero]), own))


def sizes(graph: Any) -> dict[str, int]:
    """How many numbers each constant holds, by name."""
    return {constant.name: math.prod(constant.dims) for constant in graph.initializer}


def readers(graph: Any, value: str) -> list[Any]:
    """The nodes that read a value."""
    return [node for node in graph.node if value in graphs.read_by(node)]


def numbers(graph: Any) -> dict[str, Any]:
    """Constants of one number, by name."""
    from onnx import numpy_helper

    small = [constant for constant in graph.initializer if math.prod(constant.dims) == 1]
    return {constant.name: numpy_helper.to_array(constant).reshape(())[()] for constant in small}


def least_ir_version(model: Any) -> int:
    """The first IR version that knows the model's opset of ONNX itself; other domains have none."""
    from onnx import helper

    own = [entry for entry in model.opset_import if not entry.domain]
    found: int = helper.find_min_ir_version_for(own)
    return found


def kernels(graph: Any) -> dict[str, NDArray[Any]]:
    """The constant kernels of convolutions and dense layers as they are stored, output channels first."""
    from onnx import TensorProto, numpy_helper

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
        if stored[name].data_type == TensorProto.INT4:
            array = array.astype(np.int8)
        result[name] = array if node.op_type == "Conv" or turned else array.T
    return result
