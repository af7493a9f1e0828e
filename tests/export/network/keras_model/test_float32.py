"""Models trained in lower precision compute in float32 once they are loaded, whatever holds their layers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewright.export.network.model import Model
from edgewright.export.network.network import Network
from edgewright.train.normalization import Normalization

UNIT = Normalization.of_range(0.0, 1.0)
SHAPE = (8, 8, 3)
Save = Callable[..., Path]


def nested(keras: Any, dtype: Any) -> Any:
    """A nested model, one layer used twice, a wrapper, a recurrent layer, preprocessing."""
    layers = keras.layers
    inner_image = keras.Input((6, 6, 3), name="patch", dtype=None if dtype == "float32" else "float16")
    x = layers.Conv2D(4, 3, use_bias=False, dtype=dtype)(inner_image)
    body = keras.Model(inner_image, layers.BatchNormalization(dtype=dtype)(x), name="body")
    image = keras.Input(SHAPE, dtype=None if dtype == "float32" else "float16")
    x = layers.Resizing(6, 6, dtype=dtype)(layers.Rescaling(2.0, -1.0, dtype=dtype)(image))
    x = layers.Reshape((4, 16), dtype=dtype)(body(x))
    # TensorFlow has no QR, which the usual initializer takes, in bfloat16
    lstm = layers.LSTM(4, return_sequences=True, recurrent_initializer="glorot_uniform", dtype=dtype)
    x = layers.Bidirectional(lstm, dtype=dtype)(x)
    x = layers.MultiHeadAttention(2, 4, dtype=dtype)(x, x)
    x = layers.LayerNormalization(dtype=dtype)(x)
    shared = layers.Dense(8, activation="gelu", dtype=dtype, name="shared")
    x = layers.Flatten(dtype=dtype)(shared(shared(x)))
    return keras.Model(image, layers.Dense(5, activation="softmax", dtype=dtype)(x))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("policy", "suffix"),  # Keras cannot read the .h5 that it writes of a bfloat16 model
    [
        ("mixed_float16", ".keras"),
        ("mixed_bfloat16", ".h5"),
        ("float16", ".keras"),
        ("float16", ".h5"),
        ("bfloat16", ".keras"),
    ],
)
def test_policy_of_lower_precision_becomes_float32(keras: Any, save: Save, policy: str, suffix: str) -> None:
    keras.utils.set_random_seed(0)
    low, high = nested(keras, keras.DTypePolicy(policy)), nested(keras, "float32")
    for variable in low.variables:
        if "kernel" in variable.path:
            variable.assign(2 * variable)
    high.set_weights([np.asarray(weight, np.float32) for weight in low.get_weights()])
    images = np.random.default_rng(0).integers(0, 256, (4, *SHAPE)).astype(np.uint8)
    expected = high(images / np.float32(255), training=False)
    assert np.ptp(expected, axis=0).max() > 0.01
    network = Network(Model.at(save(low, suffix), UNIT))
    np.testing.assert_allclose(network.scores(images), expected, atol=1e-5)
    ops = network.graph._ops.values()
    dtypes = {tensor.dtype.base_dtype.name for op in ops for tensor in op.outputs}
    assert not dtypes & {"float16", "bfloat16"}
    assert network.graph._last.outputs[0].dtype.name == "float32"


def test_policy_of_a_sequential_model_is_undone_too(keras: Any, save: Save) -> None:
    layers, policy = keras.layers, keras.DTypePolicy("bfloat16")
    keras.utils.set_random_seed(0)

    def build(dtype: Any) -> Any:
        front = keras.Sequential([keras.Input(SHAPE, dtype="bfloat16"), layers.Conv2D(4, 3, dtype=dtype)])
        rest = [layers.Flatten(dtype=dtype), layers.Dense(5, dtype=dtype)]
        return keras.Sequential([keras.Input(SHAPE, dtype="bfloat16"), front, *rest])

    low = build(policy)
    images = np.random.default_rng(0).integers(0, 256, (4, *SHAPE)).astype(np.uint8)
    kernel, bias, dense, last = (np.asarray(weight, np.float32) for weight in low.get_weights())
    scaled = images / np.float32(255)
    convolved = np.asarray(keras.ops.conv(scaled, kernel)) + bias
    expected = convolved.reshape(4, -1) @ dense + last
    network = Network(Model.at(save(low), UNIT))
    np.testing.assert_allclose(network.scores(images), expected, atol=1e-5)
