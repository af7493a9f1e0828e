"""Intervals are Tango's, and cover the truth as often as they say."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from scipy.optimize import brentq, minimize_scalar
from scipy.stats import multinomial

from edgewright.export.proof import interval
from edgewright.export.proof.interval import Losses, mean_interval, score_interval, z_of

Z2 = 1.959963984540054**2


def losses(lost: int, won: int, samples: int) -> Losses:
    return Losses.of(np.repeat([1, -1, 0], [lost, won, samples - lost - won]))


def interval_by_likelihood(lost: int, won: int, samples: int) -> tuple[float, float]:
    """The same interval the long way: the trinomial likelihood is maximised under each true drop."""
    same = samples - lost - won

    def statistic(delta: float) -> float:
        def unlikelihood(p_won: float) -> float:
            terms = ((lost, p_won + delta), (won, p_won), (same, 1 - 2 * p_won - delta))
            return -sum(count * math.log(max(p, 1e-300)) for count, p in terms if count)

        ends = (max(0.0, -delta), (1 - delta) / 2)
        p_won = minimize_scalar(unlikelihood, bounds=ends, method="bounded", options={"xatol": 1e-12}).x
        variance = samples * (2 * p_won + delta - delta**2)
        return float((lost - won - samples * delta) / math.sqrt(variance))

    drop, edge = (lost - won) / samples, 1 - 1e-9
    low = brentq(lambda delta: statistic(delta) - math.sqrt(Z2), -edge, drop - 1e-9)
    high = brentq(lambda delta: statistic(delta) + math.sqrt(Z2), drop + 1e-9, edge)
    return float(low), float(high)


@pytest.mark.parametrize(
    ("lost", "won", "samples"),
    [(1, 7, 21), (12, 3, 100), (40, 0, 2000), (0, 5, 60), (25, 25, 2000), (1, 0, 5), (9, 9, 20)],
)
def test_score_interval_is_the_one_of_constrained_maximum_likelihood(
    lost: int, won: int, samples: int
) -> None:
    expected = interval_by_likelihood(lost, won, samples)
    assert score_interval(lost, won, samples) == pytest.approx(expected, abs=2e-6)


def test_score_interval_of_the_published_example_comes_out_as_published() -> None:
    """Fagerland, Lydersen and Laake 2014, airway hyper-responsiveness before and after: (1, 1, 7, 12)."""
    low, high = score_interval(lost=1, won=7, samples=21)
    assert (round(low, 3), round(high, 3)) == (-0.517, -0.026)


@pytest.mark.parametrize("samples", [1, 5, 380, 2000, 10**6])
def test_score_interval_without_a_discordant_pair_ends_at_z_squared_over_n_plus_z_squared(
    samples: int,
) -> None:
    end = Z2 / (samples + Z2)
    assert score_interval(0, 0, samples) == pytest.approx((-end, end), rel=1e-9)


def test_score_interval_of_losing_and_winning_mirror_each_other() -> None:
    for lost, won in ((0, 3), (2, 9), (50, 49), (0, 60)):
        low, high = score_interval(lost, won, 60 + lost + won)
        assert score_interval(won, lost, 60 + lost + won) == pytest.approx((-high, -low), abs=1e-12)


@pytest.mark.parametrize(("lost", "won"), [(4, 0), (0, 4), (2, 2), (0, 0)])
def test_score_interval_stays_within_one_and_around_the_drop(lost: int, won: int) -> None:
    low, high = score_interval(lost, won, 4)
    assert -1 <= low <= (lost - won) / 4 <= high <= 1


def test_score_interval_is_narrower_with_more_images_of_the_same_kind() -> None:
    ends = [score_interval(2 * k, k, 100 * k) for k in (1, 3, 10, 100)]
    widths = [high - low for low, high in ends]
    assert widths == sorted(widths, reverse=True)


def test_score_interval_covers_the_true_drop_as_often_as_it_says() -> None:
    """Exact: the chance of every possible outcome of 80 images is summed where the interval holds."""
    samples = 80
    outcomes = [(a, b) for a, b in product(range(samples + 1), repeat=2) if a + b <= samples and a + b <= 45]
    ends = np.array([score_interval(a, b, samples) for a, b in outcomes])
    counts = np.array([(a, b, samples - a - b) for a, b in outcomes])
    covered = []
    for p_lost, p_won in ((0.03, 0.01), (0.05, 0.05), (0.1, 0.02), (0.15, 0.1), (0.02, 0.2)):
        chance = multinomial(samples, (p_lost, p_won, 1 - p_lost - p_won)).pmf(counts)
        assert chance.sum() > 0.9999
        holds = (ends[:, 0] <= p_lost - p_won) & (p_lost - p_won <= ends[:, 1])
        covered.append(float(chance[holds].sum()))
    assert min(covered) > 0.93
    assert 0.94 < np.mean(covered) < 0.97


def test_score_interval_covers_simulated_experiments_95_times_in_100() -> None:
    p_lost, p_won, samples = 0.012, 0.007, 2000
    draws = np.random.default_rng(5).multinomial(samples, (p_lost, p_won, 1 - p_lost - p_won), 4000)
    ends = {(a, b): score_interval(a, b, samples) for a, b in {(int(a), int(b)) for a, b, _ in draws}}
    hits = [low <= p_lost - p_won <= high for low, high in (ends[int(a), int(b)] for a, b, _ in draws)]
    assert 0.94 < np.mean(hits) < 0.96


@pytest.mark.parametrize(
    ("lost", "won", "samples"), [(0, 0, 400), (3, 1, 400), (20, 5, 2000), (0, 4, 50), (7, 0, 100)]
)
def test_mean_interval_of_right_and_wrong_is_the_score_interval(lost: int, won: int, samples: int) -> None:
    found = losses(lost, won, samples)
    expected = score_interval(lost, won, samples)
    assert mean_interval(found.values, found.counts) == pytest.approx(expected, abs=1e-9)


def test_mean_interval_mirrors_and_narrows_with_more_images() -> None:
    each = np.random.default_rng(0).choice([0.2, 0.05, 0, -0.05], 300, p=[0.02, 0.1, 0.8, 0.08])
    found = Losses.of(each)
    low, high = found.interval()
    assert low < found.mean < high
    assert Losses.of(-each).interval() == pytest.approx((-high, -low), abs=1e-9)
    wider = found.interval(30)
    assert wider[0] < low < high < wider[1]


def test_a_drop_at_the_limit_passes_rarely_however_labels_of_an_image_hang_together() -> None:
    """A file whose mean label accuracy drops by just 1 point, 3 of 5 or all 20 labels of an image at once."""
    random = np.random.default_rng(3)
    for size, flips in ((3 / 5, 0.1), (1.0, 0.5)):
        lost = (1 + 0.01 / (flips * size)) / 2  # of what changes; the rest is won
        draws = random.multinomial(400, [flips * lost, flips * (1 - lost), 1 - flips], 2000)
        values = np.array([size, -size, 0.0])
        passed = 0
        for counts in draws.astype(float):
            seen = counts > 0
            below = float(values @ counts) / 400 < 0.01
            passed += below and interval.errors_below(0.01, values[seen], counts[seen]) > math.sqrt(Z2)
        assert passed / len(draws) <= 0.035


def test_score_interval_of_a_smaller_chance_is_wider_and_its_z_is_the_normal_distributions() -> None:
    assert z_of(0.025) == pytest.approx(math.sqrt(Z2), abs=1e-12)
    assert z_of(0.025 / 10) == pytest.approx(2.807033768343804)
    low, high = score_interval(9, 3, 400)
    wide_low, wide_high = score_interval(9, 3, 400, z_of(0.0025))
    assert wide_low < low < high < wide_high
    assert losses(9, 3, 400).interval(z=z_of(0.0025)) == (wide_low, wide_high)
    assert mean_interval(np.array([-1.0, 0, 1]), np.array([3.0, 388, 9]), z_of(0.0025)) == pytest.approx(
        (wide_low, wide_high), abs=1e-9
    )
