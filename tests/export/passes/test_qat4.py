"""Training in 4 bits leaves weights on a grid, and learns on it."""

from __future__ import annotations

import numpy as np
import pytest

from edgewright.export import variants
from edgewright.export.passes.qat4 import kept_on_grid, scales
from edgewright.export.weights import rounding
from edgewright.runtime.errors import InputError
from edgewright.train.stack import import_tf_keras


@pytest.mark.slow
def test_qat4_leaves_weights_on_a_grid_keeps_zeros_and_learns() -> None:
    tf_keras = import_tf_keras()
    tf_keras.utils.set_random_seed(0)
    random = np.random.default_rng(0)
    x = random.normal(size=(256, 10)).astype(np.float32)
    y = (x[:, 1::2] @ random.normal(size=(5, 3))).argmax(axis=1)
    layers = [tf_keras.layers.Dense(24, activation="relu"), tf_keras.layers.Dense(3)]
    model = tf_keras.Sequential([tf_keras.Input((10,)), *layers])
    pruned = layers[0].kernel.numpy()
    pruned[::2] = 0
    layers[0].kernel.assign(pruned)
    model.compile(
        tf_keras.optimizers.Adam(0.02), tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    before, first = model.evaluate(x, y, verbose=0), pruned.copy()
    model.fit(x, y, epochs=8, verbose=0, callbacks=[kept_on_grid(tf_keras, [layers[0].kernel])])
    kernel, last = layers[0].kernel.numpy(), layers[1].kernel.numpy()
    assert rounding.on_grid(kernel.T) is not None
    assert rounding.on_grid(last.T) is None
    np.testing.assert_array_equal(kernel[::2], 0)
    assert np.abs(kernel - first).max() > 0.05
    assert model.evaluate(x, y, verbose=0) < 0.7 * before


@pytest.mark.slow
def test_qat4_kernel_on_a_grid_keeps_it_and_what_was_barely_rounded_so_goes_first() -> None:
    tf_keras = import_tf_keras()
    layer = tf_keras.layers.Dense(1, use_bias=False)
    model = tf_keras.Sequential([tf_keras.Input((3,)), layer])
    layer.kernel.assign([[0.7], [0.149], [0.1]])  # on steps of .1: 7, 1.49 and 1
    grid = kept_on_grid(tf_keras, [layer.kernel])
    layer.kernel.assign([[0.7], [0.1], [0.1]])
    model.compile(tf_keras.optimizers.SGD(0.001), "mse")
    x = np.eye(3, dtype=np.float32)[[1, 2]]
    model.fit(x, np.array([[1.0], [1.0]]), epochs=3, verbose=0, callbacks=[grid])
    np.testing.assert_allclose(layer.kernel.numpy()[:, 0], [0.7, 0.2, 0.1], atol=1e-6)


def test_qat4_scales_clip_a_lone_outlier_and_take_dead_channels() -> None:
    random = np.random.default_rng(0)
    kernel = random.normal(size=(3, 3, 16, 4)).astype(np.float32)
    kernel[..., 1], kernel[0, 0, 0, 2] = 0, 8
    found = scales(kernel)
    assert found.shape == (4,)
    assert (found > 0).all()
    assert found[2] < 8 / 7 * 0.9


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("qat4+tflite-int8", "expected qat4 before tflite-weight-int4 or onnx-weight-int4"),
        ("cluster16+qat4+tflite-weight-int4", "expected one of cluster16 and qat4, got both"),
        ("qat4+prune60+onnx-weight-int4", "expected prune60 before qat4"),
    ],
)
def test_qat4_is_for_files_of_4_bits(name: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        variants.parse(name)
    (found,) = variants.parse("prune60+qat4+onnx-weight-int4")
    assert found.passes == ("prune60", "qat4")
