"""Networks of others that converters stumble over: GELU, recurrent layers, transformers; in every default
variant, compared with Keras."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewright.export import formats, variants
from edgewright.export.formats.tflite import tree as tflite_tree
from edgewright.export.network.keras_model import unroll
from edgewright.export.network.model import Model
from edgewright.export.network.network import Network
from edgewright.runtime import backends
from edgewright.runtime.errors import ExportError
from edgewright.train.normalization import Normalization

UNIT = Normalization.of_range(0.0, 1.0)
SHAPE = (12, 12, 3)
DEFAULTS = [variant.name for variant in variants.defaults()]
Errors = Callable[..., dict[str, float]]


def sharpened(keras: Any, model: Any) -> Any:
    """With scores as far apart as those of a trained network."""
    images = pictures() / np.float32(255)
    last = model.layers[-1]
    kernel, _ = last.get_weights()
    features = keras.Model(model.inputs[0], last.input)(images, training=False).numpy()
    kernel = kernel * 2 / (features @ kernel).std(0)
    last.set_weights([kernel, -(features @ kernel).mean(0)])
    return model


def pictures(count: int = 12) -> Any:
    return np.random.default_rng(0).integers(0, 256, (count, *SHAPE)).astype(np.uint8)


@pytest.fixture
def errors(tmp_path: Path) -> Errors:
    """Convert a model, and give the largest difference from Keras' own scores by variant."""

    def call(model: Any, names: list[str], **how: Any) -> dict[str, float]:
        model.save(tmp_path / "net.keras")
        expected = np.asarray(model(pictures() / np.float32(255), training=False))
        assert np.ptp(expected, axis=0).max() > 0.2
        network, found = Network(Model.at(tmp_path / "net.keras", UNIT, **how)), {}
        for variant in variants.parse(names):
            path, chosen = tmp_path / variant.file, formats.get(variant.format)
            chosen.export(network, variant.scheme, pictures(), path)
            backend = backends.for_path(path)
            session = backend.open(backend.read(path), threads=1)
            scores = np.concatenate([session.run(image[np.newaxis]) for image in pictures()])
            found[variant.name] = float(np.abs(scores - expected).max())
        return found

    return call


def check(errors: dict[str, float], whole: float = 0.15) -> None:
    for name, error in errors.items():
        assert error < (1e-5 if "float32" in name else 0.02 if "float16" in name else whole), (name, error)


@pytest.mark.slow
def test_gelu_exact_and_approximate_is_in_every_default_variant(keras: Any, errors: Errors) -> None:
    layers = keras.layers
    keras.utils.set_random_seed(0)
    exact = layers.Conv2D(6, 3, activation="gelu")
    approximate = layers.Activation(keras.activations.get("gelu"))
    tail = [layers.Flatten(), layers.Dense(16, activation="gelu"), approximate]
    model = keras.Sequential([keras.Input(SHAPE), exact, *tail, layers.Dense(5, activation="softmax")])
    found = errors(sharpened(keras, model), [*DEFAULTS, "onnx-int8-s8s8"])
    check(found)
    assert found["onnx-float32"] < 2e-6


@pytest.mark.slow
def test_convolution_in_groups_is_in_every_default_variant(keras: Any, errors: Errors) -> None:
    """Keras has XLA compile it, a call that converters do not look into; as in ConvNeXt."""
    layers = keras.layers
    keras.utils.set_random_seed(0)
    grouped = [layers.Conv2D(6, 3, groups=3), layers.Conv2D(12, 3, groups=6, padding="same"), layers.ReLU()]
    tail = [layers.Flatten(), layers.Dense(5, activation="softmax")]
    check(errors(sharpened(keras, keras.Sequential([keras.Input(SHAPE), *grouped, *tail])), DEFAULTS))


def recurrent(keras: Any, kind: str, steps: int = 12) -> Any:
    layers = keras.layers
    keras.utils.set_random_seed(0)
    layer = getattr(layers, kind)(8, name="memory")
    cut = layers.Reshape((steps, 432 // steps))
    return sharpened(
        keras, keras.Sequential([keras.Input(SHAPE), cut, layer, layers.Dense(5, activation="softmax")])
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", ["LSTM", *(pytest.param(kind, marks=pytest.mark.long) for kind in ("GRU", "SimpleRNN"))]
)
def test_recurrent_layer_is_in_every_default_variant(
    keras: Any, errors: Errors, kind: str, tmp_path: Path
) -> None:
    check(errors(recurrent(keras, kind), [*DEFAULTS, "onnx-dynamic-int8"]))
    names = {}
    for scheme in ("float32", "int8"):
        tree = tflite_tree.read((tmp_path / f"tflite-{scheme}.tflite").read_bytes())
        names[scheme] = {op.name for op in tflite_tree.operators(tree)}
    assert "WHILE" in names["float32"]  # small
    assert "WHILE" not in names["int8"]  # the calibrator dies in one


@pytest.mark.slow
@pytest.mark.long
def test_recurrent_layer_both_ways_and_stacked_is_in_static_files(keras: Any, errors: Errors) -> None:
    layers = keras.layers
    keras.utils.set_random_seed(0)
    both = layers.Bidirectional(layers.GRU(6, return_sequences=True))
    inner = keras.Input((12, 12))
    body = keras.Model(inner, layers.LSTM(8)(inner), name="body")
    model = keras.Sequential(
        [keras.Input(SHAPE), layers.Reshape((12, 36)), both, body, layers.Dense(5, activation="softmax")]
    )
    check(errors(sharpened(keras, model), ["tflite-int16x8", "onnx-int8"]))  # unrolled too


@pytest.mark.slow
def test_recurrent_layer_of_too_many_steps_is_in_float_files_and_refused_by_its_name_in_8_bits(
    keras: Any, errors: Errors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unroll, "MOST_STEPS", 5)  # as 65 of 64
    model = recurrent(keras, "LSTM", 6)
    check(errors(model, ["tflite-float32", "onnx-float32"]))
    for name in ("tflite-int8", "tflite-int16x8", "onnx-int8"):
        with pytest.raises(ExportError, match=r"at most 5 steps of layer 'memory'.* got 6; take a scheme"):
            errors(model, [name])


def test_loop_of_a_saved_model_is_refused_where_it_must_be_calibrated(keras: Any, tmp_path: Path) -> None:
    recurrent(keras, "GRU", 3).export(tmp_path / "saved", verbose=False)
    network = Network(Model.at(tmp_path / "saved", UNIT))
    with pytest.raises(
        ExportError, match=r"without loops.* got a SavedModel with one; .*save the model as .keras"
    ):
        formats.get("tflite").export(network, "int8", pictures(), tmp_path / "net.tflite")


VIT = '''
import keras

@keras.saving.register_keras_serializable()
class Tokens(keras.layers.Layer):
    """A class token in front of the patches, and a place for each."""

    def build(self, shape):
        self.token = self.add_weight(shape=(1, 1, shape[-1]), name="token")
        self.places = self.add_weight(shape=(1, shape[1] + 1, shape[-1]), name="places")

    def call(self, x):
        token = keras.ops.broadcast_to(self.token, (keras.ops.shape(x)[0], 1, x.shape[-1]))
        return keras.ops.concatenate([token, x], axis=1) + self.places
'''


@pytest.mark.slow
def test_vision_transformer_with_a_layer_of_its_own_is_in_every_default_variant(
    keras: Any, errors: Errors, tmp_path: Path
) -> None:
    layers = keras.layers
    keras.utils.set_random_seed(0)
    code, names = tmp_path / "vit.py", {}
    code.write_text(VIT)
    exec(VIT, names)
    image = keras.Input(SHAPE)
    x = layers.Reshape((9, 16))(layers.Conv2D(16, 4, strides=4)(image))
    x = names["Tokens"]()(x)
    for _ in range(2):
        y = layers.LayerNormalization(epsilon=1e-6)(x)
        x = layers.Add()([x, layers.MultiHeadAttention(2, 8)(y, y)])
        y = layers.Dense(32, activation="gelu")(layers.LayerNormalization(epsilon=1e-6)(x))
        x = layers.Add()([x, layers.Dropout(0.1)(layers.Dense(16)(y))])
    x = layers.LayerNormalization(epsilon=1e-6)(x)[:, 0]
    model = sharpened(keras, keras.Model(image, layers.Dense(5, activation="softmax")(x)))
    try:
        check(errors(model, DEFAULTS, code=code), whole=0.25)
    finally:
        keras.saving.get_custom_objects().clear()
