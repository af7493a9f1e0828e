"""Spends the 256 codes of an int8 file's logits where the softmax can see them.

A converter quantizes the logits over their whole range, most of which the softmax turns into zero:
-40 and -20 under a best logit of 10 are both a probability of nothing. The steps that are left are
so coarse that the two best classes tie on 1 % of images and more, and half of these ties go to the
wrong one. Logits are saturated from below instead, so far down that no 8-bit score of a calibration
image changes. That is one scale and one zero point in the file: no operator, no byte, no time. The
upper end stays: two classes that both reach it would tie.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from edgewright.export.formats import Context
from edgewright.export.formats.tflite import run as tflite_run
from edgewright.export.formats.tflite import tree as tflite_tree

REACH = math.log(2 * 256)  # a logit so far below the best one has less than half a step of probability


def refine(tree: Any, context: Context) -> str | None:
    """Narrow the logits' range of an int8 file that ends in SOFTMAX; None where it does not apply."""
    float32, twin = context.float32
    target, source = _logits(tree), _logits(twin)
    if target is None or source is None:
        return None
    scale, zero_point = tflite_tree.quantization(tree, target)
    low, high = (-128 - zero_point) * scale, (127 - zero_point) * scale
    batches = tflite_run.tensors(float32, [source], context.shown)
    best = np.concatenate([logits.max(axis=1) for (logits,) in batches])[: len(context.calibration)]
    raised = float(best.min()) - REACH
    if not low < raised < high:
        return None
    narrowed = (high - raised) / 255
    tflite_tree.set_quantization(tree, target, narrowed, max(-128, min(127, round(-128 - raised / narrowed))))
    return f"saturated below {raised:.2f}: steps of {narrowed:.3f} instead of {scale:.3f}"


def _logits(tree: Any) -> int | None:
    """The tensor that the final SOFTMAX reads, if a dense layer alone writes it and nothing else reads it."""
    operators = tflite_tree.operators(tree)
    ends = len(operators) > 1 and operators[-1].name in ("QUANTIZE", "DEQUANTIZE")
    last = operators[-2 if ends else -1]
    if last.name != "SOFTMAX":
        return None
    tensor = last.inputs[0]
    writers = [op.name for op in operators if tensor in op.outputs]
    readers = [op.name for op in operators if tensor in op.inputs]
    return tensor if writers == ["FULLY_CONNECTED"] and readers == ["SOFTMAX"] else None
