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


def test_warp_shows_parts_of_the_picture_and_nothing_else() -> None:
    """Nothing comes in from outside, which would be black; and each picture is another part of it."""
    ramp = np.linspace(100, 250, 40)
    images = np.broadcast_to((ramp[:, None] / 2 + ramp[None] / 2)[None, :, :, None], (20, 40, 40, 3))
    images = np.ascontiguousarray(images, np.uint8)
    changed = augment.warp(images, np.random.default_rng(0), 15.0, 0.3)
    assert (changed.shape, changed.dtype) == (images.shape, np.uint8)
    assert changed.min() >= 100
    assert len({image.tobytes() for image in changed}) == 20
    rises = np.sign(changed[:, 20, 39, 0].astype(int) - changed[:, 20, 0, 0])
    assert {*rises} == {-1, 1}  # some are mirrored
    same = augment.warp(images, np.random.default_rng(3), 0.0, 0.0)
    assert all(
        np.array_equal(image, images[0]) or np.array_equal(image, images[0, :, ::-1]) for image in same
    )


def test_warp_takes_grey_and_oblong_pictures() -> None:
    images = np.full((6, 20, 50, 1), 200, np.uint8)
    assert augment.warp(images, np.random.default_rng(1), 20.0, 0.4).min() == 200


def test_light_changes_each_picture_by_no_more_than_it_may() -> None:
    images = np.full((50, 4, 4, 3), 128, np.uint8)
    changed = augment.light(images, np.random.default_rng(0), 0.2)
    assert 128 * 0.8 * 0.95 - 1 <= changed.min() < 115
    assert 140 < changed.max() <= 128 * 1.2 * 1.05 + 1
    assert len({tuple(image[0, 0]) for image in changed}) > 40
