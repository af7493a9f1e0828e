"""By how much a bias is moved for what is missing behind an activation function."""

from __future__ import annotations

import numpy as np

from edgewright.export.weights.biases import averaged, sample, shift


def test_shift_is_what_is_missing_over_the_share_that_gets_through() -> None:
    moved = shift(np.array([0.5, 0.5, -1.0]), np.array([1.0, 0.25, 0.5]))
    np.testing.assert_allclose(moved, [0.5, 2.0, -2.0])


def test_shift_leaves_channels_alone_that_let_less_than_a_fifth_through() -> None:
    moved = shift(np.full(4, 0.3), np.array([0.2, 0.199, 0.01, 0.0]))
    np.testing.assert_allclose(moved, [1.5, 0.0, 0.0, 0.0])


def test_means_are_taken_over_whole_batches_from_all_over_the_images() -> None:
    images = np.arange(1000)
    assert len(sample(images, 1)) == 256
    assert len(sample(images, 7)) == 252
    assert (sample(images, 1)[0], sample(images, 1)[-1]) == (0, 999)
    assert len(sample(images[:5], 7)) == 5
    ((mean, share),) = averaged([[(np.array([1.0]), np.array([0.0]))], [(np.array([3.0]), np.array([1.0]))]])
    assert (mean.tolist(), share.tolist()) == ([2.0], [0.5])
