"""The bridge to tf_keras carries what it should, and says of each thing it cannot carry which layer it is."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgewright.runtime.errors import BridgeError, MissingExtraError
from edgewright.train import bridge, recipe
from edgewright.train.bridge import Bridged, to_tf_keras
from edgewright.train.stack import import_keras, import_tf_keras

SHAPE = (8, 8, 3)


@pytest.fixture(scope="module")
def keras() -> Any:
    return import_keras()


@pytest.fixture(scope="module")
def tf_keras() -> Any:
    return import_tf_keras()


def stirred(model: Any) -> Any:
    """The model with weights that are nowhere near their initial values, moving statistics included."""
    random = np.random.default_rng(7)
    model.set_weights([w + random.uniform(0.1, 0.5, w.shape).astype(w.dtype) for w in model.get_weights()])
    return model


def small(keras: Any, *layers: Any) -> Any:
    """Noise through `layers`, spread out so that no softmax hides what they do."""
    image = keras.Input(SHAPE, name="image")
    x = image
    for layer in layers:
        x = layer(x)
    return keras.Model(image, x if x.ndim == 2 else keras.layers.Flatten(name="last")(x))


def noise(count: int = 6) -> NDArray[np.float32]:
    return np.random.default_rng(3).uniform(-4, 4, (count, *SHAPE)).astype(np.float32)


def check_equal(model: Any, bridged: Bridged) -> None:
    expected = np.asarray(model(noise(), training=False))
    np.testing.assert_allclose(
        np.asarray(bridged.model(noise(), training=False)), expected, rtol=1e-5, atol=1e-5
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        name if name in ("cifar10-resnet8", "mnist-tiny") else pytest.param(name, marks=pytest.mark.slow)
        for name in recipe.names()
        if recipe.get(name).weights is None
    ],
)
def test_to_tf_keras_carries_every_recipe_there_and_back(keras: Any, name: str) -> None:
    found = recipe.get(name)
    model = stirred(found.build(keras, found.shape, 10))
    for keep in (False, True):
        bridged = to_tf_keras(model, keep_augmentation=keep)
        assert sum(float(np.sum(x)) for x in bridged.model.losses) == pytest.approx(
            sum(float(np.sum(x)) for x in model.losses)
        )
    changed = [w * 0.5 for w in bridged.model.get_weights()]
    bridged.model.set_weights(changed)
    bridged.copy_back()
    images = np.random.default_rng(1).random((4, *found.shape), np.float32)
    theirs, ours = bridged.model(images, training=False), model(images, training=False)
    np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), atol=1e-6)
    assert sum(float(np.abs(w).sum()) for w in model.get_weights()) == pytest.approx(
        sum(float(np.abs(w).sum()) for w in changed), rel=1e-5
    )


APPLICATIONS = [
    "MobileNetV2",
    *(
        pytest.param(name, marks=pytest.mark.long)
        for name in ("MobileNetV3Small", "EfficientNetB0", "ResNet50", "DenseNet121")
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("name", APPLICATIONS)
def test_to_tf_keras_carries_the_networks_of_keras_applications(keras: Any, name: str) -> None:
    keras.utils.set_random_seed(1)
    model = getattr(keras.applications, name)(weights=None, input_shape=(64, 64, 3), classes=10)
    bridged = to_tf_keras(model)
    assert len(bridged.model.weights) == len(model.weights)
    assert all(
        np.array_equal(a, b)
        for x, y in bridged.pairs
        if y.weights
        for a, b in zip(x.get_weights(), y.get_weights(), strict=True)
    )


def test_to_tf_keras_inlines_nested_models_and_names_stay_unique(keras: Any, tf_keras: Any) -> None:
    layers = keras.layers

    def part(name: str) -> Any:
        return keras.Sequential(
            [keras.Input(SHAPE), layers.Conv2D(3, 3, padding="same", name="conv")], name=name
        )

    inner = small(keras, part("deep"), layers.Conv2D(4, 3, name="my conv"))
    model = stirred(keras.Sequential([keras.Input(SHAPE), part("a"), part("b"), inner]))
    bridged = to_tf_keras(model)
    assert not any(isinstance(layer, tf_keras.Model) for layer in bridged.model.layers)
    assert {"conv", "conv_2", "conv_3", "my_conv"} <= {layer.name for layer in bridged.model.layers}
    check_equal(model, bridged)


def test_to_tf_keras_makes_a_layer_used_twice_one_layer(keras: Any) -> None:
    shared = keras.layers.Conv2D(3, 3, padding="same")
    model = stirred(small(keras, shared, shared))
    bridged = to_tf_keras(model)
    assert len(bridged.model.weights) == 2
    check_equal(model, bridged)


def test_to_tf_keras_carries_regularizers_constraints_and_what_else_matters_in_training(keras: Any) -> None:
    layers, regularizers = keras.layers, keras.regularizers
    model = stirred(
        small(
            keras,
            layers.Conv2D(
                4,
                3,
                kernel_regularizer=regularizers.L2(0.01),
                bias_regularizer=regularizers.L1L2(0.02, 0.03),
                kernel_constraint=keras.constraints.MaxNorm(2.0),
            ),
            layers.BatchNormalization(momentum=0.7, epsilon=0.02, gamma_regularizer=regularizers.L1(0.1)),
            layers.Dropout(0.35),
            layers.Dense(2, trainable=False, name="frozen"),
        )
    )
    found = {type(layer).__name__: layer for layer in to_tf_keras(model).model.layers}
    conv, norm = found["Conv2D"], found["BatchNormalization"]
    assert (norm.momentum, norm.epsilon, found["Dropout"].rate) == (0.7, 0.02, 0.35)
    assert float(conv.kernel_regularizer.l2) == pytest.approx(0.01)
    assert (float(conv.bias_regularizer.l1), float(conv.bias_regularizer.l2)) == pytest.approx((0.02, 0.03))
    assert conv.kernel_constraint.max_value == 2.0
    assert float(norm.gamma_regularizer.l1) == pytest.approx(0.1)
    assert not found["Dense"].trainable
    assert found["Conv2D"].trainable


def test_to_tf_keras_keeps_a_model_frozen_that_is_frozen_as_a_whole(keras: Any) -> None:
    base = keras.Sequential(
        [keras.Input(SHAPE), keras.layers.Conv2D(2, 3), keras.layers.BatchNormalization()]
    )
    base.trainable = False
    model = small(keras, base, keras.layers.Flatten(), keras.layers.Dense(2))
    assert len(to_tf_keras(model).model.trainable_weights) == len(model.trainable_weights) == 2


def test_to_tf_keras_leaves_augmentation_out_or_it_works(keras: Any) -> None:
    layers = keras.layers
    inside = keras.Sequential([keras.Input(SHAPE), layers.RandomFlip(), layers.RandomRotation(0.2)])
    model = small(keras, inside, layers.RandomZoom((-0.3, 0.1), 0.2), layers.RandomContrast(0.1))
    images = noise()
    for keep in (False, True):
        bridged = to_tf_keras(model, keep_augmentation=keep)
        kinds = [type(layer).__name__ for layer in bridged.model.layers]
        assert ("RandomFlip" in kinds, "RandomZoom" in kinds) == (keep, keep)
        changed = not np.array_equal(
            np.asarray(bridged.model(images, training=True)), images.reshape(len(images), -1)
        )
        assert changed == keep
        check_equal(model, bridged)


def test_to_tf_keras_refuses_augmentation_that_tf_keras_lacks_only_if_it_is_kept(keras: Any) -> None:
    model = small(keras, keras.layers.RandomErasing(name="erasing"))
    to_tf_keras(model)
    with pytest.raises(BridgeError, match="'erasing'"):
        to_tf_keras(model, keep_augmentation=True)


@pytest.mark.parametrize(
    "name",
    [
        "hard_sigmoid",
        "hard_silu",
        "silu",
        "relu6",
        "leaky_relu",
        "gelu",
        "log_softmax",
        "mish",
        "celu",
        "elu",
    ],
)
def test_to_tf_keras_activations_mean_what_they_mean_in_keras_3(keras: Any, tf_keras: Any, name: str) -> None:
    layers = keras.layers
    model = small(keras, layers.Dense(3, activation=name), layers.Activation(name))
    bridged = to_tf_keras(model)
    check_equal(model, bridged)
    clone = tf_keras.models.clone_model(bridged.model)  # as TFMOT does
    clone.set_weights(bridged.model.get_weights())
    check_equal(model, Bridged(model=clone, pairs=()))


def test_to_tf_keras_carries_layers_whose_settings_have_other_names_or_places(keras: Any) -> None:
    layers = keras.layers
    norm = layers.Normalization()
    model = small(
        keras,
        norm,
        layers.LeakyReLU(negative_slope=0.17),
        layers.Rescaling(0.5, 0.1),
        layers.Resizing(5, 7),
        layers.DepthwiseConv2D(3, padding="same"),
        layers.SeparableConv2D(4, 3, padding="same", activation="relu6"),
        layers.GroupNormalization(2),
        layers.LayerNormalization(),
    )
    stirred(model)
    norm.adapt(noise() * 3 + 1)
    bridged = to_tf_keras(model)
    check_equal(model, bridged)
    bridged.copy_back()
    check_equal(model, bridged)


def test_to_tf_keras_keeps_the_weights_of_attention_apart(keras: Any) -> None:
    layers = keras.layers
    image = keras.Input(SHAPE)
    x = layers.Reshape((64, 3))(image)
    x = layers.MultiHeadAttention(2, 4)(x, x)
    model = stirred(keras.Model(image, layers.Dense(3)(layers.GlobalAveragePooling1D()(x))))
    check_equal(model, to_tf_keras(model))


def test_to_tf_keras_makes_a_number_on_a_tensor_a_layer(keras: Any) -> None:
    image = keras.Input(SHAPE)
    model = keras.Model(image, keras.layers.Flatten()((2 + (image - 0.5) * 3) / 7))
    check_equal(model, to_tf_keras(model))


def refused(keras: Any) -> dict[str, Any]:
    """A layer, or what gives one, that tf_keras cannot be given; each is named 'odd'."""
    layers = keras.layers

    class Dense(layers.Dense):  # type: ignore[misc,name-defined]
        """Not Keras' own, whatever its name."""

    def double(x: Any) -> Any:
        return x * 2

    steps = layers.Reshape((64, 3))
    return {
        "Bidirectional": [steps, layers.Bidirectional(layers.LSTM(2), name="odd")],
        "TimeDistributed": [layers.TimeDistributed(layers.Dense(2), name="odd")],
        "Lambda": [layers.Lambda(lambda x: x + 1, name="odd")],
        "custom": [Dense(3, name="odd")],
        "antialias": [layers.Resizing(4, 4, antialias=True, name="odd")],
        "pad_to_aspect_ratio": [layers.Resizing(4, 6, pad_to_aspect_ratio=True, name="odd")],
        "activity": [layers.Dense(2, activity_regularizer="l2", name="odd")],
        "own activation": [layers.Dense(2, activation=double, name="odd")],
        "float16": [layers.Dense(2, dtype="mixed_float16", name="odd")],
        "RMSNormalization": [layers.RMSNormalization(name="odd")],
        "spectral": [layers.SpectralNormalization(layers.Dense(3), name="odd")],
    }


@pytest.mark.parametrize(
    "which",
    [
        *("Bidirectional", "TimeDistributed", "Lambda", "custom", "antialias", "pad_to_aspect_ratio"),
        *("activity", "own activation", "float16", "RMSNormalization", "spectral"),
    ],
)
def test_to_tf_keras_names_a_layer_that_it_cannot_carry_before_anything_else(
    keras: Any, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    model = small(keras, *refused(keras)[which])
    monkeypatch.setattr(bridge, "_walk", lambda *_: pytest.fail("it was begun"))
    with pytest.raises(BridgeError, match="layer 'odd'") as caught:
        to_tf_keras(model)
    assert "\n" not in str(caught.value)


def test_to_tf_keras_names_operations_that_it_cannot_carry(keras: Any) -> None:
    image = keras.Input(SHAPE)
    for odd in (keras.ops.sqrt(image), image + image, 1 - image):
        model = keras.Model(image, keras.layers.Flatten()(odd))
        with pytest.raises(BridgeError, match=r"the operation '\w+' \((Sqrt|Add|Subtract)\)"):
            to_tf_keras(model)


def test_to_tf_keras_names_a_model_with_a_call_of_its_own(keras: Any) -> None:
    class Mine(keras.Model):  # type: ignore[misc,name-defined]
        def call(self, x: Any) -> Any:
            return x * 2

    with pytest.raises(BridgeError, match="'mine'"):
        to_tf_keras(small(keras, Mine(name="mine")))
    with pytest.raises(BridgeError, match="one input"):
        to_tf_keras(keras.Sequential([keras.layers.Dense(2)]))


def test_to_tf_keras_needs_a_shape_for_an_open_size(keras: Any) -> None:
    image = keras.Input((None, None, 3))
    model = keras.Model(image, keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(2, 3)(image)))
    with pytest.raises(BridgeError, match="shape"):
        to_tf_keras(model)
    check_equal(model, to_tf_keras(model, SHAPE))


def test_to_tf_keras_names_the_first_layer_that_differs(keras: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    layers = keras.layers
    model = small(
        keras,
        layers.Conv2D(3, 3),
        layers.Activation("hard_sigmoid", name="slope"),
        layers.Flatten(),
        layers.Dense(4),
    )
    to_tf_keras(model)
    same = {**bridge._SAME_ACTIVATIONS, "hard_sigmoid": "hard_sigmoid"}  # as if that were so
    monkeypatch.setattr(bridge, "_SAME_ACTIVATIONS", same)
    with pytest.raises(BridgeError, match=r"first layer whose outputs differ is 'slope' \(Activation\)"):
        to_tf_keras(model)


def test_to_tf_keras_is_compared_on_images_too(keras: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Noise in 0-1 never reaches what differs here: a ReLU's ceiling."""
    model = small(keras, keras.layers.ReLU(6.0, name="ceiling"))
    original = bridge._twin

    def without_ceiling(tf_keras: Any, layer: Any, names: Any) -> Any:
        return tf_keras.layers.ReLU() if layer.name == "ceiling" else original(tf_keras, layer, names)

    monkeypatch.setattr(bridge, "_twin", without_ceiling)
    to_tf_keras(model)
    with pytest.raises(BridgeError, match="'ceiling'"):
        to_tf_keras(model, images=np.full((1, *SHAPE), 7, np.float32))


def test_import_tf_keras_missing_is_told_with_the_command_that_cures_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "tf_keras", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'edgewright\[train\]'"):
        import_tf_keras()
