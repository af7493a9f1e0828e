"""Clustering starts from means, of either sign, and leaves zeros alone."""

from __future__ import annotations

import numpy as np
import pytest

from edgewright.export.passes.cluster import _clustered, _learning_rate


@pytest.mark.parametrize("count", [3, 8, 16])
@pytest.mark.parametrize("sparse", [False, True])
def test_cluster_weights_become_means_of_few_clusters(count: int, sparse: bool) -> None:
    random = np.random.default_rng(0)
    kernel = random.normal(0.1, 1, (3, 3, 8, 16)).astype(np.float32)
    if sparse:
        kernel[random.random(kernel.shape) < 0.8] = 0
    found = _clustered(kernel, count, sparse)
    assert found.shape == kernel.shape
    assert len(np.unique(found)) <= count
    if sparse:
        np.testing.assert_array_equal(found == 0, kernel == 0)
        assert (np.sign(found) == np.sign(kernel)).all()
    for value in np.unique(found):
        assert kernel[found == value].mean() == pytest.approx(value, abs=0.02)


def test_cluster_is_closer_than_as_many_even_steps() -> None:
    kernel = np.random.default_rng(0).standard_t(4, (64, 64)).astype(np.float32)
    steps = np.linspace(kernel.min(), kernel.max(), 16)
    even = steps[np.abs(kernel[..., None] - steps).argmin(-1)]
    assert np.square(_clustered(kernel, 16, False) - kernel).mean() < np.square(even - kernel).mean() / 2


def test_cluster_leaves_fewer_weights_than_clusters_as_they_are() -> None:
    kernel = np.array([[0.0, -1.0], [2.0, 3.0]], np.float32)
    np.testing.assert_array_equal(_clustered(kernel, 4, True), kernel)


def test_cluster_learning_rate_is_smaller_for_many_epochs() -> None:
    assert _learning_rate(1) == _learning_rate(6) == pytest.approx(3e-4)
    assert _learning_rate(20) == pytest.approx(9e-5)
