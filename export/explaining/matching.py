"""Which step of a file is which of its float model: both in the order they run, aligned as sequences are.

Needleman and Wunsch, A general method applicable to the search for similarities in the amino acid sequence of
two proteins, 1970. Names that a converter kept decide first, then weights, whose quantiles are the same in
any layout, then operator and shape.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgewright.export.explaining.graphs import CONVOLUTION, DEPTHWISE, Step
from edgewright.runtime.errors import InputError

MOST_STEPS = 3000
_QUANTILES = np.linspace(0, 1, 17)
Shape = tuple[int, ...]


def match(
    ours: Sequence[Step], our_shapes: Sequence[Shape], theirs: Sequence[Step], their_shapes: Sequence[Shape]
) -> list[tuple[int, int]]:
    """Places of the steps that are the same, in order.

    Raises:
        InputError: more steps than can be compared.
    """
    if max(len(ours), len(theirs)) > MOST_STEPS:
        raise InputError(f"expected at most {MOST_STEPS:,} layers to compare, got {len(ours):,}")
    likeness = _likeness(ours, our_shapes, theirs, their_shapes)
    rows, columns = likeness.shape
    best = np.zeros((rows + 1, columns + 1))
    for i in range(rows):
        diagonal = best[i, :-1] + likeness[i]
        above = best[i, 1:]
        best[i + 1, 1:] = np.maximum.accumulate(np.maximum(diagonal, above))
    pairs = []
    i, j = rows, columns
    while i and j:
        if best[i, j] == best[i - 1, j]:
            i -= 1
        elif best[i, j] == best[i, j - 1]:
            j -= 1
        else:
            i, j = i - 1, j - 1
            pairs.append((i, j))
    return pairs[::-1]


def _likeness(
    ours: Sequence[Step], our_shapes: Sequence[Shape], theirs: Sequence[Step], their_shapes: Sequence[Shape]
) -> NDArray[np.float64]:
    """What a pair adds to an alignment, `(ours, theirs)`; 0 where two cannot be the same."""
    found = np.zeros((len(ours), len(theirs)))
    left = [_sorted_weights(step) for step in ours]
    right = [_sorted_weights(step) for step in theirs]
    for i, one in enumerate(ours):
        for j, other in enumerate(theirs):
            if _kind(one) != _kind(other) or not _same_size(our_shapes[i], their_shapes[j]):
                continue
            found[i, j] = 1 + 2 * bool({*one.names} & {*other.names})
            a, b = left[i], right[j]
            if a is not None and b is not None:
                scale = max(float(np.abs(a).max()), float(np.abs(b).max())) or 1.0
                found[i, j] += max(0.0, 1 - 4 * float(np.abs(a - b).mean()) / scale)
    return found


def _kind(step: Step) -> str:
    """ONNX calls a depthwise convolution a grouped one."""
    return CONVOLUTION if step.kind == DEPTHWISE else step.kind


def _same_size(one: Shape, other: Shape) -> bool:
    """The same axes in any order: formats differ in where they put channels."""
    return sorted(n for n in one if n != 1) == sorted(n for n in other if n != 1)


def _sorted_weights(step: Step) -> NDArray[np.float64] | None:
    if step.weights is None or step.weights.size == 0:
        return None
    quantiles: NDArray[np.float64] = np.quantile(step.weights.astype(np.float64), _QUANTILES)
    return quantiles
