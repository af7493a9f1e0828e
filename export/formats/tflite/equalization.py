"""Equalizes the layers of a float .tflite file, see `edgewright.export.weights.equalization`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from edgewright.export.formats.tflite import tree as tflite_tree
from edgewright.export.formats.tflite.tree import Operator
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

_LAYERS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
_FREE = (0, 1)  # fused activation functions of the schema: none, ReLU
_SPATIAL = ("MAX_POOL_2D", "AVERAGE_POOL_2D", "PAD", "MEAN")
_BY_CHANNEL = ("MUL", "ADD", "SUB")
_FUSE = (*_LAYERS, *_BY_CHANNEL)  # an activation function
_KEEP = ("RELU", "LEAKY_RELU", "ADD")
_RESHAPE = ("RESHAPE", "SQUEEZE")


def equalize(tree: Any) -> int:
    """Equalize a float file that has its BatchNormalizations folded; gives how many layers changed."""
    order = tflite_tree.operators(tree)
    equalizer = Equalizer()
    for place, op in enumerate(order):
        layer = _layer(tree, place, op) if op.name in _LAYERS else None
        given = [index for index in op.inputs if index >= 0 and not tflite_tree.is_constant(tree, index)]
        shape = _shape(tree, op.outputs[0])
        free = op.name in _FUSE and _activation(tree, place) in _FREE
        if layer is not None:
            equalizer.layer(layer, op.inputs[0], op.outputs[0], shape, len(shape) - 1, free=free)
        elif op.name == "MUL" and len(given) == 2 and free:
            equalizer.product(given, op.outputs[0], shape)
        elif (found := _of_channels(tree, op, shape)) is not None:
            constant, axis = found
            alone = (scaling if op.name == "MUL" else offset)(place, constant)
            equalizer.by_channel(alone, given[0], op.outputs[0], shape, axis, free=free)
        elif (moved := _moved(tree, place, op)) is not None:
            equalizer.through(given, op.outputs[0], moved)
        else:
            equalizer.other(op.inputs)
    equalizer.other([int(index) for index in tree.subgraphs[0].outputs])
    changed = equalizer.equalized()
    for layer in changed:
        op = order[layer.key]
        kernel, bias = _positions(tree, op)
        if kernel is not None:
            stored = [int(n) for n in tree.subgraphs[0].tensors[op.inputs[kernel]].shape]
            tflite_tree.set_input(tree, layer.key, kernel, _stored(op, layer, stored))
        if layer.bias is not None and bias is not None:
            tflite_tree.set_input(tree, layer.key, bias, layer.bias)
    return len(changed)


def _layer(tree: Any, place: int, op: Operator) -> Layer | None:
    """None where what it holds is no constant."""
    kernel, bias = op.inputs[1], op.inputs[2] if len(op.inputs) > 2 else -1
    for index in (kernel, bias):
        constant = tflite_tree.is_constant(tree, index)
        if index >= 0 and not (constant and tflite_tree.dtype(tree, index) == np.float32):
            return None
    array = tflite_tree.constant(tree, kernel).astype(np.float64)
    inputs = _shape(tree, op.inputs[0])
    if op.name == "DEPTHWISE_CONV_2D":  # (1, height, width, channels * multiplier)
        groups = inputs[-1]
        shaped = array.reshape(-1, groups, array.shape[-1] // groups).transpose(1, 2, 0)[:, :, np.newaxis]
    elif op.name == "CONV_2D":  # (outputs, height, width, inputs of a group)
        groups = inputs[-1] // array.shape[-1]
        shaped = array.reshape(groups, len(array) // groups, -1, array.shape[-1]).transpose(0, 1, 3, 2)
    else:
        shaped = array[np.newaxis, :, :, np.newaxis]
    held = None if bias < 0 else tflite_tree.constant(tree, bias).astype(np.float64)
    return Layer(key=place, kernel=shaped, bias=held)


def _of_channels(tree: Any, op: Operator, shape: Sequence[int]) -> tuple[Any, int] | None:
    """The constant a channel that an operator multiplies with or adds, and where its channels are; None of
    any other."""
    held = [index for index in op.inputs if tflite_tree.is_constant(tree, index)]
    if op.name not in _BY_CHANNEL or len(held) != 1 or tflite_tree.dtype(tree, held[0]) != np.float32:
        return None
    if op.name == "SUB" and held[0] != op.inputs[1]:
        return None
    constant = tflite_tree.constant(tree, held[0])
    axis = channel_axis(constant, shape)
    return None if axis is None else (constant.ravel(), axis)


def _positions(tree: Any, op: Operator) -> tuple[int | None, int | None]:
    """Which inputs of an operator are its layer's kernel and bias."""
    if op.name not in _BY_CHANNEL:
        return 1, 2
    held = next(place for place, index in enumerate(op.inputs) if tflite_tree.is_constant(tree, index))
    return (held, None) if op.name == "MUL" else (None, held)


def _stored(op: Operator, layer: Layer, shape: list[int]) -> Any:
    """The kernel as the file lays it out."""
    if op.name == "DEPTHWISE_CONV_2D":
        return layer.kernel[:, :, 0].transpose(2, 0, 1).reshape(shape)
    return layer.kernel.transpose(0, 1, 3, 2).reshape(shape)  # a MUL's is nothing but groups


def _moved(tree: Any, place: int, op: Operator) -> Callable[[Places], Places | None] | None:
    """What a scale-free operator does to the places of channels; None of any other."""
    constant = [index for index in op.inputs if tflite_tree.is_constant(tree, index)]
    shape = _shape(tree, op.outputs[0])
    if op.name in _KEEP:
        fused = op.name == "ADD" and _activation(tree, place) not in _FREE
        return None if constant or fused else lambda places: places
    if op.name == "MUL":  # by constants
        plain = len(constant) == 1 and _activation(tree, place) in _FREE
        return (lambda places: broadcast(places, shape)) if plain else None
    if op.name in _RESHAPE:
        return lambda places: places.reshape(shape) if places.size == np.prod(shape) else None
    if op.name == "MEAN":
        axes = tflite_tree.constant(tree, constant[0]).reshape(-1).tolist() if constant else []
        rank = len(_shape(tree, op.inputs[0])) + 1
        if {axis % rank for axis in axes} & {0, rank - 1} or not axes:
            return None
        return lambda places: pooled(places, shape, places.ndim - 1)
    if op.name in _SPATIAL:
        if op.name != "PAD" and _activation(tree, place) not in _FREE:
            return None
        return lambda places: pooled(places, shape, places.ndim - 1)
    return None


def _activation(tree: Any, place: int) -> int:
    return int(tree.subgraphs[0].operators[place].builtinOptions.fusedActivationFunction)


def _shape(tree: Any, index: int) -> tuple[int, ...]:
    """Without the batch."""
    return tuple(int(n) for n in tree.subgraphs[0].tensors[index].shape[1:])
