"""Figures of scores, image by image and in all: how right, how sure, how much alike."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgewright.runtime.backends import Scores
from edgewright.runtime.contract.heads import Head
from edgewright.runtime.evaluation import metrics

MOST_TIES = 0.1  # of the images
NEIGHBOURS = 2000  # embeddings that are compared with each other

Truth: TypeAlias = NDArray[Any]  # class numbers (n,), or of several labels bool (n, labels)


def own_figures(head: Head, reference: Scores, truth: Truth | None) -> dict[str, float]:
    """The reference's own: `accuracy`, and what stands beside it; 1 where the truth is not known."""
    if head.is_embedding or truth is None:
        return {"accuracy": 1.0}
    accuracy = float(right(head.decisions(reference), truth).mean())
    return {"accuracy": accuracy, **figures_beside(head, reference, truth)}


def figures_beside(head: Head, scores: Scores, truth: Truth) -> dict[str, float]:
    """What nothing is held against: `brier`, the mean Brier score; of classes that exclude each other `ece`,
    the expected calibration error; of sigmoids `macro_f1`, the mean over labels of F1 at the threshold, and
    `auc`, that of the area under the ROC curve, of one score those of its second label; labels that no
    image has, or all have, are left out of these two. See `edgewright.runtime.evaluation.metrics`."""
    chances = probabilities(head, scores)
    found = {"brier": metrics.brier(chances, truth)}
    if not head.is_multi_label:
        decided = head.decisions(scores)
        found["ece"] = metrics.calibration_error(chances[np.arange(len(chances)), decided], decided == truth)
    if not head.is_sigmoid:
        return found
    flags = truth.astype(bool).reshape(len(truth), -1)
    known = flags.any(axis=0)
    if known.any():
        rates = metrics.rates(flags, head.margins(scores) > 0, flags.shape[1])
        found["macro_f1"] = float(rates.f1[known].mean())
    areas = [metrics.auc(scores[:, i], flags[:, i]) for i in range(flags.shape[1])]
    settled = [area for area in areas if area is not None]
    return found | ({"auc": float(np.mean(settled))} if settled else {})


def probabilities(head: Head, scores: Scores) -> Scores:
    """Float32 `(n, labels)`; the quantized zero of an 8-bit file may lie a little below 0."""
    return np.clip(head.probabilities(scores), 0, 1)


def right(decided: NDArray[Any], truth: Truth) -> NDArray[np.float64]:
    """How right each image is, `(n,)`: 0 or 1, or of several labels the share that are."""
    flags: NDArray[np.float64] = (decided == truth).astype(np.float64)
    if flags.ndim == 1:
        return flags
    shares: NDArray[np.float64] = flags.mean(axis=1)
    return shares


def agreement(head: Head, decided: NDArray[Any], given: NDArray[Any], scores: Scores) -> tuple[float, float]:
    """The share of images decided alike, and that where a tie counts that holds the reference's decision.

    An 8-bit output ties its two best classes on 2 to 4 % of images. Ties of more than two, and all of them
    where they are more than `MOST_TIES` of the images, are no rounding but scores that say nothing, as those
    of a constant output: these count as they fell.
    """
    same = (decided == given).reshape(len(scores), -1).all(axis=1)
    if head.is_sigmoid:
        level = (head.margins(scores) == 0).reshape(len(scores), -1)
        alike = ((decided == given).reshape(len(scores), -1) | level).all(axis=1)
        tied = level.any(axis=1)
    else:
        best = scores == scores.max(1, keepdims=True)
        alike = best[np.arange(len(scores)), decided] & (best.sum(1) <= 2)
        tied = best.sum(1) > 1
    share = float(same.mean())
    return share, share if tied.sum() > max(1, MOST_TIES * len(tied)) else float((same | alike).mean())


def cosines(reference: Scores, scores: Scores) -> NDArray[np.float64]:
    a, b = (_directions(vectors) for vectors in (reference, scores))
    found: NDArray[np.float64] = (a * b).sum(axis=1)
    return np.minimum(found, 1.0)


def _directions(vectors: Scores) -> NDArray[np.float64]:
    wide: NDArray[np.float64] = vectors.astype(np.float64)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    return np.asarray(wide / np.maximum(lengths, 1e-30))


def same_neighbours(reference: Scores, scores: Scores) -> float:
    """The share of images whose nearest other one is the same in both; of the first 2,000."""
    nearest = []
    for vectors in (reference, scores):
        directions = _directions(vectors[:NEIGHBOURS])
        near = directions @ directions.T
        np.fill_diagonal(near, -2)
        nearest.append(near.argmax(1))
    return float(np.mean(nearest[0] == nearest[1]))
