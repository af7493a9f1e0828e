"""Score intervals of what a file loses, image by image.

The accuracy drop is a difference of paired proportions; its interval is Tango's score interval (Statistics in
Medicine 17, 1998, 891-908), which stays honest with few images and with no discordant pair at all.

Where an image is not just right or wrong - several labels, an embedding, a probability - it is still the
unit, and what it loses a number from -1 to 1. The interval is then the score interval of their mean, of which
Tango's is the case of -1, 0 and 1: the variance is that of the likeliest distribution on [-1, 1] that has the
mean in question and may have mass at its ends, where nothing was seen. Labels of one image are not
independent, so they are never counted as if they were.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

Z = 1.959963984540054  # the normal distribution's 97.5 % point


def z_of(chance: float) -> float:
    """How many standard errors an interval reaches that the truth lies beyond, on one side, with so small a
    chance. Of .025 it is `Z`."""
    return -NormalDist().inv_cdf(chance)


def score_interval(lost: float, won: float, samples: float, z: float = Z) -> tuple[float, float]:
    """Tango's score interval of the accuracy drop `(lost - won) / samples`.

    Args:
        lost: images that the reference has right and the variant wrong.
        won: images that the variant has right and the reference wrong.
        samples: all images, at least one.
        z: how many standard errors it reaches to either side; by default the interval is one of 95 %.

    Returns:
        Lower and upper end, within -1 and 1.
    """
    drop = (lost - won) / samples

    def errors(delta: float) -> float:
        """The score statistic of the hypothesis that the true drop is `delta`; falls as delta rises."""
        b = (2 * samples - lost + won) * delta - lost - won
        c = -won * delta * (1 - delta)
        q = (math.sqrt(max(b * b - 8 * samples * c, 0.0)) - b) / (4 * samples)
        variance = samples * (2 * q + delta * (1 - delta))
        distance = lost - won - samples * delta
        if variance <= 0:
            return 0.0 if distance == 0 else math.copysign(math.inf, distance)
        return distance / math.sqrt(variance)

    low = -1.0 if drop <= -1 else _bisect(lambda delta: errors(delta) > z, -1.0, drop)
    high = 1.0 if drop >= 1 else _bisect(lambda delta: errors(delta) >= -z, drop, 1.0)
    return low, high


def _bisect(holds_below: Callable[[float], bool], low: float, high: float) -> float:
    """Where `holds_below` turns from true to false between `low` and `high`."""
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if holds_below(middle) else (low, middle)
    return (low + high) / 2


def mean_interval(
    values: NDArray[np.float64], counts: NDArray[np.float64], z: float = Z
) -> tuple[float, float]:
    """The score interval of the mean of what images lose.

    Args:
        values: different numbers from -1 to 1.
        counts: how many images have lost each.
        z: as `score_interval` takes it.

    Returns:
        Lower and upper end, within -1 and 1. Of -1, 0 and 1 they are those of `score_interval`.
    """
    mean = float(values @ counts) / float(counts.sum())
    high = 1.0 if mean >= 1 else _bisect(lambda delta: errors_below(delta, values, counts) <= z, mean, 1.0)
    low = 1.0 if mean <= -1 else _bisect(lambda delta: errors_below(delta, -values, counts) <= z, -mean, 1.0)
    return -low, high


def errors_below(delta: float, values: NDArray[np.float64], counts: NDArray[np.float64]) -> float:
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

    def interval(self, samples: float | None = None, z: float = Z) -> tuple[float, float]:
        """Of so many images at the same rates; by default, of these. `z` as `score_interval` takes it."""
        counts = self.counts if samples is None else self.counts / self.samples * samples
        if set(self.values.tolist()) <= {-1.0, 0.0, 1.0}:
            lost, won = (float(counts[self.values == value].sum()) for value in (1.0, -1.0))
            return score_interval(lost, won, float(counts.sum()), z)
        return mean_interval(self.values, counts, z)
