"""A few labels for many pictures: a file is judged on the labelled test and on a pool without labels
together.

Only pictures on which file and model part can change the accuracy drop, so of a pool these alone want a
label. That holds for pictures of the kind the test is made of, and a pool can be of another: one that brings
no disagreement at all would dilute any loss. So what the test alone refuses stays refused, the pool is
compared with the test before it counts (`mismatch`), and some pictures that nobody disputes are labelled too
(`contradiction`).

People err, and look again. A picture without a sure label counts as lost where the interval's upper end is
held against the limit, and as won at its lower end. Labels that confuse the two candidates with the chance e
show 1 - 2e of a drop, so the limit is tightened by as much. The k-th pool that the same file is judged on is
judged at the level .025 / 2^k: all of them together at .025 (Bonferroni). More labels for the same pool are
no further look: each of them can only bring the upper end down to where all of them would have it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edgewright.export.proof.interval import score_interval, z_of

LABEL_ERROR = 0.05  # wrong labels among the disputed pictures, where nothing else is said
AGREEING = 60  # pictures that nobody disputes, to be labelled with the others
MISMATCH = 0.01  # the chance that a pool from where the test is from is called another
_CHECKS = 4  # of which each has its part of that chance
_FEWER = 0.01  # the chance beside it for a pool on which file and model part more rarely: that dilutes a loss
_LEVEL = 0.025
_LEAST_EXPECTED = 5  # pictures of a class, for a chi-square test of the class mix
_FAR = 10**7  # pictures; a pool that would have to be larger is none


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Of `images`, those that the model has right and the file wrong (`lost`), the other way round (`won`),
    and those on which they part without a sure label (`unresolved`)."""

    images: int
    lost: int
    won: int
    unresolved: int = 0


@dataclass(frozen=True, kw_only=True)
class Joint:
    """What test and pool show together: `drop` of what is labelled, an interval from `low` to `high` at
    `level` a side, the tightened `limit`, and the `verdict`, "passed", "refused" or "not proven"."""

    drop: float
    low: float
    high: float
    limit: float
    level: float
    verdict: str


def level(look: int) -> float:
    """The chance on one side at which the `look`-th pool is judged, from 1."""
    return _LEVEL * 0.5**look


def judge(
    test: Counts, pool: Counts, max_drop: float, label_error: float = LABEL_ERROR, look: int = 1
) -> Joint:
    """Judge a file on test and pool together.

    Args:
        test: all of its images are labelled.
        pool: images that have been compared with the test (`mismatch`), of which the disputed have labels or
            are unresolved.
        max_drop: the largest accuracy drop that passes, a share.
        label_error: how often a label names the wrong one of the two candidates, from 0 to below a half.
        look: how many pools such a file was judged on, this one among them.
    """
    images = test.images + pool.images
    lost, won = test.lost + pool.lost, test.won + pool.won
    z = z_of(level(look))
    high = score_interval(lost + pool.unresolved, won, images, z)[1]
    low = score_interval(lost, won + pool.unresolved, images, z)[0]
    limit = max_drop * (1 - 2 * label_error)
    alone = score_interval(test.lost, test.won, test.images)[0]
    refused = alone > max_drop or low > max_drop  # wrong labels only make a drop look smaller
    return Joint(
        drop=(lost - won) / images,
        low=low,
        high=high,
        limit=limit,
        level=level(look),
        verdict="refused" if refused else "passed" if high <= limit else "not proven",
    )


def can_pass(
    test: Counts, pool: Counts, pending: int, max_drop: float, label_error: float, look: int
) -> bool:
    """Whether labels for the `pending` of the unresolved pictures could still let a file pass: where not, no
    more are wanted. That is the one way in which labelling ends early."""
    best = replace(pool, won=pool.won + pending, unresolved=pool.unresolved - pending)
    return judge(test, best, max_drop, label_error, look).verdict == "passed"


def pool_to_settle(
    test: Counts, disputed: int, max_drop: float, label_error: float = LABEL_ERROR
) -> tuple[int, int] | None:
    """How large a first pool would let a file pass, about, and how many labels it would take, if the rates
    seen in the test are the true ones. None if no pool within reach would.

    Args:
        disputed: images of the test that file and model put into different classes.
    """

    def passes(size: int) -> bool:
        rates = (test.lost / test.images, test.won / test.images)
        lost, won = (rate * (test.images + size) for rate in rates)
        return score_interval(lost, won, test.images + size, z)[1] <= limit

    z, limit = z_of(level(1)), max_drop * (1 - 2 * label_error)
    if not passes(_FAR):
        return None
    low, high = 0, _FAR
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if passes(middle) else (middle, high)
    size = _two_digits(high)
    return size, _two_digits(math.ceil(size * disputed / test.images) + min(AGREEING, size))


def _two_digits(count: int) -> int:
    """No less than `count`, and no closer than such a forecast is worth."""
    step: int = 10 ** max(len(str(count)) - 2, 0)
    return math.ceil(count / step) * step


@dataclass(frozen=True, kw_only=True)
class Population:
    """What tells one kind of pictures from another without labels, `(n,)` each: the model's class, how far
    its best probability is above its second, and whether the file takes the picture for something else."""

    classes: NDArray[np.intp]
    margins: NDArray[np.float64]
    disputed: NDArray[np.bool_]


def mismatch(test: Population, pool: Population) -> str:
    """Why the pool is taken for pictures of another kind than the test; empty where it is not.

    The share of disagreement is compared by Fisher's exact test, the model's class mix by chi-square, and how
    sure the model is by that of Kolmogorov and Smirnov.
    """
    parts = (test, pool)
    counts = [int(part.disputed.sum()) for part in parts]
    sizes = [len(part.disputed) for part in parts]
    shares = [count / size for count, size in zip(counts, sizes, strict=True)]
    fewer, more = _fisher(counts[0], sizes[0], counts[1], sizes[1])
    if fewer < _FEWER or more < MISMATCH / _CHECKS:
        return f"file and model part on {100 * shares[1]:.2f} % of it, on {100 * shares[0]:.2f} % of the test"
    if _chi_square(test.classes, pool.classes) < MISMATCH / _CHECKS:
        return "the model finds other shares of the classes in it than in the test"
    if _smirnov(test.margins, pool.margins) < MISMATCH / _CHECKS:
        surer = "surer" if pool.margins.mean() > test.margins.mean() else "less sure"
        return f"the model is {surer} of its pictures than of the test's"
    return ""


def contradiction(
    test_wrong: int, test_agreeing: int, wrong: int, answered: int, wanted: int, label_error: float
) -> str:
    """Why pictures that nobody disputes speak against the pool; empty where they do not.

    Args:
        test_wrong, test_agreeing: test images that file and model put into the same class, and those of them
            that are of another.
        wrong, answered, wanted: of the pool, those that were to be labelled, those that have a sure label,
            and those of another class, or of none.
        label_error: how often a label is wrong.
    """
    if 2 * answered < wanted:
        return f"only {answered} of {wanted} pictures that nobody disputes have a label"
    rate = (test_wrong + 1) / (test_agreeing + 2)
    expected = rate + (1 - rate) * label_error
    if _binomial_tail(wrong, answered, expected) >= MISMATCH / _CHECKS:
        return ""
    return (
        f"{wrong} of its {answered} pictures that nobody disputes are of another class or of none, where the "
        f"test lets expect {expected * answered:.0f}"
    )


def _fisher(a: int, of_a: int, b: int, of_b: int) -> tuple[float, float]:
    """The chances that of two parts of one population the second shows so few, or so many, beside the first
    (Fisher 1934)."""
    total = a + b
    least, most = max(0, total - of_b), min(total, of_a)
    x = np.arange(least, most)
    steps = np.log((total - x) * (of_a - x)) - np.log((x + 1.0) * (of_b - total + x + 1))
    logs = np.concatenate([[0.0], np.cumsum(steps)])
    chances = np.exp(logs - logs.max())
    chances /= chances.sum()
    return float(chances[a - least :].sum()), float(chances[: a - least + 1].sum())


def _chi_square(a: NDArray[np.intp], b: NDArray[np.intp]) -> float:
    """The chance that two parts of one population show such different shares; rare classes count as one. By
    the cube root of Wilson and Hilferty (1931)."""
    size = int(max(a.max(initial=0), b.max(initial=0))) + 1
    table = np.stack([np.bincount(part, minlength=size) for part in (a, b)]).astype(np.float64)
    share = table.sum(axis=1) / table.sum()
    rare = table.sum(axis=0) * share.min() < _LEAST_EXPECTED
    table = np.column_stack([table[:, ~rare], table[:, rare].sum(axis=1)])
    table = table[:, table.any(axis=0)]
    freedom = table.shape[1] - 1
    if freedom < 1:
        return 1.0
    expected = share[:, np.newaxis] * table.sum(axis=0)
    statistic = float(((table - expected) ** 2 / expected).sum())
    ninth = 2 / (9 * freedom)
    return 0.5 * math.erfc(((statistic / freedom) ** (1 / 3) - 1 + ninth) / math.sqrt(2 * ninth))


def _smirnov(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """The chance that two parts of one population lie as far apart (Smirnov 1948), as Stephens (1970)
    corrects it for few pictures; equal values make it larger."""
    every = np.concatenate([a, b])
    below = [np.searchsorted(np.sort(part), every, side="right") / len(part) for part in (a, b)]
    root = math.sqrt(len(a) * len(b) / len(every))
    far: float = float(np.abs(below[0] - below[1]).max()) * (root + 0.12 + 0.11 / root)
    if far < 0.3:  # the series converges slowly, and to 1
        return 1.0
    return min(1.0, 2 * sum((-1.0) ** (k - 1) * math.exp(-2 * (k * far) ** 2) for k in range(1, 50)))


def _binomial_tail(least: int, count: int, chance: float) -> float:
    """The chance of `least` or more of `count`."""
    return sum(math.comb(count, k) * chance**k * (1 - chance) ** (count - k) for k in range(least, count + 1))
