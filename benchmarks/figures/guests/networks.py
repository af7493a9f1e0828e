"""Keras models, trained briefly so that their scores mean something, as their authors would save them."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from edgewright.benchmarks.figures.guests import Brought, Guest, mini, save

TRAIN, TEST, TRIED = 3000, 2000, 16
KERAS = "Keras 3"


def _data(folder: Path, size: int) -> tuple[str, ...]:
    """The flags for labelled pictures of fashion-mini."""
    x, y = mini("test", TEST, size)
    calibration, _ = mini("train", 300, size)
    return ("--test", save(folder, x=x, y=y), "--calibration", save(folder, x=calibration))


def _fitted(model: Any, size: int, *, epochs: int = 2, rate: float = 1e-3, count: int = TRAIN) -> None:
    import keras

    x, y = mini("train", count, size)
    from_logits = model.layers[-1].activation.__name__ == "linear"
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=from_logits)
    model.compile(keras.optimizers.Adam(rate), loss)
    model.fit(x / 255, y, epochs=epochs, batch_size=64, verbose=0)


def _scores(model: Any, size: int, count: int = TRIED) -> dict[str, Any]:
    x, _ = mini("test", count, size)
    return {"x": x, "scores": np.asarray(model.predict(x / 255, verbose=0), np.float32)}


def _brought(folder: Path, model: Any, size: int, *words: str, name: str = "model.keras") -> Brought:
    path = folder / name
    model.save(path)
    words = ("--input-range=0..1", *_data(folder, size), *words)
    return Brought(path=path, words=words, **_scores(model, size))


def _application(
    folder: Path, *, name: str, size: int = 32, epochs: int = 2, count: int = TRAIN, **settings: Any
) -> Brought:
    """A network of keras.applications with a classifier of its own, from random weights."""
    import keras

    keras.utils.set_random_seed(0)
    base = getattr(keras.applications, name)(
        include_top=False, weights=None, input_shape=(size, size, 3), pooling="avg", **settings
    )
    scores = keras.layers.Dense(10, activation="softmax")(base.output)
    model = keras.Model(base.input, scores)
    _fitted(model, size, epochs=epochs, count=count)
    return _brought(folder, model, size)


def _trunk(keras: Any, size: int = 28, dtype: Any = None) -> tuple[Any, Any]:
    layers = keras.layers
    image = keras.Input((size, size, 3), name="image")
    x = image
    for filters in (16, 32):
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False, dtype=dtype)(x)
        x = layers.ReLU(dtype=dtype)(layers.BatchNormalization(dtype=dtype)(x))
        x = layers.MaxPooling2D(dtype=dtype)(x)
    return image, layers.GlobalAveragePooling2D(dtype=dtype)(x)


def _small(folder: Path, *, save_as: str = "model.keras", dtype: Any = None) -> Brought:
    import keras

    keras.utils.set_random_seed(0)
    image, x = _trunk(keras, dtype=dtype)
    model = keras.Model(image, keras.layers.Dense(10, activation="softmax", dtype=dtype)(x))
    _fitted(model, 28)
    if save_as:
        return _brought(folder, model, 28, name=save_as)
    model.export(folder / "saved-model", verbose=False)
    words = ("--input-range=0..1", *_data(folder, 28))
    return Brought(path=folder / "saved-model", words=words, **_scores(model, 28))


def _sigmoid(folder: Path, *, activation: str | None, labels: int) -> Brought:
    """One sigmoid: is it a shoe; four labels: shoe, top, has sleeves, is a bag."""
    import keras

    keras.utils.set_random_seed(0)
    image, x = _trunk(keras)
    model = keras.Model(image, keras.layers.Dense(labels, activation=activation)(x))

    def truth(y: Any) -> Any:
        groups = ((5, 7, 9), (0, 2, 3, 4, 6), (0, 2, 4, 6), (8,))[:labels]
        return np.stack([np.isin(y, group) for group in groups], axis=1)

    x_train, y = mini("train", TRAIN, 28)
    loss = keras.losses.BinaryCrossentropy(from_logits=activation is None)
    model.compile(keras.optimizers.Adam(3e-3), loss)
    model.fit(x_train / 255, truth(y).astype(np.float32), epochs=3, batch_size=64, verbose=0)
    path = folder / "model.keras"
    model.save(path)
    x_test, y_test = mini("test", TEST, 28)
    wanted = truth(y_test) if labels > 1 else truth(y_test)[:, 0].astype(np.int64)
    words = [*("--input-range=0..1", "--test", save(folder, x=x_test, y=wanted))]
    words += ["--calibration", save(folder, x=x_train[:300])]
    words += ["--head", "sigmoid-logits"] if activation is None else []
    return Brought(path=path, words=tuple(words), **_scores(model, 28))


def _embedding(folder: Path) -> Brought:
    import keras

    keras.utils.set_random_seed(0)
    image, x = _trunk(keras)
    classifier = keras.Model(image, keras.layers.Dense(10, activation="softmax")(x))
    _fitted(classifier, 28)
    model = keras.Model(image, keras.layers.UnitNormalization()(x))
    path = folder / "model.keras"
    model.save(path)
    pictures = save(folder, x=mini("test", 1000, 28)[0])
    words = ("--input-range=0..1", "--head", "embedding", "--pictures", pictures)
    return Brought(path=path, words=words, **_scores(model, 28))


def _unlabelled(folder: Path) -> Brought:
    brought = _small(folder)
    pictures = save(folder, x=mini("test", TEST, 28)[0])
    return Brought(
        path=brought.path,
        words=("--input-range=0..1", "--pictures", pictures),
        x=brought.x,
        scores=brought.scores,
    )


def _no_pictures(folder: Path) -> Brought:
    brought = _small(folder)
    return Brought(path=brought.path, words=("--input-range=0..1",), x=brought.x, scores=brought.scores)


_VIT = textwrap.dedent(
    """
    import keras

    @keras.saving.register_keras_serializable(package="guests")
    class ClassToken(keras.layers.Layer):
        def build(self, shape):
            self.token = self.add_weight(shape=(1, 1, shape[-1]), name="token")
            self.positions = self.add_weight(shape=(1, shape[1] + 1, shape[-1]), name="positions")

        def call(self, x):
            ops = keras.ops
            token = ops.repeat(self.token, ops.shape(x)[0], axis=0)
            return ops.concatenate([token, x], axis=1) + self.positions

        def compute_output_shape(self, shape):
            return (shape[0], shape[1] + 1, shape[2])
    """
)


def _vit(folder: Path) -> Brought:
    import keras

    keras.utils.set_random_seed(0)
    code = folder / "my_layers.py"
    code.write_text(_VIT, encoding="utf-8")
    names: dict[str, Any] = {}
    exec(compile(_VIT, code, "exec"), names)
    layers = keras.layers
    image = keras.Input((28, 28, 3))
    x = layers.Reshape((49, 32))(layers.Conv2D(32, 4, strides=4)(image))
    x = names["ClassToken"]()(x)
    for _ in range(2):
        normed = layers.LayerNormalization(epsilon=1e-6)(x)
        x = layers.Add()([x, layers.MultiHeadAttention(4, 8)(normed, normed)])
        normed = layers.LayerNormalization(epsilon=1e-6)(x)
        x = layers.Add()([x, layers.Dense(32)(layers.Dense(64, activation="gelu")(normed))])
    x = layers.LayerNormalization(epsilon=1e-6)(x)[:, 0]
    model = keras.Model(image, layers.Dense(10, activation="softmax")(x))
    _fitted(model, 28, epochs=4)
    return _brought(folder, model, 28, "--code", str(code))


def _recurrent(folder: Path, *, layer: str, steps: int) -> Brought:
    """Rows of the picture as a sequence."""
    import keras

    keras.utils.set_random_seed(0)
    layers = keras.layers
    image = keras.Input((28, 28, 3))
    x = layers.Reshape((steps, 28 * 28 * 3 // steps))(image)
    x = getattr(layers, layer)(24)(x)
    model = keras.Model(image, layers.Dense(10, activation="softmax")(x))
    _fitted(model, 28, epochs=3, rate=3e-3)
    return _brought(folder, model, 28)


def _mixer(folder: Path) -> Brought:
    """Dense layers over patches and channels in turn, with GELU."""
    import keras

    keras.utils.set_random_seed(0)
    layers = keras.layers
    image = keras.Input((28, 28, 3))
    x = layers.Reshape((49, 32))(layers.Conv2D(32, 4, strides=4)(image))
    y = layers.Permute((2, 1))(layers.LayerNormalization()(x))
    y = layers.Dense(49)(layers.Dense(24, activation="gelu")(y))
    x = layers.Add()([x, layers.Permute((2, 1))(y)])
    y = layers.Dense(32)(layers.Dense(48, activation="gelu")(layers.LayerNormalization()(x)))
    x = layers.GlobalAveragePooling1D()(layers.Add()([x, y]))
    model = keras.Model(image, layers.Dense(10, activation="softmax")(x))
    _fitted(model, 28, epochs=3, rate=3e-3)
    return _brought(folder, model, 28)


_SUBCLASSED = textwrap.dedent(
    """
    import keras

    @keras.saving.register_keras_serializable(package="guests")
    class Classifier(keras.Model):
        def __init__(self, width=16, **kwargs):
            super().__init__(**kwargs)
            self.width = width
            self.conv = keras.layers.Conv2D(width, 3, strides=2, activation="relu")
            self.pool = keras.layers.GlobalAveragePooling2D()
            self.dense = keras.layers.Dense(10, activation="softmax")

        def call(self, images, training=False):
            return self.dense(self.pool(self.conv(images)))

        def get_config(self):
            return {**super().get_config(), "width": self.width}
    """
)


def _subclassed(folder: Path) -> Brought:
    import keras

    keras.utils.set_random_seed(0)
    code = folder / "my_model.py"
    code.write_text(_SUBCLASSED, encoding="utf-8")
    names: dict[str, Any] = {}
    exec(compile(_SUBCLASSED, code, "exec"), names)
    model = names["Classifier"]()
    x, y = mini("train", TRAIN, 28)
    model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy")
    model.fit(x / 255, y, epochs=3, batch_size=64, verbose=0)
    return _brought(folder, model, 28, "--code", str(code), "--size", "28x28")


def _two_outputs(folder: Path) -> Brought:
    import keras

    keras.utils.set_random_seed(0)
    image, x = _trunk(keras)
    scores = keras.layers.Dense(10, activation="softmax", name="classes")(x)
    classifier = keras.Model(image, scores)
    _fitted(classifier, 28)
    model = keras.Model(image, [scores, keras.layers.Dense(4, name="box")(x)])
    model.save(folder / "model.keras")
    words = ("--input-range=0..1", *_data(folder, 28), "--output", "classes")
    return Brought(path=folder / "model.keras", words=words, **_scores(classifier, 28))


def _scaled_inside(folder: Path) -> Brought:
    """Raw pixels in, as integers, with rescaling and augmentation inside."""
    import keras

    keras.utils.set_random_seed(0)
    layers = keras.layers
    image = keras.Input((28, 28, 3), dtype="uint8")
    x = layers.Rescaling(1 / 255)(layers.RandomFlip("horizontal")(image))
    x = layers.Conv2D(16, 3, activation="relu")(x)
    x = layers.GlobalAveragePooling2D()(layers.SeparableConv2D(32, 3, activation="silu")(x))
    model = keras.Model(image, layers.Dense(10, activation="softmax")(x))
    pixels, y = mini("train", TRAIN, 28)
    model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy")
    model.fit(pixels, y, epochs=3, batch_size=64, verbose=0)
    model.save(folder / "model.keras")
    tried, _ = mini("test", TRIED, 28)
    words = ("--input-range=0..255", *_data(folder, 28))
    scores = np.asarray(model.predict(tried, verbose=0), np.float32)
    return Brought(path=folder / "model.keras", words=words, x=tried, scores=scores)


def _channels_first(folder: Path) -> Brought:
    """(3, height, width) in; a CPU cannot train it, so its weights are those of the same network turned."""
    import keras

    keras.utils.set_random_seed(0)

    def build(order: str) -> Any:
        layers = keras.layers
        first = order == "channels_first"
        image = keras.Input((3, 28, 28) if first else (28, 28, 3))
        x = layers.Conv2D(16, 3, padding="same", use_bias=False, data_format=order)(image)
        x = layers.ReLU()(layers.BatchNormalization(axis=1 if first else -1)(x))
        x = layers.GlobalAveragePooling2D(data_format=order)(layers.MaxPooling2D(data_format=order)(x))
        return keras.Model(image, layers.Dense(10, activation="softmax")(x))

    trained, model = build("channels_last"), build("channels_first")
    _fitted(trained, 28)
    model.set_weights(trained.get_weights())
    model.save(folder / "model.keras")
    words = ("--input-range=0..1", *_data(folder, 28))
    return Brought(path=folder / "model.keras", words=words, **_scores(trained, 28))


def _lambda(folder: Path, *, trusted: bool) -> Brought:
    import keras

    keras.utils.set_random_seed(0)
    image, x = _trunk(keras)
    x = keras.layers.Lambda(lambda t: t * 2.0)(x)
    model = keras.Model(image, keras.layers.Dense(10, activation="softmax")(x))
    _fitted(model, 28)
    return _brought(folder, model, 28, *(["--unsafe-load"] if trusted else []))


def _refused(folder: Path, *, how: str) -> Brought:
    """What is no model, and is to be told what it is."""
    brought = _small(folder)
    import keras

    if how == "weights":
        keras.saving.load_model(brought.path).save_weights(folder / "model.weights.h5")
        return Brought(path=folder / "model.weights.h5", words=brought.words)
    raw = brought.path.read_bytes()
    brought.path.write_bytes(raw[: len(raw) * 2 // 3])
    return Brought(path=brought.path, words=brought.words)


def _two_inputs(folder: Path) -> Brought:
    import keras

    a, b = keras.Input((28, 28, 3), name="left"), keras.Input((28, 28, 3), name="right")
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Concatenate()([a, b]))
    keras.Model([a, b], keras.layers.Dense(10, activation="softmax")(x)).save(folder / "model.keras")
    return Brought(path=folder / "model.keras", words=("--input-range=0..1", *_data(folder, 28)))


def _of_keras(make: Callable[..., Brought], *, quick: bool = False, **settings: Any) -> Guest:
    return Guest(origin=KERAS, make=partial(make, **settings), quick=quick)


def _of_applications(name: str, **settings: Any) -> Guest:
    return Guest(origin="keras.applications", make=partial(_application, name=name, **settings))


GUESTS = {
    "MobileNet": _of_applications("MobileNet", epochs=1, count=600),
    "MobileNetV2": _of_applications("MobileNetV2"),
    "MobileNetV3Small": _of_applications("MobileNetV3Small", include_preprocessing=False),
    "EfficientNetB0": _of_applications("EfficientNetB0"),
    "EfficientNetV2B0": _of_applications("EfficientNetV2B0", include_preprocessing=False),
    "DenseNet121": _of_applications("DenseNet121"),
    "ResNet50": _of_applications("ResNet50", epochs=1, count=600),
    "VGG16": _of_applications("VGG16", epochs=1, count=600),
    "small CNN, .keras": _of_keras(_small, quick=True),
    "small CNN, .h5": _of_keras(_small, save_as="model.h5"),
    "small CNN, SavedModel": _of_keras(_small, save_as="", quick=True),
    "mixed_float16": _of_keras(_small, dtype="mixed_float16", quick=True),
    "mixed_bfloat16": _of_keras(_small, dtype="mixed_bfloat16"),
    "one sigmoid": _of_keras(_sigmoid, activation="sigmoid", labels=1, quick=True),
    "one logit": _of_keras(_sigmoid, activation=None, labels=1),
    "four labels, sigmoid": _of_keras(_sigmoid, activation="sigmoid", labels=4, quick=True),
    "four labels, logits": _of_keras(_sigmoid, activation=None, labels=4),
    "embedding": _of_keras(_embedding, quick=True),
    "pictures without labels": _of_keras(_unlabelled),
    "no pictures at all": _of_keras(_no_pictures, quick=True),
    "vision transformer, own layer": _of_keras(_vit),
    "MLP-mixer, GELU": _of_keras(_mixer),
    "LSTM, 28 steps": _of_keras(_recurrent, layer="LSTM", steps=28, quick=True),
    "GRU, 28 steps": _of_keras(_recurrent, layer="GRU", steps=28),
    "LSTM, 84 steps": _of_keras(_recurrent, layer="LSTM", steps=84),
    "subclassed model": _of_keras(_subclassed, quick=True),
    "two outputs": _of_keras(_two_outputs),
    "uint8 in, augmentation inside": _of_keras(_scaled_inside),
    "channels first": _of_keras(_channels_first),
    "Lambda layer, trusted": _of_keras(_lambda, trusted=True),
    "Lambda layer": _of_keras(_lambda, trusted=False),
    "weights without a model": _of_keras(_refused, how="weights", quick=True),
    "truncated .keras": _of_keras(_refused, how="truncated"),
    "two inputs": _of_keras(_two_inputs, quick=True),
}
