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
from edgewright.export.weights.rounding import Moments

_KINDS = ("CONV_2D", "FULLY_CONNECTED")


def refine(tree: Any, context: Context) -> str | None:
    """Choose the codes of the layers' weights anew; None where there are none in 8 bits."""
    float32, twin = context.float32
    order, likes = tflite_tree.operators(tree), tflite_tree.operators(twin)
    layers = [place for place, op in enumerate(order) if op.name in _KINDS]
    twins = [place for place, op in enumerate(likes) if op.name in _KINDS]
    if [_shape(tree, order[p].inputs[1]) for p in layers] != [
        _shape(twin, likes[p].inputs[1]) for p in twins
    ]:
        return None
    largest = max(int(np.prod(_shape(twin, op.outputs[0])[1:])) for op in likes)
    images, shown = (rounding.sample(x, largest) for x in (context.calibration, context.shown))
    done = 0
    for place, like in zip(layers, twins, strict=True):
        op, exact_op = order[place], likes[like]
        if not _own(tree, order, op) or _shape(tree, op.inputs[0])[-1] != _inputs(tree, op):
            continue
        given, wanted = op.inputs[0], exact_op.inputs[0]
        scale, zero_point = tflite_tree.quantization(tree, given)
        exact = [batch for (batch,) in tflite_run.tensors(float32, [wanted], shown)]
        ours_ = tflite_run.tensors(tflite_tree.write(tree), [given], images)
        found = [(batch.astype(np.float32) - zero_point) * np.float32(scale) for (batch,) in ours_]
        few = rounding.places_of(len(exact))
        moments = Moments(
            [
                tuple(tflite_rounding.seen(twin, like, exact_op, batch, few) for batch in pair)  # type: ignore[misc]
                for pair in zip(exact, found, strict=True)
            ]
        )
        kernel = tflite_tree.constant(twin, exact_op.inputs[1])
        weights = kernel.reshape(len(kernel), -1)
        scales = np.broadcast_to(
            np.asarray(tree.subgraphs[0].tensors[op.inputs[1]].quantization.scale, np.float64), len(weights)
        )
        bias = op.inputs[2] if len(op.inputs) > 2 else -1
        ours = rounding.on_scales(weights, scales, moments, has_bias=bias >= 0)
        tflite_tree.set_constant(tree, op.inputs[1], ours.codes.reshape(kernel.shape))
        if bias >= 0:
            steps = np.asarray(tree.subgraphs[0].tensors[bias].quantization.scale, np.float64)
            moved = (tflite_tree.constant(twin, exact_op.inputs[2]) + ours.shift) / steps
            tflite_tree.set_constant(tree, bias, np.clip(np.rint(moved), -(2**31), 2**31 - 1))
        done += 1
    return f"of {done} layers {rounding.HOW}" if done else None


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
