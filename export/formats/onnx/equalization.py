"""Equalizes the layers of a float ONNX model, see `edgewright.export.weights.equalization`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewright.export.network.onnx import graphs
from edgewright.export.weights.equalization import (
    Equalizer,
    Layer,
    Places,
    broadcast,
    channel_axis,
    offset,
    pooled,
    scaling,
)

_KEEP = ("Relu", "LeakyRelu", "Identity", "Dropout", "Add", "Sum")
_SPATIAL = ("MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "ReduceMean", "Pad")
_BY_CHANNEL = ("Mul", "Add", "Sub")
_RESHAPE = ("Reshape", "Flatten", "Squeeze", "Unsqueeze")

Values = NDArray[Any]


def equalize(model: Any) -> int:
    """Equalize a float model that has its BatchNormalizations folded and its shapes inferred; gives how many
    layers changed."""
    from onnx import numpy_helper

    graph = model.graph
    numbers = {constant.name: numpy_helper.to_array(constant) for constant in graph.initializer}
    known = shapes(graph)
    equalizer = Equalizer()
    for place, node in enumerate(graph.node):
        given = [name for name in node.input if name and name not in numbers]
        layer = _layer(node, place, numbers)
        shape = known.get(node.output[0]) if node.output else None
        if any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute):
            equalizer.other([*_everything(graph)])  # a branch or a loop reads what it likes
        elif shape is not None and node.op_type == "Mul" and len(given) == 2:
            equalizer.product(given, node.output[0], shape)
        elif shape is not None and (found := _of_channels(node, shape, numbers)) is not None:
            constant, axis = found
            alone = (scaling if node.op_type == "Mul" else offset)(place, constant)
            equalizer.by_channel(alone, given[0], node.output[0], shape, axis)
        elif layer is not None and shape is not None:
            equalizer.layer(layer, node.input[0], node.output[0], shape, 0 if node.op_type == "Conv" else -1)
        elif shape is not None and (moved := _moved(node, shape, numbers, given)) is not None:
            equalizer.through(given, node.output[0], moved)
        else:
            equalizer.other(given)
    equalizer.other([value.name for value in graph.output])
    changed = equalizer.equalized()
    for layer in changed:
        node = graph.node[layer.key]
        kernel, bias = _positions(node, numbers)
        stored = {}
        if kernel is not None:
            stored[kernel] = _stored(node, layer, numbers[node.input[kernel]].shape)
        if layer.bias is not None and bias is not None:
            stored[bias] = layer.bias.reshape(numbers[node.input[bias]].shape)
        for position, array in stored.items():
            own = f"{node.input[position]}_of_{layer.key}"  # another layer may read the same constant
            graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(array, np.float32), own))
            node.input[position] = own
    read = {name for part in graphs.everywhere(graph) for node in part.node for name in node.input}
    for constant in [constant for constant in graph.initializer if constant.name not in read]:
        graph.initializer.remove(constant)
    return len(changed)


def _everything(graph: Any) -> list[str]:
    return [name for node in graph.node for name in node.output]


def shapes(graph: Any) -> dict[str, tuple[int, ...]]:
    """Of values whose shape is known but for the batch, without it."""
    found = {}
    for value in (*graph.value_info, *graph.input, *graph.output):
        sizes = value.type.tensor_type.shape.dim
        if len(sizes) and all(size.HasField("dim_value") for size in sizes[1:]):
            found[value.name] = tuple(size.dim_value for size in sizes[1:])
    return found


def _layer(node: Any, place: int, numbers: Mapping[str, Values]) -> Layer | None:
    """None of what is no layer, or where what it holds is no constant."""
    if node.op_type not in ("Conv", "Gemm", "MatMul") or len(node.input) < 2:
        return None
    held = [name for name in node.input[1:3] if name]
    if any(name not in numbers or numbers[name].dtype != np.float32 for name in held):
        return None
    attributes = {a.name: a for a in node.attribute}
    kernel = numbers[node.input[1]].astype(np.float64)
    bias = numbers[held[1]].astype(np.float64).ravel() if len(held) > 1 else None
    if node.op_type == "Conv":
        groups = attributes["group"].i if "group" in attributes else 1
        shaped = kernel.reshape(groups, len(kernel) // groups, kernel.shape[1], -1)
    elif (
        kernel.ndim != 2
        or any(a in attributes and attributes[a].f != 1 for a in ("alpha", "beta"))
        or ("transA" in attributes and attributes["transA"].i)
    ):
        return None
    else:
        shaped = (kernel if _turned(node) else kernel.T)[np.newaxis, :, :, np.newaxis]
    if bias is not None and bias.size != shaped.shape[0] * shaped.shape[1]:
        return None
    return Layer(key=place, kernel=shaped, bias=bias)


def _of_channels(node: Any, shape: Sequence[int], numbers: Mapping[str, Values]) -> tuple[Values, int] | None:
    """The constant a channel that a node multiplies with or adds, and where its channels are; None of any
    other node."""
    held = [name for name in node.input if name in numbers and numbers[name].dtype == np.float32]
    if node.op_type not in _BY_CHANNEL or len(node.input) != 2 or len(held) != 1:
        return None
    if node.op_type == "Sub" and held[0] != node.input[1]:
        return None
    axis = channel_axis(numbers[held[0]], shape)
    return None if axis is None else (numbers[held[0]].ravel(), axis)


def _positions(node: Any, numbers: Mapping[str, Values]) -> tuple[int | None, int | None]:
    """Which inputs of a node are its layer's kernel and bias."""
    if node.op_type not in _BY_CHANNEL:
        return 1, 2
    held = next(place for place, name in enumerate(node.input) if name in numbers)
    return (held, None) if node.op_type == "Mul" else (None, held)


def _turned(node: Any) -> bool:
    return any(attribute.name == "transB" and attribute.i for attribute in node.attribute)


def _stored(node: Any, layer: Layer, shape: tuple[int, ...]) -> Values:
    """The kernel as the model lays it out."""
    if node.op_type in ("Conv", "Mul"):
        return layer.kernel.reshape(shape)
    dense: Values = layer.kernel[0, :, :, 0]
    return dense if _turned(node) else dense.T


def _moved(
    node: Any, shape: tuple[int, ...], numbers: Mapping[str, Values], given: list[str]
) -> Callable[[Places], Places | None] | None:
    """What a scale-free operator does to the places of channels; None of any other."""
    attributes = {attribute.name: attribute for attribute in node.attribute}
    constants = [name for name in node.input if name in numbers]
    if node.op_type in _KEEP:
        dense_bias = node.op_type in ("Add", "Sum") and constants
        return None if dense_bias or (len(node.output) > 1 and node.output[1]) else lambda places: places
    if len(given) != 1:
        return None
    if node.op_type == "Mul":
        return lambda places: broadcast(places, shape)
    if node.op_type == "Transpose":
        order = list(attributes["perm"].ints) if "perm" in attributes else []
        if not order or order[0] != 0:
            return None
        return lambda places: places.transpose([axis - 1 for axis in order[1:]])
    if node.op_type in _RESHAPE:
        return lambda places: places.reshape(shape) if places.size == np.prod(shape) else None
    if node.op_type == "ReduceMean":
        axes = attributes["axes"].ints if "axes" in attributes else ()
        return (lambda places: pooled(places, shape, 0)) if sorted(axes) == [2, 3] else None
    if node.op_type == "Pad" and not _pads_nothing_but_zeros(node, attributes, numbers):
        return None
    if node.op_type in _SPATIAL:
        return lambda places: pooled(places, shape, 0)
    return None


def _pads_nothing_but_zeros(node: Any, attributes: Mapping[str, Any], numbers: Mapping[str, Values]) -> bool:
    mode = attributes["mode"].s if "mode" in attributes else b"constant"
    filled = numbers.get(node.input[2]) if len(node.input) > 2 and node.input[2] else np.zeros(1)
    return bool(mode == b"constant" and filled is not None and not filled.any())
