"""Signal-to-noise ratios, ranges and what scores say, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgewright.export.explaining.comparison import decision
from edgewright.export.explaining.graphs import Grid, is_one_factor
from edgewright.export.explaining.measures import MOST_DECIBELS, Noise, Range, readout

ROW = np.array([[3.0, -4.0]], np.float32)


def test_an_error_of_a_tenth_is_20_decibels() -> None:
    noise = Noise()
    noise.add(ROW, ROW * np.float32(1.1))
    assert noise.decibels == pytest.approx(20, abs=1e-4)
    assert noise.cosine == pytest.approx(1)
    noise.add(ROW, -ROW)
    assert noise.cosine < 0.1


def test_what_is_the_same_and_what_is_no_number_end_the_scale() -> None:
    same, broken, silent = Noise(), Noise(), Noise()
    same.add(ROW, ROW)
    broken.add(ROW, np.full_like(ROW, np.nan))
    silent.add(np.zeros_like(ROW), ROW)
    assert (same.decibels, broken.decibels, silent.decibels) == (
        MOST_DECIBELS,
        -MOST_DECIBELS,
        -MOST_DECIBELS,
    )
    assert (same.cosine, silent.cosine) == (1, 0)


def test_a_range_says_what_a_grid_cannot() -> None:
    grid = Grid(dtype=np.dtype("u1"), scale=0.1, zero_point=0)
    found = Range()
    floats = np.array([[0.0, 10.0, 51.05], [1.0, 5.0, 20.0]], np.float32)
    found.add(floats, -1)
    found.add_said(floats, grid)
    assert grid.ends == pytest.approx((0, 25.5))
    assert found.saturated_share == pytest.approx(1 / 6)
    assert found.clipped_share(grid) == pytest.approx((51.05 - 25.55) / 51.05, abs=1e-5)
    assert found.clipped_share(None) == 0
    assert found.channel_spread == pytest.approx(51.05 / 10)


def test_dead_channels_do_not_count_as_spread() -> None:
    found = Range()
    found.add(np.array([[0.0, 0.0, 2.0, 2.0]], np.float32), -1)
    assert found.channel_spread == 1


def test_a_grid_says_the_nearest_number_it_has() -> None:
    grid = Grid(dtype=np.dtype("i1"), scale=0.5, zero_point=-128)
    said = grid.nearest(np.array([-3, 0, 0.74, 1e9], np.float32))
    assert said.tolist() == [-128, -128, -127, 127]
    assert grid.floats(said).tolist() == [0, 0, 0.5, 127.5]


def test_scores_of_a_softmax_are_read_as_its_logits() -> None:
    logits = np.array([[4.0, 1.0, -20.0]], np.float64)
    shares = np.exp(logits) / np.exp(logits).sum()
    told = readout(shares.astype(np.float32), "softmax", seen=False)
    assert told == pytest.approx(logits - logits.mean(), abs=1e-4)
    assert readout(shares.astype(np.float32), "softmax", seen=True).min() > -6
    assert readout(np.float32([[0.5]]), "sigmoid", seen=False) == pytest.approx(0)
    assert math.isfinite(float(readout(np.float32([[1.0]]), "sigmoid", seen=False)[0, 0]))
    assert readout(ROW, "dense", seen=True).tolist() == ROW.tolist()


def test_decisions_of_one_score_and_of_many() -> None:
    assert decision(np.float32([[0.1, 0.7, 0.2]]), "softmax") == (1,)
    assert decision(np.float32([[0.6, 0.7, 0.2]]), "sigmoid") == (0, 1)
    assert decision(np.float32([[-2.0]]), "dense") == (0,)


def test_one_factor_off_is_told_from_rounding_and_from_many() -> None:
    assert is_one_factor(np.float32([8, 8, 8.01]))
    assert not is_one_factor(np.float32([1, 1.001, 0.999]))
    assert not is_one_factor(np.float32([1, 1, 4]))
