"""Ranges of least squared error: an outlier is clipped where that pays, and nothing else is."""

from __future__ import annotations

import numpy as np
import pytest

from edgewright.export.weights.ranges import BINS, counted, least_squares, sample


def test_ranges_clip_a_lone_outlier_and_bring_the_error_down() -> None:
    random = np.random.default_rng(0)
    values = np.concatenate([random.normal(0, 1, 1_000_000), [30.0]])
    low, high = float(values.min()), float(values.max())

    def error(low: float, high: float) -> float:
        step = (high - low) / 255
        return float(np.mean((np.clip(np.round(values / step) * step, low, high) - values) ** 2))

    found = least_squares(counted(values, low, high), low, high)
    assert found[1] < high
    assert error(*found) < 0.8 * error(low, high)


def test_ranges_of_even_values_and_of_none_stay_as_they_are() -> None:
    even = np.linspace(-1, 2, 5000)
    assert least_squares(counted(even, -1.0, 2.0), -1.0, 2.0) == (-1.0, 2.0)
    assert least_squares(counted(np.zeros(9), 0.0, 0.0), 0.0, 0.0) == (0.0, 0.0)
    assert least_squares(np.ones(BINS, np.int64), 0.0, np.inf) == (0.0, np.inf)


@pytest.mark.parametrize("count", [3, 64, 500])
def test_ranges_are_counted_over_few_images_from_all_over(count: int) -> None:
    images = np.arange(count, dtype=np.uint16).reshape(-1, 1, 1, 1)
    found = sample(images).ravel()
    assert len(found) == min(count, 64)
    assert (found[0], found[-1]) == (0, count - 1)
