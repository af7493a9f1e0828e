"""Variants that are judged as one claim: Holm's procedure, and that it errs as rarely as it says."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from edgewright.export.proof import together
from edgewright.export.proof.gate import judge
from edgewright.export.proof.interval import z_of
from edgewright.export.proof.limits import Limits
from edgewright.runtime.contract.heads import Head


@pytest.mark.parametrize(
    ("chances", "asked", "held"),
    [
        ({"a": 0.024}, 1, {"a"}),
        ({"a": 0.024}, 2, set()),
        ({"a": 0.012, "b": 0.024}, 2, {"a", "b"}),
        ({"a": 0.013, "b": 0.013}, 2, set()),
        ({"a": 0.001, "b": 0.012, "c": 0.03}, 3, {"a", "b"}),
        ({"a": 0.001, "b": 0.0126, "c": 0.001}, 4, {"a", "c"}),
        ({}, 3, set()),
    ],
)
def test_holm_lets_the_clearest_pass_first_and_stops_at_the_first_that_does_not(
    chances: dict[str, float], asked: int, held: set[str]
) -> None:
    assert together.holding(chances, asked) == held
    assert together.allowed(chances, asked) == together.LEVEL / max(asked - len(held), 1)


def test_six_variants_at_their_limit_let_one_pass_in_at_most_one_of_forty_bundles() -> None:
    softmax, truth = Head(kind="softmax", count=2), np.zeros(4000, int)
    reference = np.tile(np.array([1, 0], np.float32), (4000, 1))

    @cache
    def chance(lost: int) -> float:
        scores = reference.copy()
        scores[:lost] = (0, 1)
        return judge(softmax, reference, scores, truth, Limits(max_drop=0.01)).chance or 0.0

    draws = np.random.default_rng(0).binomial(4000, 0.01, (10_000, 6))  # each drops by just the limit
    bundles = [dict(zip("abcdef", map(chance, lost), strict=True)) for lost in draws.tolist()]
    alone = np.mean([min(each.values()) <= together.LEVEL for each in bundles])
    wide = np.mean([bool(together.holding(each, 6)) for each in bundles])
    assert 0.1 < alone < 0.15
    assert wide <= 0.03


def test_chance_is_the_level_at_which_the_interval_reaches_the_limit() -> None:
    softmax, truth = Head(kind="softmax", count=2), np.zeros(2000, int)
    reference = np.tile(np.array([1, 0], np.float32), (2000, 1))
    scores = reference.copy()
    scores[:9] = (0, 1)
    found = judge(softmax, reference, scores, truth, Limits(max_drop=0.01))
    exactly = judge(softmax, reference, scores, truth, Limits(max_drop=found.drop_high))
    assert found.is_proven
    assert found.chance is not None
    assert found.chance < 0.025
    assert exactly.chance == pytest.approx(0.025, rel=0.02)
    strict = Limits(max_drop=0.01, min_agreement=0.99, max_class_drop=0.01)
    held = judge(softmax, reference, scores, truth, strict)
    assert held.chance == pytest.approx(found.chance, rel=0.02)  # all three speak of the same nine images
    assert judge(softmax, reference, scores[::-1], truth, Limits(max_drop=0.002)).chance == pytest.approx(1.0)
    assert z_of(found.chance) > z_of(0.025)
