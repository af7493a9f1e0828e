"""Calibration images: from the training part alone, equally many a class, the same from the same seed."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from edgewright.export.source.calibration import choose, draw, refuse_overlap
from edgewright.runtime.errors import DataError, InputError
from edgewright.train.checkpoint import split
from edgewright.train.datasets import Dataset


@pytest.mark.parametrize("size", [10, 256, 1003])
def test_calibration_takes_its_share_of_each_class(fashion_mini: Dataset, size: int) -> None:
    chosen = choose(fashion_mini, 0.1, 0, size, seed=0)
    counts = np.bincount(fashion_mini.y_train[chosen], minlength=10)
    assert len(chosen) == len(set(chosen.tolist())) == size
    assert counts.max() - counts.min() <= 1


@pytest.mark.parametrize("split_seed", [0, 1])
def test_calibration_never_takes_images_held_out_for_validation(
    fashion_mini: Dataset, split_seed: int
) -> None:
    training, held_out = split(fashion_mini.y_train, 0.1, split_seed)
    chosen = choose(fashion_mini, 0.1, split_seed, 10**6, seed=3)
    assert np.array_equal(np.sort(chosen), training)
    assert not set(chosen.tolist()) & set(held_out.tolist())


def test_calibration_seed_draws_the_same_images_again_and_another_seed_others(fashion_mini: Dataset) -> None:
    first, again, other = (choose(fashion_mini, 0.1, 0, 100, seed=seed) for seed in (4, 4, 5))
    assert np.array_equal(first, again)
    assert set(first.tolist()) != set(other.tolist())


def test_calibration_takes_all_of_a_small_class(fashion_mini: Dataset) -> None:
    threes = np.flatnonzero(fashion_mini.y_train == 3)[:20]
    kept = np.sort(np.concatenate([np.flatnonzero(fashion_mini.y_train != 3), threes]))
    uneven = dataclasses.replace(
        fashion_mini, x_train=fashion_mini.x_train[kept], y_train=fashion_mini.y_train[kept]
    )
    chosen = choose(uneven, 0.1, 0, 500, seed=0)
    counts = np.bincount(uneven.y_train[chosen], minlength=10)
    assert counts[3] == 18
    assert sorted(set(np.delete(counts, 3).tolist())) == [53, 54]


def test_calibration_of_fewer_images_than_classes_is_refused(fashion_mini: Dataset) -> None:
    with pytest.raises(InputError, match="at least 10 calibration images"):
        choose(fashion_mini, 0.1, 0, 9, seed=0)


def test_refuse_overlap_counts_test_images_that_calibrate_and_names_the_first(fashion_mini: Dataset) -> None:
    test = fashion_mini.x_test.copy()
    test[[7, 30]] = fashion_mini.x_train[[5, 1]]
    with pytest.raises(DataError, match=r"got 2 of 2,000 that do \(the first is test image 7\)"):
        refuse_overlap(fashion_mini.x_train[:10], test)


def test_refuse_overlap_allows_images_that_differ_in_one_pixel(fashion_mini: Dataset) -> None:
    almost = fashion_mini.x_train[:10].copy()
    almost[:, 0, 0] ^= 1
    refuse_overlap(fashion_mini.x_train[:10], almost)


def test_calibration_images_of_one_class_are_refused() -> None:
    labels = np.full(300, 3, np.int64)
    with pytest.raises(DataError, match="of all classes, got 300 of class 3 alone"):
        draw(np.arange(300), labels, 100, 0)
    assert len(draw(np.arange(300), None, 100, 0)) == 100  # of unknown classes
