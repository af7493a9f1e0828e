"""The limits that a file must keep beside that of the accuracy drop.

A class that is lost is refused by default: where the lower end of one class's drop is beyond 5 points, or
beyond twice the largest drop that is allowed of all images, should that be more. Many classes are looked at,
so each lower end is Bonferroni's, and good files are not refused by chance. All other limits are held only if
they are asked for. A file must keep them all, so each interval is one of 95 % as it is: to pass them all is
harder than to pass one (intersection-union test, Berger 1982).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgewright.export.proof.figures import Truth, probabilities
from edgewright.export.proof.interval import Losses, Z, score_interval, z_of
from edgewright.runtime.backends import Scores
from edgewright.runtime.contract.heads import Head
from edgewright.runtime.evaluation.metrics import brier_each

LOST = 0.05  # a class that has surely lost more is lost
_NAMED = 3  # lost classes; of more it is said how many
_DIGITS = 4  # of a difference of Brier scores: few different values are soon computed with


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a file must keep: `max_drop` is the largest accuracy drop, `max_class_drop` that of every class,
    `min_agreement` the least share of images that are decided as the model does, `max_calibration_drop` the
    largest rise of the mean Brier score; all shares, None where nothing is asked."""

    max_drop: float = 0.01
    max_class_drop: float | None = None
    min_agreement: float | None = None
    max_calibration_drop: float | None = None

    @property
    def lost(self) -> float:
        """The most that a class may surely have lost; where much may be lost in the mean, twice that."""
        return max(LOST, 2 * self.max_drop) if self.max_class_drop is None else self.max_class_drop

    @property
    def need_labels(self) -> bool:
        return self.max_class_drop is not None or self.max_calibration_drop is not None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a limit was kept: `verdict` is "passed", "not proven" or "refused", with `reason`; `remedy` is an
    option with which a file that is not proven would pass now."""

    verdict: str
    reason: str = ""
    remedy: str = ""


@dataclass(frozen=True, kw_only=True)
class ClassVerdict:
    """`worst` is the class that has surely lost most, None if no class has lost any, with its `drop` and the
    95 % interval from `low` to `high`; `not_judged` are classes of which the model has too few images right
    to see them lost."""

    outcome: Outcome
    worst: int | None
    drop: float
    low: float
    high: float
    not_judged: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class ClassDrops:
    """How each class fares, int64 `(classes,)` each: its `images`, those that the model has `right`, those
    that the file has `lost` and `won`. Of several labels a class are the images that have the label."""

    images: NDArray[np.int64]
    right: NDArray[np.int64]
    lost: NDArray[np.int64]
    won: NDArray[np.int64]

    @staticmethod
    def of(head: Head, reference: Scores, scores: Scores, truth: Truth) -> ClassDrops:
        decided, given = head.decisions(reference), head.decisions(scores)
        right, kept = decided == truth, given == truth
        groups = (np.ones_like(right), right, right & ~kept, kept & ~right)
        if head.is_multi_label:
            counts = [(group & truth).sum(axis=0).astype(np.int64) for group in groups]
        else:
            counts = [np.bincount(truth[group], minlength=head.labels).astype(np.int64) for group in groups]
        return ClassDrops(images=counts[0], right=counts[1], lost=counts[2], won=counts[3])

    def judge(self, labels: Sequence[str], limits: Limits) -> ClassVerdict:
        """Hold `limits.max_class_drop`, or if that is None, that no class is lost.

        Args:
            labels: what the classes are called.
        """
        limit, bound = limits.max_class_drop, limits.lost
        seen = np.flatnonzero(self.images).tolist()
        strict = z_of(0.025 / max(len(seen), 1))
        drops = {i: float((self.lost[i] - self.won[i]) / self.images[i]) for i in seen}
        ends = {i: self._interval(i) for i in seen}
        lost = [i for i in seen if drops[i] > bound and self._interval(i, strict)[0] > bound]
        # Of these not even the loss of all would be seen.
        blind = {i for i in seen if score_interval(self.right[i], 0, self.images[i], strict)[0] <= bound}
        losing = [i for i in seen if drops[i] > 0]
        worst = max(losing, key=lambda i: (ends[i][0], drops[i]), default=None)
        low, high = (0.0, 0.0) if worst is None else ends[worst]
        outcome = Outcome(verdict="passed")
        if lost:
            lost.sort(key=lambda i: -drops[i])
            told = [self._told(i, labels, ends[i]) for i in lost[:_NAMED]]
            more = [f"{len(lost) - _NAMED} more classes"] if len(lost) > _NAMED else []
            reason = f"{'; '.join(told + more)}; limit of a class {bound:g}"
            outcome = Outcome(verdict="refused", reason=reason)
        elif limit is not None:
            outcome = self._proven(labels, ends, limit)
        return ClassVerdict(
            outcome=outcome,
            worst=worst,
            drop=0.0 if worst is None else drops[worst],
            low=low,
            high=high,
            not_judged=tuple(i for i in range(len(labels)) if i in blind or not self.images[i]),
        )

    def _proven(self, labels: Sequence[str], ends: dict[int, tuple[float, float]], limit: float) -> Outcome:
        """Whether every class's upper end keeps `limit`."""
        absent = [labels[i] for i in np.flatnonzero(self.images == 0).tolist()]
        if absent:
            return Outcome(verdict="not proven", reason=f"no test image of class '{absent[0]}'")
        widest = max(ends, key=lambda i: ends[i][1])
        if ends[widest][1] <= limit:
            return Outcome(verdict="passed")
        return Outcome(
            verdict="not proven",
            reason=f"{self._told(widest, labels, ends[widest])}; limit of a class {limit:g}",
            remedy=f"--max-class-drop {above(ends[widest][1])}",
        )

    def kept(self, limit: float | None, z: float) -> bool:
        """Whether every class's upper end, `z` standard errors from its drop, keeps the limit."""
        return limit is None or all(
            self._interval(i, z)[1] <= limit for i in np.flatnonzero(self.images).tolist()
        )

    def _interval(self, place: int, z: float | None = None) -> tuple[float, float]:
        counts = (int(self.lost[place]), int(self.won[place]), int(self.images[place]))
        return score_interval(*counts) if z is None else score_interval(*counts, z)

    def _told(self, place: int, labels: Sequence[str], ends: tuple[float, float]) -> str:
        drop = (self.lost[place] - self.won[place]) / self.images[place]
        return (
            f"class '{labels[place]}' drops by {drop:+.4f}, 95 % interval {ends[0]:+.4f} to {ends[1]:+.4f} "
            f"over {self.images[place]:,} images"
        )


def judge_agreement(
    share: float, images: int, limit: float | None, z: float = Z
) -> tuple[Outcome, tuple[float, float]]:
    """Hold the share of images decided alike against its limit; gives the share's interval too, of 95 %
    unless `z` is another (`score_interval`)."""
    parted = round((1 - share) * images)
    low, high = score_interval(parted, 0, images, z)
    ends = (1 - high, 1 - max(low, 0.0))
    if limit is None or ends[0] >= limit:
        return Outcome(verdict="passed"), ends
    reason = f"agreement {share:.4f}, 95 % interval {ends[0]:.4f} to {ends[1]:.4f}, limit {limit:g}"
    if ends[1] < limit:
        return Outcome(verdict="refused", reason=reason), ends
    return Outcome(
        verdict="not proven", reason=reason, remedy=f"--min-agreement {1 - float(above(high)):g}"
    ), ends


@dataclass(frozen=True, kw_only=True)
class CalibrationVerdict:
    """How much the mean Brier score has risen, with its 95 % interval."""

    outcome: Outcome
    drop: float
    low: float
    high: float


def judge_calibration(
    head: Head, reference: Scores, scores: Scores, truth: Truth, limit: float | None, z: float = Z
) -> CalibrationVerdict:
    """Hold the rise of the mean Brier score against its limit; `z` is as `score_interval` takes it.

    The paired difference of Brier scores is without bias at any number of images, which the expected
    calibration error is not.
    """
    most = 2.0 if head.labels > 2 and not head.is_multi_label else 1.0  # what an image can lose
    before, after = (brier_each(probabilities(head, one), truth) for one in (reference, scores))
    losses = Losses.of(np.round((after - before) / most, _DIGITS))
    drop, (low, high) = most * losses.mean, (most * end for end in losses.interval(z=z))
    outcome = Outcome(verdict="passed")
    if limit is not None and high > limit:
        reason = f"Brier score {drop:+.4f}, 95 % interval {low:+.4f} to {high:+.4f}, limit {limit:g}"
        outcome = Outcome(verdict="refused", reason=reason)
        if low <= limit:
            remedy = f"--max-calibration-drop {above(high)}"
            outcome = Outcome(verdict="not proven", reason=reason, remedy=remedy)
    return CalibrationVerdict(outcome=outcome, drop=drop, low=low, high=high)


def above(end: float) -> str:
    """The upper end of an interval as a limit that it keeps, with four digits behind the point."""
    return f"{np.ceil(end * 10_000) / 10_000:.4g}"
