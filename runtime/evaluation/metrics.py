"""How good decisions and probabilities are, in numpy: what scikit-learn gives, without it.

Of classes that exclude each other, `truth` and `decided` are class numbers `(n,)`; of several labels, bool
`(n, labels)`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Z = 1.959963984540054  # the normal distribution's 97.5 % point
BINS = 15
_CHUNK = 4096  # images at a time, where all classes of each are compared

Numbers = NDArray[np.int64]
Flags = NDArray[np.bool_]
Shares = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Share:
    """A share of so many images, with its 95 % interval."""

    value: float
    low: float
    high: float


def wilson(hits: int, count: int) -> Share:
    """Wilson's score interval of a share (Journal of the American Statistical Association 22, 1927,
    209-212): it stays within 0 and 1 and is of use at 0 and 1 too. `count` is at least 1."""
    share, squared = hits / count, Z * Z
    middle = (share + squared / (2 * count)) / (1 + squared / count)
    half = Z / (1 + squared / count) * math.sqrt(share * (1 - share) / count + squared / (4 * count * count))
    low = 0.0 if hits == 0 else middle - half
    high = 1.0 if hits == count else middle + half
    return Share(value=share, low=low, high=high)


@dataclass(frozen=True, kw_only=True)
class Rates:
    """By class or label, `(labels,)` each: images of it, precision, recall, F1; 0 where there are none."""

    images: Numbers
    precision: Shares
    recall: Shares
    f1: Shares


def rates(truth: NDArray[Any], decided: NDArray[Any], labels: int) -> Rates:
    """Precision, recall and F1 of each class or label."""
    if truth.ndim == 2:
        images, taken = truth.sum(0), decided.sum(0)
        hits = (truth & decided).sum(0)
    else:
        images, taken = np.bincount(truth, minlength=labels), np.bincount(decided, minlength=labels)
        hits = np.bincount(truth[truth == decided], minlength=labels)
    return Rates(
        images=images.astype(np.int64),
        precision=_ratio(hits, taken),
        recall=_ratio(hits, images),
        f1=_ratio(2 * hits, images + taken),
    )


def top_hits(probabilities: NDArray[np.float32], truth: Numbers, k: int) -> int:
    """How many images have their class among the `k` most probable; of equal ones the lower number first."""
    hits = 0
    for start in range(0, len(truth), _CHUNK):
        part, classes = probabilities[start : start + _CHUNK], truth[start : start + _CHUNK]
        own = part[np.arange(len(classes)), classes][:, None]
        before = np.arange(part.shape[1]) < classes[:, None]
        hits += int((((part > own) | ((part == own) & before)).sum(1) < k).sum())
    return hits


def confusion(truth: Numbers, decided: Numbers, labels: int) -> Numbers:
    """How many images of each class (row) were taken for each class (column), `(labels, labels)`."""
    return np.bincount(truth * labels + decided, minlength=labels * labels).reshape(labels, labels)


def calibration_error(confidence: NDArray[Any], right: NDArray[Any]) -> float:
    """The expected calibration error over `BINS` bins of equal width (Guo et al., arXiv:1706.04599).

    Args:
        confidence: probabilities `(n,)`.
        right: what they are of was so, `(n,)`.
    """
    bins = np.clip(np.ceil(confidence.astype(np.float64) * BINS).astype(np.int64) - 1, 0, BINS - 1)
    gaps = np.bincount(bins, confidence, BINS) - np.bincount(bins, right, BINS)
    return float(np.abs(gaps).sum() / len(confidence))


def brier(probabilities: NDArray[np.float32], truth: NDArray[Any]) -> float:
    """The mean over the images of `brier_each`."""
    return float(brier_each(probabilities, truth).mean())


def brier_each(probabilities: NDArray[np.float32], truth: NDArray[Any]) -> NDArray[np.float64]:
    """The Brier score of each image, `(n,)`, 0 at best: of classes the squared error summed over the classes
    (Brier, Monthly Weather Review 78, 1950); of two classes half of that; of several labels their mean."""
    found = np.empty(len(truth))
    for start in range(0, len(truth), _CHUNK):
        part, held = probabilities[start : start + _CHUNK].astype(np.float64), truth[start : start + _CHUNK]
        if held.ndim == 2:
            found[start : start + _CHUNK] = ((part - held) ** 2).mean(axis=1)
        else:
            part[np.arange(len(held)), held] -= 1
            found[start : start + _CHUNK] = (part**2).sum(axis=1) / (2 if part.shape[1] == 2 else 1)
    return found


def auc(scores: NDArray[Any], truth: Flags) -> float | None:
    """The area under the ROC curve: how often a yes has a higher score than a no, ties counting half (Mann
    and Whitney). None where there is no yes or no no."""
    yes = int(truth.sum())
    if yes in (0, len(truth)):
        return None
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return float((ranks[truth].sum() - yes * (yes + 1) / 2) / (yes * (len(truth) - yes)))


def _ratio(part: NDArray[Any], whole: NDArray[Any]) -> Shares:
    shares: Shares = np.divide(part, whole, out=np.zeros(len(whole)), where=whole > 0)
    return shares
