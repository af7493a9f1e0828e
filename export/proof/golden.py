"""The images a bundle carries to prove a device with, and how closely that must repeat their scores."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgewright.export.proof.figures import Truth
from edgewright.runtime.backends import Scores
from edgewright.runtime.bundle.manifest import Tolerance
from edgewright.runtime.contract.heads import Head

IMAGES = 16
MARGIN = 0.25  # between the two best scores: rounding on another machine does not turn it
FLOAT_TOLERANCE = 1e-5


def pick(head: Head, scores: Scores, truth: Truth | None) -> NDArray[np.intp]:
    """Where among n test images the 16 lie whose class the reference is sure of, the classes in turn;
    else those it is surest of.

    Args:
        head: what the scores are; of embeddings 16 are taken at even distances. scores: the reference's,
        float32 `(n, scores)`. truth: the true classes, `(n,)`; where there are none, or several labels, the
        likeliest stand for them.
    """
    if head.is_embedding:
        return np.unique(np.linspace(0, len(scores) - 1, IMAGES).astype(np.intp))
    if head.is_sigmoid:
        margin = np.abs(head.margins(scores)).min(axis=1)
    else:
        ordered = np.sort(scores, axis=1)
        margin = ordered[:, -1] - ordered[:, -2]
    sure = np.flatnonzero(margin >= MARGIN)
    if len(sure) < IMAGES:
        return np.sort(np.argsort(-margin, kind="stable")[:IMAGES])
    classes = truth if truth is not None and truth.ndim == 1 else head.probabilities(scores).argmax(1)
    return np.sort(sure[in_turn(classes[sure])[:IMAGES]])


def in_turn(labels: NDArray[np.int64]) -> NDArray[np.intp]:
    """An order of the images in which the classes take turns: all their first ones, then all second ones."""
    rank = np.empty(len(labels), np.intp)
    for c in np.unique(labels):
        of_class = np.flatnonzero(labels == c)
        rank[of_class] = np.arange(len(of_class))
    return np.argsort(rank, kind="stable")


def tolerance(repeats: str, kernels: str, step: float, max_abs_error: float) -> Tolerance:
    """How closely other machines must repeat the scores that `kernels` have computed here.

    Where rounding differs (what `repeats` says, see `edgewright.export.formats.Scheme`), another machine
    may be as far off as the scheme itself is from the float model, `max_abs_error`, and no further. `step`
    is that of the output's quantization, 0 for floats.
    """
    step = step or FLOAT_TOLERANCE
    loose = max(max_abs_error, 2 * step)
    limits = {
        "float": (FLOAT_TOLERANCE, FLOAT_TOLERANCE),
        "step": (step * 1.01, loose),
        "kernel": (loose, loose),
    }
    near, far = limits[repeats]
    return Tolerance(kernels=kernels, max_abs=near, max_abs_elsewhere=far)
