"""The gate: its interval is Tango's, and its verdicts say what was proven and what was not."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import brentq, minimize_scalar
from scipy.stats import multinomial

from edgewright.export.proof.gate import images_to_settle, judge, score_interval
from edgewright.runtime.bundle.manifest import ParityReport

Z2 = 1.959963984540054**2


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


def compare(lost: int, won: int, samples: int, max_drop: float) -> ParityReport:
    """Judge one-hot scores: only the variant is wrong on `lost` images, only the reference on `won`."""
    labels = np.zeros(samples, np.int64)
    reference, scores = np.zeros((2, samples, 2), np.float32)
    reference[:, 0] = scores[:, 0] = 1
    scores[:lost] = reference[lost : lost + won] = (0, 1)
    return judge(reference, scores, labels, max_drop)


@pytest.mark.parametrize(
    ("lost", "won", "samples", "max_drop", "verdict"),
    [
        (0, 0, 2000, 0.01, "passed"),
        (5, 5, 2000, 0.01, "passed"),
        (0, 300, 2000, 0.01, "passed"),
        (300, 0, 2000, 0.01, "refused"),
        (15, 0, 2000, 0.01, "not proven"),
        (0, 0, 5, 0.01, "not proven"),
        (0, 0, 2000, 0.0, "not proven"),
        (1, 0, 2000, 0.0, "not proven"),
        (60, 0, 2000, 0.0, "refused"),
        (0, 0, 381, 0.01, "passed"),
        (0, 0, 380, 0.01, "not proven"),
    ],
)
def test_gate_verdict_holds_the_interval_against_max_drop(
    lost: int, won: int, samples: int, max_drop: float, verdict: str
) -> None:
    found = compare(lost, won, samples, max_drop)
    assert found.verdict == verdict
    assert found.drop == pytest.approx((lost - won) / samples)
    assert (found.drop_low, found.drop_high) == score_interval(lost, won, samples)
    assert (found.reason == "") == (verdict == "passed")


def test_gate_refusal_says_by_how_much_and_over_how_many_images() -> None:
    reason = compare(300, 0, 2000, 0.01).reason
    assert "accuracy drop +0.1500" in reason
    assert "over 2,000 images, limit 0.01" in reason
    assert "would settle" not in reason


def test_gate_not_proven_says_how_many_images_would_settle_it() -> None:
    assert "; about 390 test images would settle it" in compare(0, 0, 5, 0.01).reason
    assert "; no number of test images would settle it" in compare(0, 0, 2000, 0.0).reason


@pytest.mark.parametrize(
    ("lost", "won", "samples", "max_drop"),
    [
        (0, 0, 5, 0.01),
        (15, 0, 2000, 0.01),
        (12, 8, 500, 0.01),
        (3, 1, 60, 0.05),
        (30, 4, 2000, 0.01),
        (27, 5, 2000, 0.01),
        (1, 0, 2000, 0.0),
        (1, 4, 100, 0.01),
    ],
)
def test_images_to_settle_do_settle_it_and_clearly_fewer_do_not(
    lost: int, won: int, samples: int, max_drop: float
) -> None:
    def settled(count: float) -> bool:
        low, high = score_interval(lost / samples * count, won / samples * count, count)
        return high <= max_drop or low > max_drop

    needed = images_to_settle(lost, won, samples, max_drop)
    assert needed is not None
    assert needed > samples
    assert settled(needed)
    assert not settled(0.85 * needed)


@pytest.mark.parametrize(("lost", "samples", "max_drop"), [(20, 2000, 0.01), (0, 2000, 0.0), (1, 100, 0.01)])
def test_images_to_settle_a_drop_exactly_at_the_limit_are_none(
    lost: int, samples: int, max_drop: float
) -> None:
    assert images_to_settle(lost, 0, samples, max_drop) is None


def scores_of(*rows: list[float]) -> NDArray[np.float32]:
    return np.array(rows, np.float32)


def test_agreement_counts_a_tie_that_holds_the_references_class() -> None:
    reference = scores_of([0.2, 0.5, 0.3], [0.6, 0.3, 0.1], [0.1, 0.2, 0.7], [0.4, 0.3, 0.3])
    scores = scores_of([0.4, 0.4, 0.2], [0.5, 0.4, 0.1], [0.5, 0.5, 0.0], [0.3, 0.4, 0.3])
    found = judge(reference, scores, np.array([1, 0, 2, 0]), 0.5)
    assert found.agreement == 0.25
    assert found.tie_agreement == 0.5
    assert found.max_abs_error == pytest.approx(0.7)
    assert found.accuracy == 0.25
    assert found.drop == 0.75
