"""A network of under 20,000 parameters for MNIST, small enough for a microcontroller."""

from __future__ import annotations

from typing import Any

from edgewright.train.fitting import augment
from edgewright.train.fitting.schedule import warm_cosine
from edgewright.train.recipe import Recipe


def build(keras: Any, shape: tuple[int, int, int], classes: int) -> Any:
    layers = keras.layers
    x = image = keras.Input(shape, name="image")
    for filters, strides in ((12, 1), (16, 2), (24, 1), (24, 2), (32, 1)):
        x = layers.Conv2D(filters, 3, strides=strides, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.Dropout(0.1)(layers.GlobalAveragePooling2D()(x))
    scores = layers.Dense(classes, activation="softmax")(x)
    return keras.Model(image, scores, name="mnist_tiny")


RECIPE = Recipe(
    summary="five convolutions, under 20k parameters; AdamW, cosine schedule, shifts",
    data="mnist",
    shape=(28, 28, 1),
    build=build,
    optimizer=lambda keras, steps: keras.optimizers.AdamW(warm_cosine(keras, steps, 0.01), weight_decay=0.01),
    epochs=25,
    batch_size=128,
    augment=lambda images, random: augment.shift(images, random, 2),
    validation=0.05,
)
