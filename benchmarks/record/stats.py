"""Percentiles, ratios and change points of raw samples, whatever their distribution.

Every interval here has order statistics for its ends, and its chance to cover is counted exactly, not
by a normal approximation. Pure numpy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A figure and its interval, 95 % unless told otherwise, in the unit of the samples."""

    value: float
    low: float
    high: float


def exactly(value: float) -> Estimate:
    """What was not sampled: the interval is the figure."""
    return Estimate(value=value, low=value, high=value)


def percentile(samples: Sequence[float], percent: float) -> Estimate:
    """A percentile of raw samples with its distribution-free 95 % interval.

    The interval's ends are order statistics: how many of n samples fall below the true percentile
    is binomial (Conover, Practical Nonparametric Statistics, 1999, section 3.2), at most 2.5 % on each
    side. With too few samples for that they are the smallest and largest sample.

    Args:
        samples: at least one.
        percent: 0 to 100.
    """
    ordered = np.sort(np.asarray(samples))
    n, p = len(ordered), percent / 100
    (low, high), place = _ranks(n, p), (n - 1) * p  # the value may lie between two samples
    return Estimate(
        value=float(np.quantile(ordered, p)),
        low=float(ordered[min(max(low - 1, 0), math.floor(place))]),
        high=float(ordered[max(min(high, n) - 1, math.ceil(place))]),
    )


def across(processes: Sequence[Sequence[float]], percent: float) -> Estimate:
    """A percentile as the median over processes of each one's own, with the 95 % interval of that median.

    Samples of one process share its memory layout and its moment, so their number says nothing of
    how well a figure repeats; the spread over fresh processes does. Six are the fewest for 95 %.
    """
    return percentile(each(processes, percent), 50)


def each(processes: Sequence[Sequence[float]], percent: float) -> list[float]:
    """The percentile of each process's samples."""
    return [float(np.percentile(samples, percent)) for samples in processes]


def paired_ratio(ratios: Sequence[float], confidence: float = CONFIDENCE) -> Estimate:
    """The centre of ratios B/A that were each taken from one pair of A and B, with its interval.

    What is timed in turn is estimated so, whoever asks; for what was not, there is `unpaired_ratio`.

    Hodges-Lehmann's estimate and the interval of Wilcoxon's signed-rank test (Hollander, Wolfe, Chicken,
    Nonparametric Statistical Methods, 2014, section 3.2-3.3) on the logarithms, with its null
    distribution counted exactly. It needs the logarithms to lie symmetrically about their centre; where
    A and B are the same and each pair's order is drawn by lot they do, whatever the noise.
    With too few pairs for `confidence` (six are the fewest for 95 %) the ends are the smallest and largest
    ratio.

    Args:
        ratios: at least one, above 0.
        confidence: of the interval; 1 is that from the smallest to the largest.
    """
    logs = np.log(np.asarray(ratios, np.float64))
    i, j = np.triu_indices(len(logs))
    return _middle((logs[i] + logs[j]) / 2, _tail(_signed_rank_counts(len(logs)), confidence))


def unpaired_ratio(before: Sequence[float], after: Sequence[float]) -> Estimate:
    """`after` to `before`, two lots of processes that were not paired, with its 95 % interval.

    Hodges-Lehmann's shift of the logarithms and the interval of Mann and Whitney's test (the same
    book, section 4.2-4.3), counted exactly. With too few processes (four of each are the fewest) the
    ends are the smallest and largest ratio of any two.
    """
    logs = np.log(np.asarray(after, np.float64))[:, None] - np.log(np.asarray(before, np.float64))
    return _middle(logs.ravel(), _tail(_mann_whitney_counts(*logs.shape), CONFIDENCE))


def change_point(values: ArrayLike) -> int | None:
    """Where the level of a series changes: the index of the first value behind it, None if nowhere.

    Pettitt's test (Applied Statistics 28, 1979, pp. 126-135), by ranks, at 5 %.

    Args:
        values: `(n,)`; ten or more to be of use.
    """
    ranked = _ranked(np.asarray(values, np.float64))
    n = len(ranked)
    # U_t is the sum over i <= t < j of sign(x_i - x_j), which ranks give at once
    u = np.abs(2 * np.cumsum(ranked) - np.arange(1, n + 1) * (n + 1))[:-1]
    if len(u) == 0 or 2 * math.exp(-6 * float(u.max()) ** 2 / (n**3 + n**2)) > 0.05:
        return None
    return int(u.argmax()) + 1


def steady_from(values: ArrayLike, window: int, tolerance: float) -> int | None:
    """The index from which on a series is steady to its end; None if its last `window` values are not all so.

    Everything before a change point is left behind, and what follows is looked at again. A change of
    less than `tolerance` of the level is none: a long series would find the smallest.

    Args:
        values: `(n,)`, above 0.
    """
    series, start = np.asarray(values, np.float64), 0
    while len(series) - start >= window:
        rest = series[start:]
        place = change_point(rest)
        if place is None:
            return start
        before, after = np.median(rest[:place]), np.median(rest[place:])
        if abs(after / before - 1) < tolerance:
            return start
        start += place
    return None


def _ranks(n: int, p: float) -> tuple[int, int]:
    """The ranks, from 1, of the interval's ends; 0 or n + 1 where there is no such sample."""
    side = (1 - CONFIDENCE) / 2
    at_most = np.cumsum(_binomial(n, p))  # P(at most k of n lie below the percentile)
    low = int(np.searchsorted(at_most, side, side="right"))
    high = int(np.searchsorted(at_most, 1 - side, side="left")) + 1
    return low, high


def _binomial(n: int, p: float) -> NDArray[np.float64]:
    """The chance of 0..n of n, `(n + 1,)`."""
    if p in (0.0, 1.0):
        return np.asarray(np.arange(n + 1) == (n if p else 0), np.float64)
    k = np.arange(n + 1)
    factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])
    logs = factorials[n] - factorials - factorials[::-1] + k * math.log(p) + (n - k) * math.log1p(-p)
    return np.asarray(np.exp(logs))


def _ranked(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks from 1; those of equal values are their mean."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[inverse])


def _middle(logs: NDArray[np.float64], cut: int) -> Estimate:
    """The median, and what is left when the `cut` smallest and largest are taken away, as ratios."""
    ordered = np.exp(np.sort(logs))
    return Estimate(
        value=float(np.exp(np.median(logs))), low=float(ordered[cut]), high=float(ordered[-1 - cut])
    )


def _tail(counts: NDArray[np.float64], confidence: float) -> int:
    """How many of the sorted differences may be cut off on each side: the test's critical value."""
    below = np.cumsum(counts) / counts.sum()
    return max(int(np.searchsorted(below, (1 - confidence) / 2, side="right")) - 1, 0)


@lru_cache
def _signed_rank_counts(n: int) -> NDArray[np.float64]:
    """In how many of the 2^n ways of signs the rank sum is 0, 1, …"""
    counts: NDArray[np.float64] = np.ones(1)
    for rank in range(1, n + 1):
        counts = np.pad(counts, (0, rank)) + np.pad(counts, (rank, 0))
    return counts


@lru_cache
def _mann_whitney_counts(m: int, n: int) -> NDArray[np.float64]:
    """In how many orders of m and n values Mann and Whitney's statistic is 0, 1, …, m * n.

    They are the coefficients of a Gaussian binomial: the product of (1 - x^(n+i)) / (1 - x^i), i to m.
    """
    counts = np.zeros(m * n + 1)
    counts[0] = 1
    for i in range(1, m + 1):
        if n + i <= m * n:
            counts[n + i :] -= counts[: -(n + i)].copy()
        for place in range(i, len(counts)):
            counts[place] += counts[place - i]
    return counts
