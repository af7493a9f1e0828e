"""Normalization: the range of a checkpoint, torchvision's statistics, and the order of channels."""

from __future__ import annotations

import numpy as np
import pytest

from edgewright.runtime.disk.jsonio import parse
from edgewright.runtime.errors import ExportError
from edgewright.train.checkpoint import scale
from edgewright.train.normalization import Normalization

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PIXELS = np.random.default_rng(0).integers(0, 256, (2, 4, 5, 3)).astype(np.uint8)


@pytest.mark.parametrize("ends", [(0.0, 1.0), (-1.0, 1.0), (0.0, 255.0)])
def test_normalization_of_range_is_what_training_scaled_to_to_the_last_bit(ends: tuple[float, float]) -> None:
    found = Normalization.of_range(*ends).apply(PIXELS)
    low, high = ends
    by_hand = PIXELS.astype(np.float32) * np.float32((high - low) / 255.0) + np.float32(low)
    np.testing.assert_array_equal(found, by_hand)
    np.testing.assert_array_equal(found, scale(PIXELS, ends))
    assert found.dtype == np.float32
    assert Normalization.of_range(*ends).linear_range == pytest.approx(ends)


def test_normalization_of_statistics_is_torchvisions() -> None:
    found = Normalization.of_statistics(MEAN, STD)
    expected = (PIXELS / 255 - np.array(MEAN)) / np.array(STD)
    np.testing.assert_allclose(found.apply(PIXELS), expected, atol=1e-6)
    assert found.linear_range is None


def test_normalization_bgr_turns_the_channels_before_the_statistics_of_each() -> None:
    caffe = Normalization.of_statistics((104 / 255, 117 / 255, 124 / 255), (1 / 255,), bgr=True)
    found = caffe.apply(PIXELS)
    np.testing.assert_allclose(found[..., 0], PIXELS[..., 2] - 104.0, atol=1e-4)
    np.testing.assert_allclose(found[..., 2], PIXELS[..., 0] - 124.0, atol=1e-4)


def test_normalization_linear_range_is_none_for_more_than_a_scale_and_a_zero_point_can_say() -> None:
    assert Normalization.of_range(0.5, 1.5).linear_range is None
    assert Normalization.of_range(0.0, 1.0, bgr=True).linear_range is None
    assert Normalization.of_statistics((0.5,), (0.5,)).linear_range == pytest.approx((-1, 1))


def test_normalization_survives_json() -> None:
    import json

    given = Normalization.of_statistics(MEAN, STD, bgr=True)
    raw = json.dumps(given.to_json()).encode()
    assert Normalization.from_json(parse(raw, "here", ExportError)) == given
