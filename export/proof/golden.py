"""The images a bundle carries to prove a device with, and how closely that must repeat their scores."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewright.export.proof.figures import Truth
from edgewright.runtime.backends import Scores
from edgewright.runtime.bundle.manifest import Tolerance
from edgewright.runtime.contract.heads import Head

IMAGES = 16
BOUNDARY_IMAGES = 8
MARGIN = 0.25  # between the two best scores: rounding on another machine does not turn it
FLOAT_TOLERANCE = 1e-5
STEP = 1 / 256  # of an 8-bit output that holds probabilities
SPREAD = 2.0  # other kernels may differ more from those that recorded than the exporting host's plain ones


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
    margin = _margins(head, scores)
    sure = np.flatnonzero(margin >= MARGIN)
    if len(sure) < IMAGES:
        return np.sort(np.argsort(-margin, kind="stable")[:IMAGES])
    classes = truth if truth is not None and truth.ndim == 1 else head.probabilities(scores).argmax(1)
    return np.sort(sure[in_turn(classes[sure])[:IMAGES]])


def pick_boundary(head: Head, scores: Scores, others: NDArray[np.intp]) -> NDArray[np.intp]:
    """Where the 8 images lie that the reference is least sure of and that are none of `others`: a softmax or
    sigmoid is steep there, and a small error inside the network shows. None of embeddings."""
    if head.is_embedding:
        return np.empty(0, np.intp)
    order = np.argsort(_margins(head, scores), kind="stable")
    return np.sort(order[~np.isin(order, others)][:BOUNDARY_IMAGES])


def _margins(head: Head, scores: Scores) -> NDArray[np.floating[Any]]:
    """How far each image is from being decided otherwise, `(n,)`."""
    if head.is_sigmoid:
        return np.asarray(np.abs(head.margins(scores)).min(axis=1))
    ordered = np.sort(scores, axis=1)
    return np.asarray(ordered[:, -1] - ordered[:, -2])


def in_turn(labels: NDArray[np.int64]) -> NDArray[np.intp]:
    """An order of the images in which the classes take turns: all their first ones, then all second ones."""
    rank = np.empty(len(labels), np.intp)
    for c in np.unique(labels):
        of_class = np.flatnonzero(labels == c)
        rank[of_class] = np.arange(len(of_class))
    return np.argsort(rank, kind="stable")


def tolerance(
    kernels: str,
    machine: str,
    *,
    step: float,
    rounds: bool,
    reference: Scores,
    given: Scores,
    again: Scores,
    plain: Scores | None,
) -> Tolerance:
    """How closely the golden scores have to be repeated, by what was measured here.

    On the same kernels of the same version and on such a processor, as closely as two threads repeated one,
    and half a step of an 8-bit output, or 1e-5, more. Elsewhere twice as far off as plain kernels were from
    the fast ones, or, where the file computes in 8 bits, twice as far as it is from the model on these
    images: an engine that rounds elsewhere is as far from the model as this one, on whichever side. At least
    two steps of an 8-bit output, of float scores of 8-bit arithmetic 1/128 of the largest, and 1e-5.

    Args:
        kernels, machine: as `Tolerance` has them.
        step: that of the output's quantization, 0 for floats.
        rounds: whether the file computes in 8 bits.
        reference: the model's scores of all images, `(n, scores)`.
        given: the file's, on one thread.
        again, plain: the same on two threads, and on other kernels; None where these cannot run it.
    """
    rounded = step or (STEP * float(np.abs(given).max()) if rounds else 0.0)
    repeated, error = _apart(again, given), _apart(reference, given)
    spread = max(error if rounds or plain is None else 0.0, 0.0 if plain is None else _apart(plain, given))
    return Tolerance(
        kernels=kernels,
        machine=machine,
        max_abs=repeated + (step / 2 or FLOAT_TOLERANCE),
        max_abs_elsewhere=max(SPREAD * spread, 2 * rounded, FLOAT_TOLERANCE),
    )


def _apart(some: Scores, others: Scores) -> float:
    return float(np.abs(some - others).max())
