"""Percentiles and their intervals hold what they promise, whatever the samples are distributed like."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats as scipy_stats

from edgewright.benchmarks.record import stats
from edgewright.benchmarks.record.stats import (
    across,
    change_point,
    paired_ratio,
    percentile,
    steady_from,
    unpaired_ratio,
)

Draw = Callable[[np.random.Generator, int], NDArray[np.float64]]
DISTRIBUTIONS = {
    "uniform": (lambda random, n: random.uniform(size=n), scipy_stats.uniform()),
    "long tail": (lambda random, n: random.lognormal(0, 1.5, n), scipy_stats.lognorm(1.5)),
    "normal": (lambda random, n: random.normal(size=n), scipy_stats.norm()),
}


@pytest.mark.slow
@pytest.mark.parametrize("percent", [50, 90])
@pytest.mark.parametrize("count", [60, 1000])
@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_percentile_interval_covers_the_true_percentile_95_times_in_100(
    name: str, count: int, percent: float
) -> None:
    draw, distribution = DISTRIBUTIONS[name]
    true = distribution.ppf(percent / 100)
    random = np.random.default_rng(9)
    found = [percentile(draw(random, count).tolist(), percent) for _ in range(2000)]
    hits = np.mean([estimate.low <= true <= estimate.high for estimate in found])
    assert 0.935 < hits < 0.985


@pytest.mark.parametrize(("count", "percent"), [(20, 50), (50, 50), (1000, 50), (101, 90), (1000, 99)])
def test_percentile_interval_covers_at_least_95_in_100_by_the_binomial_itself(
    count: int, percent: float
) -> None:
    """Samples 0, 1, 2, … show which order statistics the ends are; how many fall below is binomial."""
    found = percentile(list(range(count)), percent)
    below = scipy_stats.binom(count, percent / 100)
    covered = below.cdf(found.high) - below.cdf(found.low)
    assert covered >= 0.95
    narrower = below.cdf(found.high - 2) - below.cdf(found.low + 2)
    assert narrower < 0.95


@pytest.mark.parametrize("percent", [0, 1, 50, 90, 99, 100])
@pytest.mark.parametrize("count", [1, 2, 3, 7, 100])
def test_percentile_value_is_numpys_and_lies_between_the_ends(count: int, percent: float) -> None:
    samples = np.random.default_rng(count).integers(1, 10**6, count).tolist()
    found = percentile(samples, percent)
    assert found.value == np.percentile(samples, percent)
    assert min(samples) <= found.low <= found.value <= found.high <= max(samples)
    assert {found.low, found.high} <= set(samples)


def test_percentile_of_too_few_samples_for_the_tail_has_the_largest_as_upper_end() -> None:
    assert percentile(list(range(20)), 99).high == 19
    assert (percentile([5, 9], 50).low, percentile([5, 9], 50).high) == (5, 9)


def test_percentile_of_one_sample_is_all_there_is_to_say() -> None:
    found = percentile([42], 99)
    assert (found.value, found.low, found.high) == (42, 42, 42)


def test_percentile_interval_is_closed_by_ties() -> None:
    found = percentile([7] * 99 + [10**6], 50)
    assert (found.value, found.low, found.high) == (7, 7, 7)


def test_percentile_does_not_depend_on_the_order_of_the_samples() -> None:
    samples = np.random.default_rng(1).integers(0, 1000, 333)
    shuffled = np.random.default_rng(2).permutation(samples)
    assert percentile(samples.tolist(), 90) == percentile(shuffled.tolist(), 90)


def test_percentile_of_the_tail_is_moved_by_an_outlier_and_the_middle_is_not() -> None:
    calm = [100] * 500 + [101] * 499
    assert percentile([*calm, 10**9], 50) == percentile([*calm, 102], 50)
    assert percentile([*calm, 10**9], 100).value == 10**9


def test_percentile_across_processes_is_the_median_of_their_own_percentiles() -> None:
    processes = [[10, 20, 30], [11, 21, 31], [12, 22, 32], [13, 23, 33], [14, 24, 34], [100, 200, 300]]
    found = across(processes, 50)
    assert (found.value, found.low, found.high) == (22.5, 20, 200)
    assert across(processes, 100).value == 32.5


def test_percentile_across_more_samples_of_the_same_processes_promises_no_more() -> None:
    few = [[process] * 3 for process in (5, 6, 7, 8, 9, 10)]
    many = [[process] * 5000 for process in (5, 6, 7, 8, 9, 10)]
    assert across(few, 50) == across(many, 50)


def test_percentile_across_six_processes_covers_the_true_median_95_times_in_100() -> None:
    random = np.random.default_rng(4)
    hits = []
    for offsets in random.lognormal(0, 0.5, (1500, 6)) * 10_000:
        found = across([[round(offset), round(offset) + 1, round(offset) + 2] for offset in offsets], 50)
        hits.append(found.low <= 10_001 <= found.high)
    assert 0.95 < np.mean(hits) < 0.985


def test_across_needs_six_processes_for_an_interval_of_a_median() -> None:
    """The chance that all of n lie on one side of it is 2 * 0.5^n, of six 3 %."""
    assert [stats._ranks(n, 0.5) for n in (5, 6)] == [(0, 6), (1, 6)]


@pytest.mark.parametrize("n", [1, 2, 5, 6, 9, 12, 15])
@pytest.mark.parametrize("confidence", [0.95, 0.99])
def test_paired_ratio_interval_is_what_wilcoxons_test_does_not_reject(n: int, confidence: float) -> None:
    """1 lies in the interval exactly if the exact signed-rank test of the logarithms does not reject it."""
    random = np.random.default_rng(n)
    for shift in np.linspace(0, 2, 25):
        logs = random.normal(shift, 1, n)
        found = paired_ratio(np.exp(logs).tolist(), confidence)
        rejected = scipy_stats.wilcoxon(logs, method="exact").pvalue <= 1 - confidence
        if 2.0 ** (1 - n) <= 1 - confidence:  # else all that there is has to serve
            assert rejected != (found.low <= 1 <= found.high)
        assert found.low <= found.value <= found.high


@pytest.mark.parametrize(("m", "n"), [(1, 1), (3, 3), (4, 4), (6, 6), (5, 12)])
def test_unpaired_ratio_interval_is_what_mann_and_whitneys_test_does_not_reject(m: int, n: int) -> None:
    random = np.random.default_rng(m)
    for shift in np.linspace(0, 2.5, 25):
        before, after = random.normal(0, 1, m), random.normal(shift, 1, n)
        found = unpaired_ratio(np.exp(before).tolist(), np.exp(after).tolist())
        rejected = scipy_stats.mannwhitneyu(before, after, method="exact").pvalue <= 0.05
        if m >= 4:
            assert rejected != (found.low <= 1 <= found.high)
        assert found.low <= found.value <= found.high


def test_paired_and_unpaired_ratio_of_one_of_each_is_their_ratio() -> None:
    for found in (paired_ratio([1.25]), unpaired_ratio([4.0], [5.0])):
        assert (found.value, found.low, found.high) == pytest.approx((1.25, 1.25, 1.25))


@pytest.mark.parametrize("degrees", [1, 3, 30])
def test_paired_and_unpaired_ratio_intervals_cover_whatever_the_tails(degrees: int) -> None:
    """Student's distribution with one degree of freedom has no variance at all."""
    random = np.random.default_rng(3)
    paired, apart = [], []
    for _ in range(1000):
        one = paired_ratio(np.exp(0.01 * random.standard_t(degrees, 12) + 0.1).tolist(), 0.99)
        paired.append(one.low <= np.exp(0.1) <= one.high)
        both = (np.exp(0.01 * random.standard_t(degrees, 6) + level).tolist() for level in (0, 0.1))
        two = unpaired_ratio(*both)
        apart.append(two.low <= np.exp(0.1) <= two.high)
    assert np.mean(paired) >= 0.98
    assert np.mean(apart) >= 0.94


def test_change_point_is_found_where_it_is() -> None:
    random = np.random.default_rng(0)
    series = np.concatenate([random.normal(3, 0.1, 30), random.normal(1, 0.1, 50)])
    assert change_point(series) == 30
    assert change_point(series[::-1]) == 50
    assert change_point(np.ones(40)) is None
    assert change_point([1.0]) is None


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_change_point_is_seen_in_steady_noise_5_times_in_100_at_most(name: str) -> None:
    draw, _ = DISTRIBUTIONS[name]
    random = np.random.default_rng(2)
    assert np.mean([change_point(draw(random, 40)) is not None for _ in range(1000)]) < 0.05


def test_steady_from_is_what_follows_the_last_change() -> None:
    random = np.random.default_rng(0)
    levels = np.concatenate([np.full(20, 9.0), np.full(25, 4.0), np.full(40, 1.0)])
    series = levels * random.normal(1, 0.01, len(levels))
    assert steady_from(series, 16, 0.02) == 45
    assert steady_from(series[:55], 16, 0.02) is None  # ten are no window
    assert steady_from(series[-10:], 16, 0.02) is None
    ramp = np.linspace(2, 1, 60)
    assert steady_from(ramp, 16, 0.02) is None


def test_steady_from_takes_a_change_of_less_than_the_tolerance_for_none() -> None:
    series = np.concatenate([np.full(30, 1.0), np.full(30, 1.01)])
    assert change_point(series) == 30
    assert steady_from(series, 16, 0.02) == 0
    assert steady_from(series, 16, 0.005) == 30
