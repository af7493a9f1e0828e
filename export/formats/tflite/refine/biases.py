"""Takes the mean error out of an int8 file's convolutions: empirical bias correction.

Rounding is fair only where values vary. On a plain background a whole area is one value, rounded the same
way at each of its points, and every channel behind it is off by the same amount in every image. So each
convolution's bias is moved by what its channels are off in the mean over calibration images, from the
front to the back, each behind those corrected before it. It costs no byte, no operator and no time.

    10,000 test images, int8   accuracy, float  as converted  corrected  agreement, tie-aware
    mnist-mobilenetv2                    .9764         .9651      .9762        .9739 -> .9924
    fashion-cnn                          .9360         .9363      .9365        .9954 -> .9979
    cifar10-resnet8                      .8824         .8810      .8813        .9809 -> .9799
    cifar10-cnn                          .7636         .7618      .7613        .9963 -> .9973

Source: see `edgewright.export.weights.biases`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewright.export.formats import Context
from edgewright.export.formats.tflite import run as tflite_run
from edgewright.export.formats.tflite import tree as tflite_tree
from edgewright.export.formats.tflite.tree import Operator
from edgewright.export.network.float_network import batches
from edgewright.export.weights.biases import averaged, sample, shift
from edgewright.train.datasets import Images

_CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")
_LETS_THROUGH = {0: (-np.inf, np.inf), 1: (0.0, np.inf), 3: (0.0, 6.0)}  # none, ReLU, ReLU6 of the schema

Floats = NDArray[np.float32]


def refine(tree: Any, context: Context) -> str | None:
    """Correct the biases of an int8 file's convolutions.

    None where it does not apply; taken back where it brings the scores of the calibration images no closer.
    """
    float32, twin = context.float32
    operators, places = tflite_tree.operators(tree), _convolutions(tree)
    likes = [tflite_tree.operators(twin)[place] for place in _convolutions(twin)]
    if not places or [_shape(tree, operators[p]) for p in places] != [_shape(twin, op) for op in likes]:
        return None
    ends = [_LETS_THROUGH.get(_activation(tree, place), (0.0, 0.0)) for place in places]
    (first,) = (int(index) for index in tree.subgraphs[0].inputs)
    described = tree.subgraphs[0].tensors[first]
    size, dtype = int(described.shape[0]), tflite_tree.dtype(tree, first)
    images = sample(context.calibration, size)
    shown = sample(context.shown, size)
    wanted = _means(float32, [op.outputs[0] for op in likes], ends, shown)
    (scores,) = twin.subgraphs[0].outputs
    exact = [batch for (batch,) in tflite_run.tensors(float32, [int(scores)], shown)]
    before, take_back = _error(tree, exact, images), tflite_tree.remembered(tree)

    held = {first: list(batches(images, size, dtype))}
    start = 0
    for place, (mean, share) in zip(places, wanted, strict=True):
        convolution = operators[place].outputs[0]
        reads, writes = tflite_run.edges(operators, start, place, held)
        given = [held[tensor] for tensor in reads]
        outputs = tflite_run.run(tflite_run.part(tree, start, place, reads, writes), given)
        scale, zero_point = tflite_tree.quantization(tree, convolution)
        is_ = np.mean([_mean(batch) for batch in outputs[writes.index(convolution)]], axis=0)
        off = mean - (is_ - zero_point) * scale
        if _move_bias(tree, operators, place, shift(off, share)):
            outputs = tflite_run.run(tflite_run.part(tree, start, place, reads, writes), given)
        held |= dict(zip(writes, outputs, strict=True))
        later = {tensor for op in operators[place + 1 :] for tensor in op.inputs}
        held = {tensor: batches for tensor, batches in held.items() if tensor in later}
        start = place + 1
    after = _error(tree, exact, images)
    if after >= before:
        take_back()
        return None
    return f"corrected on {len(images)} calibration images: mean error {before:.4f} -> {after:.4f}"


def _convolutions(tree: Any) -> list[int]:
    return [i for i, op in enumerate(tflite_tree.operators(tree)) if op.name in _CONVOLUTIONS]


def _shape(tree: Any, op: Operator) -> tuple[str, list[int]]:
    return op.name, [int(n) for n in tree.subgraphs[0].tensors[op.inputs[1]].shape]


def _activation(tree: Any, place: int) -> int:
    return int(tree.subgraphs[0].operators[place].builtinOptions.fusedActivationFunction)


def _mean(values: NDArray[Any]) -> Floats:
    """The mean of each channel, `(channels,)`."""
    mean: Floats = values.reshape(-1, values.shape[-1]).mean(axis=0, dtype=np.float64)
    return mean


def _means(
    float32: bytes, tensors: Sequence[int], ends: Sequence[tuple[float, float]], images: Images
) -> list[tuple[Floats, Floats]]:
    """For each tensor the mean of its channels, and which share of their values lies between the ends."""
    return averaged(
        [(_mean(v), _mean((v > low) & (v < high))) for v, (low, high) in zip(batch, ends, strict=True)]
        for batch in tflite_run.tensors(float32, tensors, images)
    )


def _move_bias(tree: Any, operators: Sequence[Operator], place: int, by: Floats) -> bool:
    """Add `by` to a convolution's bias; False if that has none of its own."""
    op = operators[place]
    bias = op.inputs[2] if len(op.inputs) > 2 else -1
    if bias < 0 or sum(other.inputs.count(bias) for other in operators) > 1:
        return False
    if tflite_tree.dtype(tree, bias) != np.int32 or not tflite_tree.is_constant(tree, bias):
        return False
    scale = np.asarray(tree.subgraphs[0].tensors[bias].quantization.scale, np.float64)
    moved = tflite_tree.constant(tree, bias) + np.round(by / np.where(scale > 0, scale, np.inf))
    tflite_tree.set_constant(tree, bias, np.clip(moved, -(2**31), 2**31 - 1))
    return True


def _error(tree: Any, exact: Sequence[Floats], images: Images) -> float:
    """Mean difference of the scores of an int8 file from the batches of `exact` ones."""
    output = int(tree.subgraphs[0].outputs[0])
    scale, zero_point = tflite_tree.quantization(tree, output)
    batches = tflite_run.tensors(tflite_tree.write(tree), [output], images)
    differences = [
        np.abs((is_.astype(np.float32) - zero_point) * (scale or 1) - wanted).mean()
        for (is_,), wanted in zip(batches, exact, strict=True)
    ]
    return float(np.mean(differences))
