"""Equalization: what is scale-free is crossed, all else ends a chain, and the network computes the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

from edgewright.export.formats.onnx import equalization as of_onnx
from edgewright.export.formats.onnx.quantizer import Quantizer as OnnxQuantizer
from edgewright.export.formats.onnx.quantizer import float32_file
from edgewright.export.formats.tflite import equalization as of_tflite
from edgewright.export.formats.tflite import run, tree
from edgewright.export.formats.tflite.schemes import _float32_file as tflite_file
from edgewright.export.network.network import Network
from edgewright.export.weights.equalization import Equalizer, Layer, channel_axis, offset, pooled, scaling
from edgewright.train.datasets import Dataset, Images

NetworkOf = Callable[[Path], Network]
MakeCheckpoint = Callable[..., Path]
Scores = NDArray[np.float32]


def _layer(key: int, out: int, into: int, *, groups: int = 1, scale: float = 1.0) -> Layer:
    random = np.random.default_rng(key)
    kernel = random.normal(0, scale, (groups, out // groups, into // groups, 1))
    return Layer(key=key, kernel=kernel, bias=random.normal(0, 1, out))


def _spread(kernel: Any, axis: int) -> NDArray[np.float64]:
    return np.abs(kernel).max(axis=tuple(i for i in range(kernel.ndim) if i != axis))


def test_equalization_gives_a_channel_the_same_range_on_both_sides_to_a_power_of_two() -> None:
    first, second = _layer(0, 8, 3), _layer(1, 5, 8)
    first.kernel[0, 2] *= 1000
    second.kernel[0, :, 2] /= 1000
    x = np.abs(np.random.default_rng(2).normal(size=3))

    def computed() -> Any:
        middle = np.maximum(first.kernel[0, ..., 0] @ x + first.bias, 0)
        return second.kernel[0, ..., 0] @ middle + second.bias

    before = computed()
    equalizer = Equalizer()
    equalizer.layer(first, "in", "a", (8,), -1)
    equalizer.through(["a"], "b", lambda places: places)
    equalizer.layer(second, "b", "out", (5,), -1)
    equalizer.other(["out"])
    assert [layer.key for layer in equalizer.equalized()] == [0, 1]
    ratio = _spread(first.kernel, 1) / _spread(second.kernel, 2)
    assert ratio.max() < 2 and ratio.min() > 0.5  # a factor within the root of two of its best on each side
    assert np.array_equal(computed(), before)


@pytest.mark.parametrize("end", ["other", "not free", "unknown tensor", "network's end"])
def test_equalization_crosses_nothing_that_is_not_scale_free(end: str) -> None:
    first, second = _layer(0, 4, 3, scale=100), _layer(1, 4, 4, scale=0.01)
    equalizer = Equalizer()
    equalizer.layer(first, "in", "a", (4,), -1, free=end != "not free")
    if end in ("other", "network's end"):
        equalizer.other(["a"])
    equalizer.layer(second, "b" if end == "unknown tensor" else "a", "out", (4,), -1)
    assert equalizer.equalized() == []


def test_equalization_leaves_dead_channels_and_gives_branches_of_an_addition_one_factor() -> None:
    left, right, behind = _layer(0, 4, 3, scale=64), _layer(1, 4, 3), _layer(2, 6, 4)
    for layer in (left, right):
        layer.kernel[0, 3] = 0
    kept = [left.kernel.copy(), right.kernel.copy()]
    equalizer = Equalizer()
    equalizer.layer(left, "in", "a", (4,), -1)
    equalizer.layer(right, "in", "b", (4,), -1)
    equalizer.through(["a", "b"], "sum", lambda places: places)
    equalizer.layer(behind, "sum", "out", (6,), -1)
    assert len(equalizer.equalized()) == 3
    factors = [b[0, :3] / layer.kernel[0, :3] for b, layer in zip(kept, (left, right), strict=True)]
    channels = [factor.max(axis=(1, 2)) for factor in factors]
    assert np.array_equal(*channels) and channels[0].max() > 1
    assert left.bias is not None and left.bias[3] == _layer(0, 4, 3, scale=64).bias[3]  # type: ignore[index]


def test_equalization_follows_channels_through_pooling_and_flattening_and_not_where_they_are_mixed() -> None:
    first, second = _layer(0, 4, 3, scale=64), _layer(1, 5, 4 * 6)
    equalizer = Equalizer()
    equalizer.layer(first, "in", "a", (4, 6, 4), 2)
    equalizer.through(["a"], "pooled", lambda places: pooled(places, (2, 3, 4), 2))
    equalizer.through(["pooled"], "row", lambda places: places.reshape(-1))
    equalizer.layer(second, "row", "out", (5,), -1)
    assert len(equalizer.equalized()) == 2
    assert np.array_equal(second.channels, np.tile(np.arange(4), 6))
    mixed = Equalizer()
    mixed.layer(_layer(0, 4, 3, scale=64), "in", "a", (4, 6, 4), 2)
    mixed.through(["a"], "b", lambda places: places.reshape(8, 3, 4).transpose(2, 0, 1))
    mixed.layer(_layer(1, 5, 4), "b", "out", (8, 3, 5), 2)
    assert mixed.equalized() == []


def test_equalization_begins_at_factors_of_channels_and_crosses_offsets_and_gates() -> None:
    factors, offsets = np.array([400.0, 1.0, 1.0, 1.0]), np.array([800.0, 1.0, 2.0, 3.0])
    loud, moved, behind = scaling(0, factors), offset(1, offsets), _layer(2, 6, 4)
    behind.kernel[0, :, 0] /= 400
    equalizer = Equalizer()
    equalizer.by_channel(loud, "silu", "a", (4, 5, 5), 0)
    equalizer.by_channel(moved, "a", "b", (4, 5, 5), 0)
    equalizer.layer(_layer(3, 4, 4), "in", "gate", (4, 1, 1), 0)
    equalizer.other(["gate"])  # such as the sigmoid of SiLU
    equalizer.product(["gate", "b"], "c", (4, 5, 5))
    equalizer.layer(behind, "c", "out", (6, 5, 5), 0)
    changed = equalizer.equalized()
    assert [layer.key for layer in changed] == [0, 1, 2]
    factor = factors / loud.kernel.ravel()
    assert moved.bias is not None and np.array_equal(moved.bias, offsets / factor)
    assert factor[0] / np.median(factor) > 100


@pytest.mark.parametrize("what", ["square", "two that are scaled", "made larger"])
def test_equalization_crosses_no_product_that_is_not_scale_free(what: str) -> None:
    first, other, behind = _layer(0, 4, 3, scale=64), _layer(1, 4, 3, scale=64), _layer(2, 6, 4)
    kept = first.kernel.copy(), other.kernel.copy()
    equalizer = Equalizer()
    equalizer.layer(first, "in", "a", (4, 1, 1), 0)
    equalizer.layer(other, "in", "b", (4, 1, 1), 0)
    if what == "made larger":
        equalizer.by_channel(scaling(3, np.arange(1.0, 5.0)), "a", "c", (4, 4, 1), 1)
        assert equalizer.equalized() == []
        return
    equalizer.product(["a", "a" if what == "square" else "b"], "c", (4, 1, 1))
    equalizer.layer(behind, "c", "out", (6, 1, 1), 0)
    equalizer.equalized()
    assert np.array_equal(other.kernel, kept[1])  # at most one side is
    assert np.array_equal(first.kernel, kept[0]) == (what == "square")


def test_equalization_knows_constants_that_have_a_number_a_channel() -> None:
    assert channel_axis(np.ones((1, 8, 1, 1)), (8, 5, 5)) == 0
    assert channel_axis(np.ones(8), (5, 5, 8)) == 2
    assert channel_axis(np.ones((1, 5, 5, 8)), (5, 5, 8)) is None
    assert channel_axis(np.ones(()), (8,)) is None
    assert channel_axis(np.ones((8, 1, 1)), (1, 5, 5)) is None
    assert channel_axis(np.ones((3, 1, 1, 1)), (8, 5, 5)) is None


@pytest.fixture(scope="module")
def uneven(keras: Any) -> Any:
    """All that is crossed and much that is not, with channels of very different ranges."""
    layers = keras.layers
    keras.utils.set_random_seed(0)
    entry = keras.Input((14, 14, 3))
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(8, 3, padding="same")(entry)))
    x = layers.MaxPooling2D()(layers.ZeroPadding2D(1)(x))
    short = layers.Conv2D(8, 3, padding="same", activation="relu")(x)
    x = layers.DepthwiseConv2D(3, padding="same", activation="relu", depth_multiplier=2)(short)
    x = layers.Add()([layers.Conv2D(8, 1, groups=2)(x), short])
    x = layers.ReLU(6.0)(layers.Conv2D(8, 3, strides=2)(layers.ReLU()(x)))
    x = layers.Activation("silu")(layers.Conv2D(8, 1)(x))
    x = layers.Conv2D(8, 1, activation="relu")(layers.Rescaling([2.0**i for i in range(8)])(x))
    gate = layers.Dense(4, activation="relu")(layers.GlobalAveragePooling2D()(x))
    gate = layers.Reshape((1, 1, 8))(layers.Dense(8, activation="sigmoid")(gate))
    x = layers.Conv2D(8, 1, activation="relu")(layers.Multiply()([x, gate]))
    x = layers.AveragePooling2D(2)(layers.BatchNormalization()(x))
    x = layers.Dense(16, activation="relu")(layers.Flatten()(x))
    model = keras.Model(entry, layers.Dense(5, activation="softmax")(x))
    random = np.random.default_rng(0)
    for layer in model.layers:
        if weights := layer.get_weights():
            spread = 2.0 ** random.integers(-6, 6, weights[0].shape[-1])
            noise = [random.normal(0, 0.1, part.shape) for part in weights[1:]]
            others = [np.abs(part) + 0.5 for part in noise] if len(weights) == 4 else noise
            layer.set_weights([weights[0] * spread, *others])
    return model


@pytest.mark.slow
def test_equalization_of_both_formats_changes_layers_and_no_score(
    uneven: Any, make_checkpoint: MakeCheckpoint, network_of: NetworkOf, colour: Dataset
) -> None:
    network = network_of(make_checkpoint(uneven, colour))
    images = colour.x_test[:12]
    raw = tflite_file(network)
    changed = tree.read(raw)
    assert of_tflite.equalize(changed) >= 8
    assert np.array_equal(_of_tflite(tree.write(changed), images), _of_tflite(raw, images))
    model = onnx.load_from_string(OnnxQuantizer(network, images, signed=False)._prepared(False))
    before = _of_onnx(model, images)
    assert of_onnx.equalize(model) >= 8
    assert np.array_equal(_of_onnx(model, images), before)
    onnx.checker.check_model(model, full_check=True)
    assert _of_onnx(onnx.load_from_string(float32_file(network)), images).shape == before.shape


def _of_tflite(raw: bytes, images: Images) -> Scores:
    wanted = [int(tree.read(raw).subgraphs[0].outputs[0])]
    return np.concatenate([scores for (scores,) in run.tensors(raw, wanted, images)])


def _of_onnx(model: Any, images: Images) -> Scores:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {"image": image[np.newaxis]})[0] for image in images])
