"""Augmentation changes pictures, never their size, type or sense."""

from __future__ import annotations

import numpy as np

from edgewright.train.fitting import augment


def pictures(count: int = 200) -> np.ndarray:
    return np.random.default_rng(7).integers(1, 256, (count, 9, 11, 3), dtype=np.uint8)


def test_augment_shift_reaches_as_far_as_told_and_what_comes_in_is_black() -> None:
    given = pictures()
    moved = augment.shift(given, np.random.default_rng(0), 2)
    assert (moved.dtype, moved.shape) == (given.dtype, given.shape)
    offsets = set()
    for before, after in zip(given, moved, strict=True):
        padded = np.pad(before, ((2, 2), (2, 2), (0, 0)))
        found = [
            (y, x) for y in range(5) for x in range(5) if np.array_equal(padded[y : y + 9, x : x + 11], after)
        ]
        assert len(found) == 1
        offsets.add(found[0])
    assert len(offsets) == 25


def test_augment_mirror_turns_half_of_the_pictures_and_leaves_the_batch_given_untouched() -> None:
    given = pictures()
    kept = given.copy()
    turned = augment.mirror(given, np.random.default_rng(0))
    same = np.array([np.array_equal(a, b) for a, b in zip(given, turned, strict=True)])
    assert 0.35 < same.mean() < 0.65
    assert all(np.array_equal(a[:, ::-1], b) for a, b in zip(given[~same], turned[~same], strict=True))
    np.testing.assert_array_equal(given, kept)


def test_augment_erase_blacks_out_one_square() -> None:
    given = pictures()
    erased = augment.erase(given, np.random.default_rng(0), 4)
    black = (erased == 0).all(axis=3)
    assert erased.dtype == np.uint8
    assert black.any(axis=(1, 2)).all()
    assert black.sum(axis=(1, 2)).max() <= 16
    np.testing.assert_array_equal(erased[~black], given[~black])
