"""Rounds the weights of an int8 file anew, as `edgewright.export.formats.onnx.refine.rounding` does of a QDQ
model."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgewright.export.formats import Context
from edgewright.export.formats.tflite import rounding as tflite_rounding
from edgewright.export.formats.tflite import run as tflite_run
from edgewright.export.formats.tflite import tree as tflite_tree
from edgewright.export.weights import rounding
from edgewright.export.weights.moments import Floats, Moments, places_of, sample

_KINDS = ("CONV_2D", "FULLY_CONNECTED")


def refine(tree: Any, context: Context) -> str | None:
    """Choose the codes of the layers' weights anew, but where the images are too few; None if of no layer."""
    float32, twin = context.float32
    order, likes = tflite_tree.operators(tree), tflite_tree.operators(twin)
    layers = [place for place, op in enumerate(order) if op.name in _KINDS]
    twins = [place for place, op in enumerate(likes) if op.name in _KINDS]
    if [_shape(tree, order[p].inputs[1]) for p in layers] != [
        _shape(twin, likes[p].inputs[1]) for p in twins
    ]:
        return None
    largest = max(int(np.prod(_shape(twin, op.outputs[0])[1:])) for op in likes)
    images, shown = (sample(x, largest) for x in (context.calibration, context.shown))
    done = 0
    for place, like in zip(layers, twins, strict=True):
        op, exact_op = order[place], likes[like]
        if not _own(tree, order, op) or _shape(tree, op.inputs[0])[-1] != _inputs(tree, op):
            continue
        scale, zero_point = tflite_tree.quantization(tree, op.inputs[0])
        exact = [batch for (batch,) in tflite_run.tensors(float32, [exact_op.inputs[0]], shown)]
        codes = [batch for (batch,) in tflite_run.tensors(tflite_tree.write(tree), [op.inputs[0]], images)]
        given = [(batch.astype(np.float32) - zero_point) * np.float32(scale) for batch in codes]
        few = places_of(len(exact))
        moments = Moments(
            (
                tflite_rounding.seen(twin, like, exact_op, a, few),
                tflite_rounding.seen(twin, like, exact_op, b, few),
            )
            for a, b in zip(exact, given, strict=True)
        )
        if not moments.enough:
            continue
        kernel = tflite_tree.constant(twin, exact_op.inputs[1])
        weights = kernel.reshape(len(kernel), -1)
        scales = np.broadcast_to(_scales(tree, op.inputs[1]), len(weights))
        bias = op.inputs[2] if len(op.inputs) > 2 else -1
        ours = rounding.on_scales(weights, scales, moments, has_bias=bias >= 0)
        tflite_tree.set_constant(tree, op.inputs[1], ours.codes.reshape(kernel.shape))
        if bias >= 0:
            moved = (tflite_tree.constant(twin, exact_op.inputs[2]) + ours.shift) / _scales(tree, bias)
            tflite_tree.set_constant(tree, bias, np.clip(np.rint(moved), -(2**31), 2**31 - 1))
        done += 1
    return f"of {done} layers {rounding.HOW}" if done else None


def _scales(tree: Any, index: int) -> Floats:
    scales: Floats = np.asarray(tree.subgraphs[0].tensors[index].quantization.scale, np.float64)
    return scales


def _shape(tree: Any, index: int) -> list[int]:
    return [int(n) for n in tree.subgraphs[0].tensors[index].shape]


def _inputs(tree: Any, op: tflite_tree.Operator) -> int:
    return _shape(tree, op.inputs[1])[-1]


def _own(tree: Any, order: list[tflite_tree.Operator], op: tflite_tree.Operator) -> bool:
    """Whether a layer is in 8 bits and nothing else reads what it holds."""
    held = [index for index in op.inputs[1:] if index >= 0]
    reads = [index for other in order for index in other.inputs]
    kinds = (np.int8, np.int32)
    return all(
        tflite_tree.is_constant(tree, index)
        and tflite_tree.dtype(tree, index) == kind
        and reads.count(index) == 1
        for index, kind in zip(held, kinds, strict=False)
    )
