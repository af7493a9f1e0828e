"""One codebook in each clustered layer of an int8 .tflite file, see `edgewright.export.weights.codebooks`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgewright.export.formats import Context
from edgewright.export.formats.tflite import tree as tflite_tree
from edgewright.export.formats.tflite.tree import Operator
from edgewright.export.weights.codebooks import Floats, note, recode

_KINDS = ("CONV_2D", "FULLY_CONNECTED")


def refine(tree: Any, context: Context) -> str | None:
    """Give each clustered layer of an int8 file one codebook; None where no layer is clustered.

    A channel stays as it is where that would lose accuracy: if it holds only weights that are small beside
    the layer's largest.
    """
    kernels = context.network.clustered
    operators = tflite_tree.operators(tree) if kernels else []
    uses = [index for op in operators for index in op.inputs]
    done = 0
    for op in operators:
        if op.name in _KINDS and all(uses.count(i) == 1 for i in op.inputs[1:] if i >= 0):
            done += _share(tree, op, kernels)
    return note(done) if done else None


def _share(tree: Any, op: Operator, kernels: Sequence[Floats]) -> bool:
    """Do so in one layer; False where that cannot be, or the layer is not clustered."""
    weights, bias = op.inputs[1], op.inputs[2] if len(op.inputs) > 2 else -1
    if not tflite_tree.is_constant(tree, weights) or tflite_tree.dtype(tree, weights) != np.int8:
        return False
    if bias >= 0 and not (tflite_tree.is_constant(tree, bias) and tflite_tree.dtype(tree, bias) == np.int32):
        return False
    stored = tflite_tree.constant(tree, weights)
    quantization = tree.subgraphs[0].tensors[weights].quantization
    if len(quantization.scale) != len(stored):
        return False
    recoded = recode(stored, np.asarray(quantization.scale), kernels)
    if recoded is None:
        return False
    codes, scales = recoded
    if bias >= 0:
        old = tree.subgraphs[0].tensors[bias].quantization
        new = (tflite_tree.quantization(tree, op.inputs[0])[0] * scales).astype(np.float32)
        moved = np.rint(tflite_tree.constant(tree, bias) * (np.asarray(old.scale, np.float64) / new))
        if np.abs(moved).max() > 2**31 - 1:
            return False
        tflite_tree.set_constant(tree, bias, moved)
        old.scale = new
    tflite_tree.set_constant(tree, weights, codes)
    quantization.scale, quantization.min, quantization.max = scales, None, None
    return True
