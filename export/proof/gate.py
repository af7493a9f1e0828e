"""The gate: is a variant proven close enough to its float Keras model to be written?

Both have judged the same images, so the accuracy drop is a difference of paired proportions; its
95 % interval is Tango's score interval (Statistics in Medicine 17, 1998, 891-908), which stays
honest with few images and with no discordant pair at all.

Where an image is not just right or wrong - several labels, an embedding - it is still the unit, and what it
loses a number from -1 to 1. The interval is then the score interval of their mean, of which Tango's is the
case of -1, 0 and 1: the variance is that of the likeliest distribution on [-1, 1] that has the mean in
question and may have mass at its ends, where nothing was seen. Labels of one image are not independent, so
they are never counted as if they were.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgewright.runtime.backends import Scores
from edgewright.runtime.bundle.manifest import ParityReport
from edgewright.runtime.contract.heads import Head

Z = 1.959963984540054  # the normal distribution's 97.5 % point
_MANY = 10**9  # images; what needs more is called out of reach
_NEIGHBOURS = 2000  # embeddings that are compared with each other

Truth: TypeAlias = NDArray[Any]  # class numbers (n,), or of several labels bool (n, labels)


def score_interval(lost: float, won: float, samples: float) -> tuple[float, float]:
    """Tango's 95 % score interval of the accuracy drop `(lost - won) / samples`.

    Args:
        lost: images that the reference has right and the variant wrong.
        won: images that the variant has right and the reference wrong.
        samples: all images, at least one.

    Returns:
        Lower and upper end, within -1 and 1.
    """
    drop = (lost - won) / samples

    def z(delta: float) -> float:
        """The score statistic of the hypothesis that the true drop is `delta`; falls as delta rises."""
        b = (2 * samples - lost + won) * delta - lost - won
        c = -won * delta * (1 - delta)
        q = (math.sqrt(max(b * b - 8 * samples * c, 0.0)) - b) / (4 * samples)
        variance = samples * (2 * q + delta * (1 - delta))
        distance = lost - won - samples * delta
        if variance <= 0:
            return 0.0 if distance == 0 else math.copysign(math.inf, distance)
        return distance / math.sqrt(variance)

    low = -1.0 if drop <= -1 else _bisect(lambda delta: z(delta) > Z, -1.0, drop)
    high = 1.0 if drop >= 1 else _bisect(lambda delta: z(delta) >= -Z, drop, 1.0)
    return low, high


def _bisect(holds_below: Callable[[float], bool], low: float, high: float) -> float:
    """Where `holds_below` turns from true to false between `low` and `high`."""
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if holds_below(middle) else (low, middle)
    return (low + high) / 2


def mean_interval(values: NDArray[np.float64], counts: NDArray[np.float64]) -> tuple[float, float]:
    """The 95 % score interval of the mean of what images lose.

    Args:
        values: different numbers from -1 to 1.
        counts: how many images have lost each.

    Returns:
        Lower and upper end, within -1 and 1. Of -1, 0 and 1 they are those of `score_interval`.
    """
    mean = float(values @ counts) / float(counts.sum())
    high = 1.0 if mean >= 1 else _bisect(lambda delta: _errors_below(delta, values, counts) <= Z, mean, 1.0)
    low = 1.0 if mean <= -1 else _bisect(lambda delta: _errors_below(delta, -values, counts) <= Z, -mean, 1.0)
    return -low, high


def _errors_below(delta: float, values: NDArray[np.float64], counts: NDArray[np.float64]) -> float:
    """How many standard errors the mean is below `delta`, if that, no less than the mean, is the true one.

    The likeliest distribution gives a value x the share count / (n + mu (x - delta)), with the mu that makes
    delta its mean; where none does, 1 gets the rest (Owen: Empirical Likelihood, 2001, with the end of the
    range added to what was seen).
    """
    samples, away = float(counts.sum()), values - delta
    least = -samples / (1 - delta)  # below it 1, unseen, would be more likely than its share says

    def shares(mu: float) -> NDArray[np.float64]:
        return counts / np.maximum(samples + mu * away, 1e-300)

    at_end = float(shares(least) @ away) < 0
    mu = least if at_end else _bisect(lambda mu: float(shares(mu) @ away) > 0, least, 0.0)
    likely = shares(mu)
    unseen = max(0.0, 1 - float(likely.sum())) if at_end else 0.0
    variance = float(likely @ away**2) + unseen * (1 - delta) ** 2
    return -float(counts @ away) / samples / math.sqrt(variance / samples) if variance > 0 else math.inf


@dataclass(frozen=True, kw_only=True)
class Losses:
    """What the images lose: different numbers from -1 to 1, how many images have lost each, and how the
    interval of their mean is found."""

    values: NDArray[np.float64]
    counts: NDArray[np.float64]

    @staticmethod
    def of(each: NDArray[Any]) -> Losses:
        """`each` `(n,)` is what every image loses."""
        values, counts = np.unique(np.asarray(each, np.float64), return_counts=True)
        return Losses(values=values, counts=counts.astype(np.float64))

    @property
    def samples(self) -> float:
        return float(self.counts.sum())

    @property
    def mean(self) -> float:
        return float(self.values @ self.counts) / self.samples

    def interval(self, samples: float | None = None) -> tuple[float, float]:
        """Of so many images at the same rates; by default, of these."""
        counts = self.counts if samples is None else self.counts / self.samples * samples
        if set(self.values.tolist()) <= {-1.0, 0.0, 1.0}:
            lost, won = (float(counts[self.values == value].sum()) for value in (1.0, -1.0))
            return score_interval(lost, won, float(counts.sum()))
        return mean_interval(self.values, counts)


def images_to_settle(losses: Losses, max_drop: float) -> int | None:
    """How many test images would let a variant pass if the rates seen so far are the true ones.

    None if no number within reach would.
    """

    def passes(count: float) -> bool:
        return losses.interval(count)[1] <= max_drop

    if losses.mean >= max_drop or not passes(_MANY):
        return None
    low, high = losses.samples, float(_MANY)
    while high - low > 1:
        middle = (low + high) / 2
        low, high = (low, middle) if passes(middle) else (middle, high)
    step: int = 10 ** max(int(math.log10(high)) - 1, 0)  # two digits are all such a forecast is worth
    return math.ceil(high / step) * step


def judge(
    head: Head,
    reference: Scores,
    scores: Scores,
    truth: Truth | None,
    max_drop: float,
    measure: str = "accuracy",
) -> ParityReport:
    """Compare a variant's scores with the reference's, image by image.

    Args:
        head: what the scores are.
        reference, scores: float32 `(images, scores)`, finite.
        truth: class numbers, or the labels of each image; None where they are not known: then the
            reference's own decisions are, so that the drop is the share of disagreement, the most accuracy
            that can be lost.
        max_drop: the largest drop that passes, a share (0.01 is one point); the upper end of the drop's
            interval is held against it.
        measure: what is dropping, one of `edgewright.runtime.bundle.manifest.MEASURES`.
    """
    samples = len(reference)
    beside: dict[str, float] = {}
    if head.is_embedding:
        cosines = _cosines(reference, scores)
        each, value = 1 - np.clip(cosines, 0, 1), float(cosines.mean())
        agreement = tie_agreement = _same_neighbours(reference, scores)
    else:
        decided, given = head.decisions(reference), head.decisions(scores)
        truth = decided if truth is None else truth
        right = [_right(found, truth) for found in (decided, given)]
        each, value = right[0] - right[1], float(right[1].mean())
        agreement, tie_agreement = _agreement(head, decided, given, scores)
        if head.is_sigmoid and truth is not decided:
            beside = figures_beside(head, scores, truth)
    losses = Losses.of(each)
    drop, (low, high) = losses.mean, losses.interval()
    if losses.values[0] >= 0 and measure in ("agreement", "cosine"):
        low = max(low, 0.0)  # nothing can be won there
    verdict = "passed" if high <= max_drop else "refused" if low > max_drop else "not proven"
    return ParityReport(
        samples=samples,
        accuracy=value,
        drop=drop,
        drop_low=low,
        drop_high=high,
        agreement=agreement,
        tie_agreement=tie_agreement,
        max_abs_error=float(np.abs(reference - scores).max()),
        verdict=verdict,
        reason="" if verdict == "passed" else _reason(losses, low, high, max_drop, measure, verdict),
        beside=beside,
    )


def _reason(losses: Losses, low: float, high: float, max_drop: float, measure: str, verdict: str) -> str:
    what = "share of disagreement" if measure == "agreement" else f"{measure.replace('-', ' ')} drop"
    reason = (
        f"{what} {losses.mean:+.4f}, 95 % interval {low:+.4f} to {high:+.4f} over {losses.samples:,.0f} "
        f"images, limit {max_drop:g}"
    )
    if verdict == "refused":
        return reason
    if needed := images_to_settle(losses, max_drop):
        return f"{reason}; about {needed:,} test images would settle it (or a larger --max-drop)"
    if losses.mean > max_drop:
        return f"{reason}; it is beyond the limit, and more images would hardly bring it below"
    return f"{reason}; no number of test images would settle it"


def own_figures(head: Head, reference: Scores, truth: Truth | None) -> dict[str, float]:
    """The reference's own: `accuracy`, and what stands beside it; 1 where the truth is not known."""
    if head.is_embedding or truth is None:
        return {"accuracy": 1.0}
    accuracy = float(_right(head.decisions(reference), truth).mean())
    return {"accuracy": accuracy, **(figures_beside(head, reference, truth) if head.is_sigmoid else {})}


def figures_beside(head: Head, scores: Scores, truth: Truth) -> dict[str, float]:
    """`macro_f1`, the mean over labels of F1 at the threshold, and `auc`, that of the area under the ROC
    curve (the share of pairs of a yes and a no whose scores are in that order, ties half: Mann and Whitney
    1947);
    of one score, those of its second label. Labels that no image has, or all have, are left out."""
    flags = truth.astype(bool).reshape(len(truth), -1)
    guesses = head.margins(scores) > 0
    hits = (flags & guesses).sum(axis=0)
    sizes = flags.sum(axis=0) + guesses.sum(axis=0)
    known = flags.any(axis=0)
    found = {}
    if known.any():
        found["macro_f1"] = float((2 * hits[known] / sizes[known]).mean())
    areas = [_auc(scores[:, i], flags[:, i]) for i in np.flatnonzero(known & ~flags.all(axis=0))]
    return found | ({"auc": float(np.mean(areas))} if areas else {})


def _auc(scores: NDArray[np.float32], yes: NDArray[np.bool_]) -> float:
    _, places, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[places]
    positives = int(yes.sum())
    pairs = positives * (len(yes) - positives)
    return float((ranks[yes].sum() - positives * (positives + 1) / 2) / pairs)


def _right(decided: NDArray[Any], truth: Truth) -> NDArray[np.float64]:
    """How right each image is, `(n,)`: 0 or 1, or of several labels the share that are."""
    right: NDArray[np.float64] = (decided == truth).astype(np.float64)
    if right.ndim == 1:
        return right
    shares: NDArray[np.float64] = right.mean(axis=1)
    return shares


def _agreement(head: Head, decided: NDArray[Any], given: NDArray[Any], scores: Scores) -> tuple[float, float]:
    """The share of images decided alike, and that where a tie counts that holds the reference's decision."""
    if not head.is_sigmoid:
        tied = scores[np.arange(len(scores)), decided] == scores.max(1)
        return float(np.mean(decided == given)), float(np.mean(tied))
    same = (decided == given).reshape(len(scores), -1)
    tied = same | (head.margins(scores) == 0)
    return float(same.all(axis=1).mean()), float(tied.all(axis=1).mean())


def _cosines(reference: Scores, scores: Scores) -> NDArray[np.float64]:
    a, b = (_directions(vectors) for vectors in (reference, scores))
    found: NDArray[np.float64] = (a * b).sum(axis=1)
    return np.minimum(found, 1.0)


def _directions(vectors: Scores) -> NDArray[np.float64]:
    wide: NDArray[np.float64] = vectors.astype(np.float64)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    return np.asarray(wide / np.maximum(lengths, 1e-30))


def _same_neighbours(reference: Scores, scores: Scores) -> float:
    """The share of images whose nearest other one is the same in both; of the first 2,000."""
    nearest = []
    for vectors in (reference, scores):
        directions = _directions(vectors[:_NEIGHBOURS])
        near = directions @ directions.T
        np.fill_diagonal(near, -2)
        nearest.append(near.argmax(1))
    return float(np.mean(nearest[0] == nearest[1]))
