"""Percentiles of raw samples, with intervals that assume nothing about their distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_Z = 1.959963984540054  # the normal distribution's 97.5 % point


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A percentile and its 95 % interval, in the unit of the samples."""

    value: float
    low: float
    high: float


def percentile(samples: Sequence[float], percent: float) -> Estimate:
    """A percentile of raw samples with its distribution-free 95 % interval.

    The interval's ends are order statistics: how many of n samples fall below the true percentile
    is binomial (Conover, Practical Nonparametric Statistics, 1999, section 3.2; normal
    approximation). With too few samples for the tail they are the smallest and largest sample.

    Args:
        samples: at least one.
        percent: 0 to 100.
    """
    ordered = np.sort(np.asarray(samples))
    n, p = len(ordered), percent / 100
    half = _Z * math.sqrt(n * p * (1 - p))
    low, high = math.floor(n * p - half), math.ceil(n * p + half)
    return Estimate(
        value=float(np.quantile(ordered, p)),
        low=float(ordered[max(low - 1, 0)]),
        high=float(ordered[min(high, n - 1)]),
    )


def across(processes: Sequence[Sequence[int]], percent: float) -> Estimate:
    """A percentile as the median over processes of each one's own, with the 95 % interval of that median.

    Samples of one process share its memory layout and its moment, so their number says nothing of
    how well a figure repeats; the spread over fresh processes does. Six are the fewest for 95 %.
    """
    return percentile([round(percentile(samples, percent).value) for samples in processes], 50)
