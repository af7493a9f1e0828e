"""Rounds the weights of a float .tflite file layer by layer, see `edgewright.export.weights.rounding`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewright.export.formats.tflite import run as tflite_run
from edgewright.export.formats.tflite import tree as tflite_tree
from edgewright.export.formats.tflite.tree import Operator
from edgewright.export.network.float_network import batches
from edgewright.export.weights import rounding
from edgewright.export.weights.moments import Moments, patches, places_of, same_padding, sample
from edgewright.export.weights.rounding import Rounded
from edgewright.runtime.errors import ExportError
from edgewright.train.datasets import Images

_KINDS = ("CONV_2D", "FULLY_CONNECTED")
_SAME = 0  # padding, in the schema

Values = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Stored:
    """What a layer holds: `codes` in the layout of its kernel, output channels first, the channels' `scales`,
    and its bias, None where it has none of its own."""

    bits: int
    codes: NDArray[np.int8]
    scales: NDArray[np.float32]
    bias: NDArray[np.float32] | None


def places(tree: Any, but: str | None) -> dict[int, int]:
    """Where the convolutions and dense layers with float weights of their own stand, and how many weights
    each has; the one that writes the tensor `but` is none of them."""
    order = tflite_tree.operators(tree)
    reads = [index for op in order for index in op.inputs]
    found = {}
    for place, op in enumerate(order):
        if op.name not in _KINDS or tflite_tree.tensor_name(tree, op.outputs[0]) == but:
            continue
        held = op.inputs[1]
        given = tree.subgraphs[0].tensors[op.inputs[0]]
        if not tflite_tree.is_constant(tree, held) or tflite_tree.dtype(tree, held) != np.float32:
            continue
        kernel = tflite_tree.constant(tree, held)
        grouped = op.name == "CONV_2D" and int(given.shape[-1]) != kernel.shape[-1]
        if reads.count(held) == 1 and not grouped and np.isfinite(kernel).all():
            found[place] = kernel.size
    return found


def rounded(raw: bytes, bits: Mapping[int, int], images: Images) -> dict[int, Stored]:
    """The layers of a float file in so many bits each, by their places, from the front to the back.

    Args:
        raw: the file.
        bits: by the layer's place.
        images: as the file takes them.
    """
    exact, tree = tflite_tree.read(raw), tflite_tree.read(raw)
    order = tflite_tree.operators(tree)
    (first,) = (int(index) for index in tree.subgraphs[0].inputs)
    described = tree.subgraphs[0].tensors[first]
    chosen = sample(images, max(_size(tree, op.outputs[0]) for op in order))
    held = {first: list(batches(chosen, int(described.shape[0]), tflite_tree.dtype(tree, first)))}
    known, start = held, 0
    result: dict[int, Stored] = {}
    for place in sorted(bits):
        known = _advanced(exact, known, order, start, place)
        held = _advanced(tree, held, order, start, place)
        op, start = order[place], place
        tensor = op.inputs[0]
        stored = _rounded(tree, place, op, bits[place], known[tensor], held[tensor])
        kernel = stored.codes * stored.scales.reshape(-1, *[1] * (stored.codes.ndim - 1))
        tflite_tree.set_constant(tree, op.inputs[1], kernel)
        if stored.bias is not None:
            tflite_tree.set_input(tree, place, 2, stored.bias)
        result[place] = stored
    return result


def _rounded(
    tree: Any, place: int, op: Operator, bits: int, exact: list[Values], given: list[Values]
) -> Stored:
    kernel = tflite_tree.constant(tree, op.inputs[1])
    weights = kernel.reshape(len(kernel), -1)
    bias = op.inputs[2] if len(op.inputs) > 2 else -1
    biases = tflite_tree.constant(tree, bias) if tflite_tree.is_constant(tree, bias) else None
    ours: Rounded | None = rounding.on_grid(weights)
    if ours is None and bits == 8:
        ours = rounding.nearest(weights, bits)
    if ours is None:
        few = places_of(len(given))
        pairs = [
            [seen(tree, place, op, batch, few) for batch in pair] for pair in zip(exact, given, strict=True)
        ]
        moments = Moments([(first, second) for first, second in pairs])
        ours = rounding.rounded(weights, moments, bits, has_bias=biases is not None)
    return Stored(
        bits=bits,
        codes=ours.codes.reshape(kernel.shape),
        scales=ours.scales,
        bias=None if biases is None else (biases + ours.shift).astype(np.float32),
    )


def seen(tree: Any, place: int, op: Operator, values: Values, most: int) -> Values:
    """What the layer multiplies its weights with."""
    kernel = tree.subgraphs[0].tensors[op.inputs[1]].shape
    if op.name == "FULLY_CONNECTED":
        return values.reshape(-1, int(kernel[-1]))[:most]
    options = tree.subgraphs[0].operators[place].builtinOptions
    size, strides = [int(n) for n in kernel[1:3]], (options.strideH, options.strideW)
    dilations = options.dilationHFactor, options.dilationWFactor
    pads = [(0, 0), (0, 0)]
    if options.padding == _SAME:
        extents = values.shape[1:3]
        pads = [same_padding(*numbers) for numbers in zip(extents, size, strides, dilations, strict=True)]
    return patches(values, size, strides, dilations, pads, most)


def _advanced(
    tree: Any, held: dict[int, list[Values]], order: list[Operator], start: int, end: int
) -> dict[int, list[Values]]:
    """What operators from `end` on read, from what is held in front of `start`."""
    if start < end:
        reads, writes = tflite_run.edges(order, start, end - 1, held)
        outputs = tflite_run.run(
            tflite_run.part(tree, start, end - 1, reads, writes), [held[tensor] for tensor in reads]
        )
        held = held | dict(zip(writes, outputs, strict=True))
    later = {tensor for op in order[end:] for tensor in op.inputs}
    return {tensor: values for tensor, values in held.items() if tensor in later}


def _size(tree: Any, index: int) -> int:
    return int(np.prod([int(n) for n in tree.subgraphs[0].tensors[index].shape[1:]]))


def store(tree: Any, layers: Mapping[int, Stored], float32: Any) -> None:
    """Put the layers, by their places in the `float32` tree, into the file that ai-edge-quantizer has made of
    that: its own codes and scales are replaced."""
    order = tflite_tree.operators(tree)
    stored = {op.outputs[0]: op.inputs[0] for op in order if op.name == "DEQUANTIZE"}
    ours = [place for place, op in enumerate(order) if op.name != "DEQUANTIZE"]
    theirs = tflite_tree.operators(float32)
    if [order[place].name for place in ours] != [op.name for op in theirs]:
        raise ExportError("expected ai-edge-quantizer to keep the operators, got others")
    for place, layer in layers.items():
        op = order[ours[place]]
        index = stored[op.inputs[1]]
        tflite_tree.set_constant(
            tree, index, rounding.packed(layer.codes) if layer.bits == rounding.BITS else layer.codes
        )
        quantization = tree.subgraphs[0].tensors[index].quantization
        quantization.scale, quantization.min, quantization.max = layer.scales, None, None
        quantization.zeroPoint = np.zeros(len(layer.scales), np.int64)
        if layer.bias is not None:
            tflite_tree.set_input(tree, ours[place], 2, layer.bias)
