"""Models that take channels first give the scores that XLA computes of them, from ordinary pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewright.export import formats
from edgewright.export.formats.tflite import tree as tflite_tree
from edgewright.export.network.keras_model.channels_last import ChannelsLast
from edgewright.export.network.model import Model
from edgewright.export.network.network import Network
from edgewright.export.work.convert import _refused
from edgewright.runtime import backends
from edgewright.runtime.errors import ExportError
from edgewright.train.normalization import Normalization

UNIT = Normalization.of_range(0.0, 1.0)
FIRST = {"data_format": "channels_first"}
Save = Callable[..., Path]


def randomized(model: Any) -> Any:
    random = np.random.default_rng(1)
    for variable in model.variables:
        if variable.path.endswith("moving_variance"):
            variable.assign(random.uniform(0.1, 1, variable.shape))
        elif not variable.path.endswith("kernel"):
            variable.assign(random.normal(0, 0.3, variable.shape))
    return model


def network_of_all(keras: Any) -> Any:
    """Every kind of layer that is made anew, called as it is, or given its image turned back."""
    layers = keras.layers
    keras.utils.set_random_seed(0)
    image = keras.Input((3, 12, 10))
    x = layers.ZeroPadding2D(1, **FIRST)(layers.Rescaling(2.0, -1.0)(image))
    x = layers.Conv2D(8, 3, activation="relu", **FIRST)(x)
    x = skipped = layers.BatchNormalization(axis=1)(x)
    inner = keras.Input(x.shape[1:])
    y = layers.DepthwiseConv2D(3, padding="same", **FIRST)(inner)
    y = layers.LayerNormalization(axis=1)(layers.SeparableConv2D(8, 3, padding="same", **FIRST)(y))
    body = keras.Model(inner, layers.Activation("gelu")(y), name="body")
    x = layers.Add()([body(x), body(skipped)])  # shared: its layers are called twice
    squeezed = layers.Reshape((8, 1, 1))(layers.GlobalAveragePooling2D(**FIRST)(x))
    x = layers.Multiply()([x, layers.Conv2D(8, 1, activation="sigmoid", **FIRST)(squeezed)])
    x = layers.Concatenate(axis=1)(
        [layers.MaxPooling2D(2, **FIRST)(x), layers.AveragePooling2D(2, **FIRST)(x)]
    )
    x = layers.PReLU(shared_axes=(2, 3))(x)  # weights (channels, 1, 1): the image is turned back
    x = layers.Softmax(axis=1)(layers.UpSampling2D(2, **FIRST)(x)) * 9.0 - 0.5
    x = layers.Conv2DTranspose(4, 3, strides=2, **FIRST)(layers.Dropout(0.5)(x))
    x = layers.Concatenate(axis=-1)([x, keras.ops.flip(x, axis=2)])
    flat = layers.Concatenate()([layers.Flatten(**FIRST)(x), layers.Flatten()(x)])
    return randomized(keras.Model(image, layers.Dense(5)(flat)))


def compiled(keras: Any, model: Any, images: Any) -> Any:
    """The scores by XLA, which knows channels first."""
    import tensorflow as tf

    run = tf.function(lambda x: model(x, training=False), jit_compile=True)
    return run(tf.constant(np.transpose(images / np.float32(255), (0, 3, 1, 2)))).numpy()


@pytest.mark.slow
def test_channels_first_model_gives_its_own_scores_from_pictures(keras: Any, save: Save) -> None:
    model = network_of_all(keras)
    network = Network(Model.at(save(model), UNIT))
    assert (network.facts().shape, network.facts().classes) == ((12, 10, 3), 5)
    images = np.random.default_rng(0).integers(0, 256, (3, 12, 10, 3)).astype(np.uint8)
    expected = compiled(keras, model, images)
    assert np.ptp(expected, axis=0).max() > 1e-3
    np.testing.assert_allclose(network.scores(images), expected, atol=1e-5)


def test_channels_first_convolutions_need_no_transposes_in_files(
    keras: Any, save: Save, tmp_path: Path
) -> None:
    layers = keras.layers
    keras.utils.set_random_seed(0)
    convolved = [
        layers.Conv2D(4, 3, **FIRST),
        layers.BatchNormalization(axis=1),
        layers.ReLU(),
        layers.MaxPooling2D(2, **FIRST),
    ]
    model = randomized(
        keras.Sequential([keras.Input((3, 8, 8)), *convolved, layers.Flatten(**FIRST), layers.Dense(4)])
    )
    network = Network(Model.at(save(model), UNIT))
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3)).astype(np.uint8)
    expected = compiled(keras, model, images)
    for name, scheme in (("tflite", "float32"), ("tflite", "int8"), ("onnx", "float32")):
        path = tmp_path / f"net-{scheme}{formats.get(name).suffix}"
        formats.get(name).export(network, scheme, images, path)
        backend = backends.for_path(path)
        session = backend.open(backend.read(path), threads=1)
        found = np.concatenate([session.run(image[np.newaxis]) for image in images])
        np.testing.assert_allclose(found, expected, atol=0.05 if scheme == "int8" else 1e-5)
        if name == "tflite":
            tree = tflite_tree.read(path.read_bytes())
            assert "TRANSPOSE" not in [op.name for op in tflite_tree.operators(tree)]


def test_channels_first_input_of_a_network_that_turns_it_itself(
    keras: Any, save: Save, tmp_path: Path
) -> None:
    layers = keras.layers
    keras.utils.set_random_seed(0)
    image = keras.Input((3, 8, 8))
    x = layers.Conv2D(4, 3)(layers.Permute((2, 3, 1))(image))
    model = keras.Model(image, layers.Dense(4)(layers.Flatten()(x)))
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3)).astype(np.uint8)
    expected = model(np.transpose(images / np.float32(255), (0, 3, 1, 2)))
    for suffix in (".keras", ""):  # and as a SavedModel
        network = Network(Model.at(save(model, suffix), UNIT))
        assert network.facts().shape == (8, 8, 3)
        np.testing.assert_allclose(network.scores(images), expected, atol=1e-5)
    path = tmp_path / "net.tflite"
    formats.get("tflite").export(network, "float32", images, path)
    tree = tflite_tree.read(path.read_bytes())
    assert "TRANSPOSE" not in [op.name for op in tflite_tree.operators(tree)]


def test_channels_first_within_a_network_that_takes_channels_last(keras: Any, save: Save) -> None:
    layers = keras.layers
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, **FIRST)(layers.Permute((3, 1, 2))(image))
    model = keras.Model(image, layers.Dense(4)(layers.Flatten()(x)))
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3)).astype(np.uint8)
    network = Network(Model.at(save(model), UNIT))
    kernel, bias = model.layers[2].get_weights()
    convolved = np.asarray(keras.ops.conv(images / np.float32(255), kernel)) + bias
    dense, last = model.layers[-1].get_weights()
    expected = convolved.transpose(0, 3, 1, 2).reshape(3, -1) @ dense + last
    np.testing.assert_allclose(network.scores(images), expected, atol=1e-5)


def test_channels_first_softmax_inside_a_convolution_works_along_the_width_and_is_refused_by_its_name(
    keras: Any, save: Save
) -> None:
    layers = keras.layers
    own = layers.Conv2D(4, 3, activation="softmax", name="odd", **FIRST)
    path = save(keras.Sequential([keras.Input((3, 8, 8)), own, layers.Flatten(), layers.Dense(3)]))
    with pytest.raises(ExportError, match=r"channels last, got 'odd' \(Conv2D\): its activation, softmax"):
        Network(Model.at(path, UNIT))


@pytest.mark.slow
def test_channels_first_that_would_change_the_scores_is_refused(
    keras: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgewright.export.network.keras_model import channels_last

    model = network_of_all(keras)
    ChannelsLast(model, first=True).check((12, 10, 3))
    monkeypatch.setattr(channels_last, "_axis", lambda operation: None)  # Concatenate among others
    monkeypatch.setattr(channels_last, "_NUMBER_BY_NUMBER", {*channels_last._NUMBER_BY_NUMBER, "Concatenate"})
    with pytest.raises(ExportError, match="channels last"):
        ChannelsLast(model, first=True).check((12, 10, 3))


def test_channels_first_op_that_no_kernel_computes_is_refused_with_its_place(
    keras: Any, tmp_path: Path
) -> None:
    import tensorflow as tf

    kernel = tf.constant(np.ones((3, 3, 3, 4), np.float32))

    def call(image: Any) -> Any:
        return {"s": tf.reduce_mean(tf.nn.conv2d(image, kernel, 1, "VALID", data_format="NCHW"), (2, 3))}

    module = tf.Module()
    module.function = tf.function(call, input_signature=[tf.TensorSpec((None, 3, 8, 8), tf.float32)])
    tf.saved_model.save(module, str(tmp_path / "first"), signatures={"serving_default": module.function})
    network = Network(Model.at(tmp_path / "first", UNIT))
    with pytest.raises(ExportError, match="got Conv2D with channels first"):
        network.graph.refuse_channels_first()
    assert _refused(network, [], lambda event: None) == {}
