"""A network of under 100,000 parameters worth shipping: residual blocks on Fashion-MNIST."""

from __future__ import annotations

from typing import Any

from edgewright.train.fitting import augment
from edgewright.train.fitting.schedule import warm_cosine
from edgewright.train.recipe import Recipe


def build(keras: Any, shape: tuple[int, int, int], classes: int) -> Any:
    layers = keras.layers

    def convolve(x: Any, filters: int, strides: int = 1) -> Any:
        x = layers.Conv2D(filters, 3, strides=strides, padding="same", use_bias=False)(x)
        return layers.BatchNormalization()(x)

    image = keras.Input(shape, name="image")
    x = layers.ReLU()(convolve(image, 24))
    x = layers.ReLU()(convolve(x, 32, 2))
    x = layers.ReLU()(layers.Add()([x, convolve(layers.ReLU()(convolve(x, 32)), 32)]))
    x = layers.ReLU()(convolve(x, 48, 2))
    x = layers.ReLU()(layers.Add()([x, convolve(layers.ReLU()(convolve(x, 48)), 48)]))
    x = layers.Dropout(0.2)(layers.GlobalAveragePooling2D()(x))
    scores = layers.Dense(classes, activation="softmax")(x)
    return keras.Model(image, scores, name="fashion_cnn")


RECIPE = Recipe(
    summary="residual blocks, under 100k parameters; AdamW, cosine schedule, shifts, mirrors, erasing",
    data="fashion-mnist",
    shape=(28, 28, 1),
    build=build,
    optimizer=lambda keras, steps: keras.optimizers.AdamW(
        warm_cosine(keras, steps, 0.005), weight_decay=0.01
    ),
    epochs=50,
    batch_size=128,
    augment=lambda x, random: augment.erase(augment.mirror(augment.shift(x, random, 2), random), random, 8),
    validation=0.05,
)
