"""Weights that are removed: those a layer needs least, and the others make good what is lost."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from edgewright.export.weights import moments, pruning
from edgewright.export.weights.moments import Moments
from edgewright.export.weights.pruning import Pruned

Floats = NDArray[np.float32]


def error(found: Pruned, weights: Floats, exact: Floats, given: Floats) -> float:
    off = given @ found.weights.T + found.shift - exact @ weights.T
    return float(np.sqrt(np.mean(off**2)))


@pytest.mark.parametrize("has_bias", [True, False])
@pytest.mark.parametrize("share", [0.5, 0.8])
def test_pruning_loses_less_than_the_smallest_weights_on_inputs_not_seen(
    inputs: Floats, weights: Floats, share: float, has_bias: bool
) -> None:
    seen, others = inputs[:2000], inputs[2000:]
    ours = pruning.by_share(weights, Moments([(seen, seen)]), share, has_bias=has_bias)
    plain = pruning.by_share(weights, None, share, has_bias=has_bias)
    for found in (ours, plain):
        assert (found.weights == 0).mean() == pytest.approx(share, abs=1 / weights.size)
    assert not plain.shift.any() and ours.shift.any() == has_bias
    assert error(ours, weights, others, others) < 0.7 * error(plain, weights, others, others)


def test_pruning_weights_that_stay_are_the_best_there_are(inputs: Floats, weights: Floats) -> None:
    found = pruning.by_share(weights, Moments([(inputs, inputs)]), 0.8, has_bias=True)
    centred = (inputs - inputs.mean(axis=0)).astype(np.float64)
    square = moments.damped(centred.T @ centred / len(inputs))
    for ours, row in zip(found.weights, weights.astype(np.float64), strict=True):
        kept = np.flatnonzero(ours)
        best = np.linalg.solve(square[np.ix_(kept, kept)], square[kept] @ row)
        np.testing.assert_allclose(ours[kept], best, atol=2e-3 * np.abs(best).max())


def test_pruning_makes_good_what_layers_in_front_have_lost(inputs: Floats, weights: Floats) -> None:
    given = inputs * 0.9 + 0.2  # each input is off, and alike
    ours = pruning.by_share(weights, Moments([(inputs, given)]), 0.5, has_bias=True)
    blind = pruning.by_share(weights, Moments([(given, given)]), 0.5, has_bias=True)
    assert error(ours, weights, inputs, given) < 0.85 * error(blind, weights, inputs, given)


def test_pruning_keeps_zeros_and_takes_inputs_that_are_never_there_and_many(
    inputs: Floats, weights: Floats, monkeypatch: pytest.MonkeyPatch
) -> None:
    sparse, dead = weights.copy(), inputs.copy()
    sparse[:, ::3], dead[:, 5] = 0, 0
    monkeypatch.setattr(moments, "TOGETHER", 40)  # of 72 inputs
    found = pruning.by_share(sparse, Moments([(dead, dead)]), 0.2, has_bias=True)
    assert (found.weights[sparse == 0] == 0).all() and np.isfinite(found.weights).all()
    found = pruning.by_share(sparse, Moments([(dead, dead)]), 0.6, has_bias=True)
    assert (found.weights[:, 5] == 0).all()  # it is the first to go
    plain = pruning.by_share(sparse, None, 0.6, has_bias=True)
    assert error(found, sparse, dead, dead) < 0.6 * error(plain, sparse, dead, dead)


@pytest.mark.parametrize("channels", [72, 8, 6, 3])
def test_pruning_two_of_four_leaves_two_of_each_four_neighbours(
    inputs: Floats, weights: Floats, channels: int
) -> None:
    found = pruning.two_of_four(weights, Moments([(inputs, inputs)]), channels, has_bias=True)
    rows = (found.weights != 0).reshape(-1, channels)
    for start in range(0, channels, 4):
        size = min(4, channels - start)
        assert (rows[:, start : start + 4].sum(axis=1) == min(2, size)).all()
    plain = pruning.two_of_four(weights, None, channels, has_bias=True)
    assert error(found, weights, inputs, inputs) < 0.6 * error(plain, weights, inputs, inputs)
