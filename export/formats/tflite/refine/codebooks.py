"""One codebook in each clustered layer of an int8 .tflite file, see `edgewright.export.weights.codebooks`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgewright.export.formats.tflite import tree as tflite_tree
from edgewright.export.formats.tflite.tree import Operator
from edgewright.export.weights.codebooks import Floats, note, recode

_KINDS = ("CONV_2D", "FULLY_CONNECTED")


def share(quantized: bytes, kernels: Sequence[Floats]) -> tuple[bytes, str] | None:
    """The int8 file with one codebook in each clustered layer, and what was chosen; None where none is.

    A channel stays as it is where that would lose accuracy: if it holds only weights that are small beside
    the layer's largest.

    Args:
        quantized: an int8 file.
        kernels: those of its network, as `clustered` finds them.
    """
    if not kernels:
        return None
    tree = tflite_tree.read(quantized)
    operators = tflite_tree.operators(tree)
    uses = [index for op in operators for index in op.inputs]
    done = 0
    for op in operators:
        if op.name in _KINDS and all(uses.count(i) == 1 for i in op.inputs[1:] if i >= 0):
            done += _share(tree, op, kernels)
    return (tflite_tree.write(tree), note(done)) if done else None


def _share(tree: Any, op: Operator, kernels: Sequence[Floats]) -> bool:
    """Do so in one layer; False where it cannot be or is none."""
    weights, bias = op.inputs[1], op.inputs[2] if len(op.inputs) > 2 else -1
    if not tflite_tree.is_constant(tree, weights) or tflite_tree.dtype(tree, weights) != np.int8:
        return False
    if bias >= 0 and not (tflite_tree.is_constant(tree, bias) and tflite_tree.dtype(tree, bias) == np.int32):
        return False
    stored = tflite_tree.constant(tree, weights)
    given = tree.subgraphs[0].tensors[weights].quantization
    if len(given.scale) != len(stored):
        return False
    found = recode(stored, np.asarray(given.scale), kernels)
    if found is None:
        return False
    codes, scales = found
    if bias >= 0:
        old = tree.subgraphs[0].tensors[bias].quantization
        new = (tflite_tree.quantization(tree, op.inputs[0])[0] * scales).astype(np.float32)
        moved = np.rint(tflite_tree.constant(tree, bias) * (np.asarray(old.scale, np.float64) / new))
        if np.abs(moved).max() > 2**31 - 1:
            return False
        tflite_tree.set_constant(tree, bias, moved)
        old.scale = new
    tflite_tree.set_constant(tree, weights, codes)
    given.scale, given.min, given.max = scales, None, None
    return True
