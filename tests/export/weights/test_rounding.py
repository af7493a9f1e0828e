"""Weights in few bits: what a layer gives changes less than by rounding each for itself."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from edgewright.export.weights import moments, rounding
from edgewright.export.weights.moments import Moments, patches, same_padding
from edgewright.export.weights.rounding import Rounded

Floats = NDArray[np.float32]


def floats(layer: Rounded) -> Floats:
    return layer.codes * layer.scales[:, np.newaxis]


def error(layer: Rounded, weights: Floats, exact: Floats, given: Floats) -> float:
    off = given @ floats(layer).T + layer.shift - exact @ weights.T
    return float(np.sqrt(np.mean(off**2)))


def test_rounding_beats_the_nearest_code_of_each_weight_on_inputs_not_seen(
    inputs: Floats, weights: Floats
) -> None:
    seen, others = inputs[:2000], inputs[2000:]
    ours = rounding.rounded(weights, Moments([(seen, seen)]), 4, has_bias=True)
    assert np.abs(ours.codes).max() <= 7
    plain = error(rounding.nearest(weights, 4), weights, others, others)
    assert error(ours, weights, others, others) < 0.5 * plain


def test_rounding_makes_good_what_layers_in_front_have_lost(inputs: Floats, weights: Floats) -> None:
    given = inputs * 0.9 + 0.2  # each input is off, and alike
    ours = rounding.rounded(weights, Moments([(inputs, given)]), 8, has_bias=True)
    blind = rounding.rounded(weights, Moments([(given, given)]), 8, has_bias=True)
    assert error(ours, weights, inputs, given) < 0.3 * error(blind, weights, inputs, given)


def test_rounding_on_given_scales_makes_good_more_than_the_nearest_codes(
    inputs: Floats, weights: Floats
) -> None:
    seen, others = inputs[:2000], inputs[2000:]
    assert Moments([(seen, seen)]).enough and not Moments([(seen[:280], seen[:280])]).enough
    scales = rounding.nearest(weights, 8).scales
    ours = rounding.on_scales(weights, scales, Moments([(seen, seen)]), has_bias=True)
    assert np.array_equal(ours.scales, scales) and np.abs(ours.codes.astype(int)).max() <= 127
    plain = error(rounding.nearest(weights, 8), weights, others, others)
    assert error(ours, weights, others, others) < 0.6 * plain
    sparse = np.where(weights > 0, weights, 0)
    kept = rounding.on_scales(sparse, scales, Moments([(seen, seen)]), has_bias=False)
    assert not kept.codes[sparse == 0].any() and not kept.shift.any()


def test_rounding_of_many_inputs_looks_at_parts_and_few_outputs_at_once(
    inputs: Floats, weights: Floats, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = rounding.rounded(weights, Moments([(inputs, inputs)]), 4, has_bias=True)
    monkeypatch.setattr(rounding, "_AT_ONCE", 1)
    same = rounding.rounded(weights, Moments([(inputs, inputs)]), 4, has_bias=True)
    np.testing.assert_array_equal(same.codes, whole.codes)
    monkeypatch.setattr(moments, "TOGETHER", 40)
    parts = rounding.rounded(weights, Moments([(inputs, inputs)]), 4, has_bias=True)
    plain = error(rounding.nearest(weights, 4), weights, inputs, inputs)
    off = error(parts, weights, inputs, inputs)
    assert error(whole, weights, inputs, inputs) < off < 0.7 * plain


def test_rounding_without_a_bias_moves_none(inputs: Floats, weights: Floats) -> None:
    ours = rounding.rounded(weights, Moments([(inputs, inputs)]), 4, has_bias=False)
    assert not ours.shift.any()
    plain = error(rounding.nearest(weights, 4), weights, inputs, inputs)
    assert error(ours, weights, inputs, inputs) < 0.7 * plain


def test_rounding_keeps_zeros_and_survives_inputs_that_are_never_there(
    inputs: Floats, weights: Floats
) -> None:
    sparse, dead = weights.copy(), inputs.copy()
    sparse[:, ::3], dead[:, 5] = 0, 0
    sparse[3] = 0  # a dead channel
    ours = rounding.rounded(sparse, Moments([(dead, dead)]), 4, has_bias=True)
    assert not ours.codes[sparse == 0].any()
    assert np.isfinite(ours.scales).all()
    assert (ours.scales > 0).all()
    nothing = np.zeros_like(inputs)
    still = rounding.rounded(weights, Moments([(nothing, nothing)]), 4, has_bias=True)
    assert np.isfinite(floats(still)).all()


def test_weights_on_a_grid_are_found_again_whatever_each_channel_was_multiplied_by() -> None:
    random = np.random.default_rng(2)
    codes = random.integers(-7, 8, (9, 40))
    codes[1], codes[2] = 0, np.where(codes[2] > 3, 3, np.minimum(np.abs(codes[2]), 3))
    weights = (codes * random.uniform(-3, 3, (9, 1))).astype(np.float32)
    found = rounding.on_grid(weights)
    assert found is not None
    np.testing.assert_allclose(floats(found), weights, atol=1e-6)
    weights[0, 0] += 0.02 * np.abs(weights[0]).max()
    assert rounding.on_grid(weights) is None


def test_layers_of_few_weights_keep_eight_bits_up_to_a_twentieth_of_all() -> None:
    assert rounding.bits({0: 20, 3: 500, 5: 25, 9: 455}) == {0: 8, 3: 4, 5: 8, 9: 4}
    assert rounding.bits({0: 100}) == {0: 4}
    many = rounding.bits(dict.fromkeys(range(100), 10))
    assert sum(count == 8 for count in many.values()) == 5


def test_patches_are_what_a_convolution_multiplies() -> None:
    import tensorflow as tf

    random = np.random.default_rng(3)
    values = random.normal(size=(2, 9, 7, 3)).astype(np.float32)
    kernel = random.normal(size=(3, 2, 3, 4)).astype(np.float32)
    for strides, dilations, padding in (
        ((1, 1), (1, 1), "SAME"),
        ((2, 2), (1, 1), "SAME"),
        ((1, 1), (2, 2), "VALID"),
    ):
        wanted = tf.nn.conv2d(values, kernel, strides, padding, dilations=dilations).numpy()
        pads = [(0, 0), (0, 0)]
        if padding == "SAME":
            pads = [
                same_padding(*numbers) for numbers in zip((9, 7), (3, 2), strides, dilations, strict=True)
            ]
        rows = patches(values, (3, 2), strides, dilations, pads, 10_000)
        np.testing.assert_allclose(rows @ kernel.reshape(-1, 4), wanted.reshape(-1, 4), atol=1e-5)
        few = patches(values, (3, 2), strides, dilations, pads, 5)
        assert few.shape == (5, 18)


def test_codes_are_packed_with_the_first_of_two_in_the_lower_half() -> None:
    packed = rounding.packed(np.array([[1, -7], [7, -1], [3, 0]], np.int8).ravel()[:5])
    assert packed.view(np.uint8).tolist() == [0x91, 0xF7, 0x03]
