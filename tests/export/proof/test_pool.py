"""Test and pool together: how often a file passes that should, and one that should not, over 10,000 draws."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from edgewright.export.proof import pool
from edgewright.export.proof.interval import score_interval, z_of
from edgewright.export.proof.pool import (
    Counts,
    Population,
    can_pass,
    contradiction,
    judge,
    level,
    mismatch,
    pool_to_settle,
)

DRAWS = 10_000
LIMIT = 0.01
TEST = Counts(images=400, lost=4, won=3)


@dataclass(frozen=True, kw_only=True)
class Draws:
    """Lost and won pictures of many draws of `images`, `(draws,)` each."""

    images: int
    lost: NDArray[np.int64]
    won: NDArray[np.int64]

    def __add__(self, other: Draws) -> Draws:
        return Draws(images=self.images + other.images, lost=self.lost + other.lost, won=self.won + other.won)


def drawn(
    random: np.random.Generator, images: int, discordance: float, drop: float, wrong: float = 0.0
) -> Draws:
    """Pictures of which a share is lost or won, with labels that name the wrong candidate now and then."""
    rates = [(discordance + drop) / 2, (discordance - drop) / 2, 1 - discordance]
    lost, won, _ = random.multinomial(images, rates, DRAWS).T
    to_won, to_lost = random.binomial(lost, wrong), random.binomial(won, wrong)
    return Draws(images=images, lost=lost - to_won + to_lost, won=won - to_lost + to_won)


def errors_above(draws: Draws, delta: float) -> NDArray[np.float64]:
    """Tango's statistic of every draw for a true drop of `delta`: the same as in the gate, for arrays."""
    n, lost, won = draws.images, draws.lost, draws.won
    b = (2 * n - lost + won) * delta - lost - won
    q = (np.sqrt(b * b + 8 * n * won * delta * (1 - delta)) - b) / (4 * n)
    found: NDArray[np.float64] = (lost - won - n * delta) / np.sqrt(n * (2 * q + delta * (1 - delta)))
    return found


def passed(test: Draws, unlabelled: Draws, error: float, look: int) -> NDArray[np.bool_]:
    """Which draws pass the limit, but for the comparison of the populations."""
    refused = errors_above(test, LIMIT) > z_of(0.025)
    proven = errors_above(test + unlabelled, LIMIT * (1 - 2 * error)) <= -z_of(level(look))
    result: NDArray[np.bool_] = proven & ~refused
    return result


@pytest.mark.parametrize("look", [1, 4])
def test_the_simulation_decides_as_the_gate_does(look: int) -> None:
    random = np.random.default_rng(0)
    test, more = drawn(random, 400, 0.05, 0.01), drawn(random, 3000, 0.02, 0.002)
    verdicts = passed(test, more, 0.05, look)[:200]
    assert 20 < verdicts.sum() < 180
    for i in range(200):
        of_test = Counts(images=400, lost=int(test.lost[i]), won=int(test.won[i]))
        of_pool = Counts(images=3000, lost=int(more.lost[i]), won=int(more.won[i]))
        assert (judge(of_test, of_pool, LIMIT, 0.05, look).verdict == "passed") == verdicts[i]


def test_a_good_file_passes_with_few_labels() -> None:
    """400 labelled and 3,000 other pictures, discordance 2 %, true drop .2 points, limit 1 point. Every
    guard has its price: these are the figures of docs/variants-and-proof.md."""
    random = np.random.default_rng(1)
    test = drawn(random, 400, 0.02, 0.002)
    found, labels = {}, {}
    for size in (3000, 4000, 5000):
        more = drawn(random, size, 0.02, 0.002)
        labels[size] = int(np.mean(more.lost + more.won))
        for error, look in ((0.0, 0), (0.0, 1), (0.05, 1)):  # 0 is the level .025, as if nobody looked again
            found[size, error, look] = round(float(passed(test, more, error, look).mean()), 2)
    assert labels == pytest.approx({3000: 60, 4000: 80, 5000: 100}, abs=1)
    assert found[3000, 0.0, 0] == pytest.approx(0.88, abs=0.015)
    assert found[3000, 0.0, 1] == pytest.approx(0.82, abs=0.015)
    assert found[3000, 0.05, 1] == pytest.approx(0.70, abs=0.015)
    assert found[4000, 0.05, 1] == pytest.approx(0.82, abs=0.015)
    assert found[5000, 0.05, 1] == pytest.approx(0.89, abs=0.015)


@pytest.mark.parametrize("discordance", [0.01, 0.02, 0.05])
@pytest.mark.parametrize("wrong", [0.0, 0.03, 0.05])
def test_at_the_bound_hardly_any_file_passes_in_five_looks(discordance: float, wrong: float) -> None:
    random = np.random.default_rng(2)
    test = drawn(random, 400, discordance, LIMIT)
    ever, more = np.zeros(DRAWS, np.bool_), drawn(random, 0, discordance, LIMIT)
    for look, size in enumerate((1000, 1000, 1000, 2000, 3000), 1):
        more += drawn(random, size, discordance, LIMIT, wrong)
        ever |= passed(test, more, 0.05, look)
    assert ever.mean() <= 0.03


def margins(random: np.random.Generator, count: int) -> NDArray[np.float64]:
    found: NDArray[np.float64] = random.beta(2.0, 0.7, count)
    return found


@pytest.mark.parametrize("drop", [0.01, 0.03])
@pytest.mark.parametrize("share", [0.25, 0.5, 0.75, 1.0])
@pytest.mark.parametrize(("draws", "most"), [(400, 0.0475)], ids=["few"])
def test_a_diluted_pool_lets_hardly_any_file_pass(drop: float, share: float, draws: int, most: float) -> None:
    assert diluted(drop, share, draws) <= most


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("drop", [0.01, 0.03])
@pytest.mark.parametrize("share", [0.1, 0.2, 0.3, 0.5, 1.0])
def test_of_10000_diluted_pools_at_most_3_percent_let_a_file_pass(drop: float, share: float) -> None:
    assert diluted(drop, share, DRAWS) <= 0.03


@pytest.mark.parametrize(("drop", "share"), [(0.01, 1.0), (0.03, 0.3), (0.03, 0.7), (0.03, 1.0)])
def test_a_pool_without_disagreement_is_told_by_that_alone(drop: float, share: float) -> None:
    """The model is as sure of the plain pictures as of the test's."""
    assert diluted(drop, share, DRAWS, told_by_margins=False) <= 0.03


def diluted(drop: float, share: float, draws: int, *, told_by_margins: bool = True) -> float:
    """How often a file passes that loses the limit, or more, with 3,000 pictures of which a share shows
    something so plain that the model is sure of it and no file disagrees."""
    random = np.random.default_rng(3)
    rates = [(drop + 0.01 + drop) / 2, 0.005, 1 - drop - 0.01]
    plain = random.binomial(3000, share, draws)
    lost, won, _ = random.multinomial(400, rates, draws).T
    pool_lost, pool_won, _ = random.multinomial(3000 - plain, rates).T
    test = Draws(images=400, lost=lost, won=won)
    of_pool = Draws(images=3000, lost=pool_lost, won=pool_won)
    count = 0
    for i in np.flatnonzero(passed(test, of_pool, 0.05, 1)):
        counts = (int(lost[i] + won[i]), 400, int(pool_lost[i] + pool_won[i]), 3000)
        if not told_by_margins:
            count += pool._fisher(*counts)[0] >= pool._FEWER
            continue
        surely = np.concatenate([margins(random, 3000 - plain[i]), random.uniform(0.95, 1.0, plain[i])])
        own = population(random, 400, int(lost[i] + won[i]), margins(random, 400))
        other = population(random, 3000, int(pool_lost[i] + pool_won[i]), surely)
        count += not mismatch(own, other)
    return count / draws


def population(
    random: np.random.Generator, images: int, disputed: int, surely: NDArray[np.float64]
) -> Population:
    return Population(
        classes=random.integers(0, 10, images), margins=surely, disputed=np.arange(images) < disputed
    )


def test_a_pool_of_the_tests_own_kind_is_hardly_ever_called_another() -> None:
    random = np.random.default_rng(4)
    found = 0
    for _ in range(1000):
        sizes = random.binomial((400, 3000), 0.02)
        own = population(random, 400, int(sizes[0]), margins(random, 400))
        other = population(random, 3000, int(sizes[1]), margins(random, 3000))
        found += bool(mismatch(own, other))
    assert found / 1000 <= 0.03


def test_mismatch_says_what_differs() -> None:
    random = np.random.default_rng(5)
    own = population(random, 400, 12, margins(random, 400))
    none = population(random, 3000, 0, margins(random, 3000))
    assert mismatch(own, none) == "file and model part on 0.00 % of it, on 3.00 % of the test"
    other = population(random, 3000, 90, margins(random, 3000))
    assert mismatch(own, other) == ""
    few = Population(classes=other.classes % 3, margins=other.margins, disputed=other.disputed)
    assert "other shares of the classes" in mismatch(own, few)
    sure = Population(classes=other.classes, margins=other.margins**0.3, disputed=other.disputed)
    assert "the model is surer of its pictures" in mismatch(own, sure)


def test_two_samples_are_compared_as_scipy_compares_them() -> None:
    random = np.random.default_rng(6)
    for a, of_a, b, of_b in ((12, 400, 30, 3000), (0, 400, 60, 3000), (7, 400, 15, 3000), (3, 50, 3, 60)):
        table = stats.hypergeom(of_a + of_b, a + b, of_a)
        expected = (table.sf(a - 1), table.cdf(a))
        assert pool._fisher(a, of_a, b, of_b) == pytest.approx(expected, rel=1e-9)
    first, second = random.integers(0, 8, 500), random.integers(0, 17, 3000) % 8
    counts = np.stack([np.bincount(first, minlength=8), np.bincount(second, minlength=8)])
    chance = stats.chi2_contingency(counts, correction=False).pvalue
    assert pool._chi_square(first, second) == pytest.approx(chance, rel=0.5)
    x, y = random.normal(size=400), random.normal(0.15, 1, 3000)
    assert pool._smirnov(x, y) == pytest.approx(stats.ks_2samp(x, y, method="asymp").pvalue, rel=0.15)
    assert pool._binomial_tail(9, 60, 0.1) == pytest.approx(stats.binom.sf(8, 60, 0.1), rel=1e-9)


def test_what_the_test_alone_refuses_stays_refused() -> None:
    bad = Counts(images=400, lost=16, won=1)
    assert score_interval(16, 1, 400)[0] > LIMIT
    assert judge(bad, Counts(images=10**6, lost=0, won=0), LIMIT).verdict == "refused"


@pytest.mark.parametrize("unresolved", [1, 10, 60, 300])
def test_unresolved_pictures_count_against_a_file_and_never_refuse_it(unresolved: int) -> None:
    sure = judge(TEST, Counts(images=3000, lost=20, won=20), LIMIT)
    joint = judge(TEST, Counts(images=3000, lost=20, won=20, unresolved=unresolved), LIMIT)
    assert joint.high > sure.high
    assert joint.low < sure.low
    assert joint.drop == sure.drop
    assert joint.verdict in ("passed", "not proven")
    lost = judge(TEST, Counts(images=3000, lost=20 + unresolved, won=20), LIMIT)
    assert joint.high == lost.high


def test_no_order_of_labels_passes_what_all_labels_would_not() -> None:
    """Whatever was labelled first, a missing label counts as lost."""
    random = np.random.default_rng(7)
    for _ in range(100):
        labels = random.choice([-1, 0, 1], 60, p=[0.35, 0.2, 0.45])
        whole = judge(
            TEST, Counts(images=3000, lost=int((labels > 0).sum()), won=int((labels < 0).sum())), LIMIT
        )
        seen = labels[: random.integers(0, 60)]
        part = Counts(
            images=3000, lost=int((seen > 0).sum()), won=int((seen < 0).sum()), unresolved=60 - len(seen)
        )
        assert judge(TEST, part, LIMIT).high >= whole.high
        if not can_pass(TEST, part, 60 - len(seen), LIMIT, 0.05, 1):
            assert whole.verdict != "passed"


def test_assumed_wrong_labels_tighten_the_limit_and_each_look_the_level() -> None:
    more = Counts(images=3000, lost=20, won=20)
    assert judge(TEST, more, LIMIT, 0.05).limit == pytest.approx(0.009)
    assert judge(TEST, more, LIMIT, 0.0).limit == LIMIT
    highs = [judge(TEST, more, LIMIT, 0.05, look).high for look in range(1, 6)]
    assert highs == sorted(highs)
    assert [level(look) for look in (1, 2, 3)] == [0.0125, 0.00625, 0.003125]
    assert math.fsum(level(look) for look in range(1, 50)) <= 0.025
    assert highs[0] == score_interval(24, 23, 3400, z_of(0.0125))[1]


def test_pictures_that_nobody_disputes_speak_against_a_pool_of_no_class() -> None:
    assert contradiction(40, 392, 8, 60, 60, 0.05) == ""
    assert "30 of its 60 pictures that nobody disputes are of another" in contradiction(
        40, 392, 30, 60, 60, 0.05
    )
    assert "only 29 of 60" in contradiction(40, 392, 0, 29, 60, 0.05)
    random = np.random.default_rng(8)
    wrong = random.binomial(60, 0.1 + 0.9 * 0.05, 2000)
    assert np.mean([bool(contradiction(40, 392, int(k), 60, 60, 0.05)) for k in wrong]) <= 0.01


def test_forecast_says_how_large_a_pool_would_settle_it() -> None:
    found = pool_to_settle(Counts(images=400, lost=4, won=3), 8, LIMIT)
    assert found is not None
    size, labels = found
    rates = Counts(images=size, lost=round(size / 100), won=round(size * 3 / 400))
    assert judge(TEST, rates, LIMIT).verdict == "passed"
    assert labels == pytest.approx(size * 0.02 + 60, rel=0.1)
    assert pool_to_settle(Counts(images=400, lost=9, won=1), 12, LIMIT) is None
