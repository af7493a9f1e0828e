"""A model of one's own pictures, by transfer: a base that knows ImageNet, and a dense layer for the classes.

First only the dense layer is trained, on what the frozen base makes of each picture once. Then all layers but
BatchNormalization are trained at a low rate, on pictures that are turned, cut, mirrored, lit and tinted
otherwise each time. Without weights all layers learn from the beginning. Classes of few pictures count as
much as others, and both parts stop when nothing improves. The head is what the data asks for: softmax, one
sigmoid for two classes, or a sigmoid a label.
"""

from __future__ import annotations

from typing import Any

from edgewright.train.fitting import augment
from edgewright.train.fitting.schedule import warm_cosine
from edgewright.train.pretrained import NONE, Weights
from edgewright.train.recipe import Recipe, Tuning

LEAST = 96  # pixels: of smaller arrays the bases, made for 224, see too little


def build(keras: Any, shape: tuple[int, int, int], scores: int, weights: Weights, activation: str) -> Any:
    layers = keras.layers
    height, width, channels = shape
    x = image = keras.Input(shape, name="image")
    if (short := min(height, width)) < LEAST:
        height, width = round(height * LEAST / short), round(width * LEAST / short)
        x = layers.Resizing(height, width)(x)
    if channels == 1:
        x = layers.Concatenate()([x, x, x])
    base = weights.network(keras, (height, width, 3))
    base.trainable = weights.source == NONE
    x = layers.Dropout(0.2)(layers.GlobalAveragePooling2D()(base(x)))
    return keras.Model(image, layers.Dense(scores, activation=activation)(x), name="photos")


RECIPE = Recipe(
    summary="global pooling, Dropout, Dense; Adam, augmented, until nothing improves",
    shape=(224, 224, 3),
    build=build,
    any_head=True,
    balanced=True,
    optimizer=lambda keras, _: keras.optimizers.Adam(0.001),
    epochs=60,
    batch_size=16,
    patience=6,
    loss="categorical_crossentropy",
    validation=0.15,
    input_range=(-1.0, 1.0),
    weights=Weights().of("MobileNetV2"),
    augment=lambda images, random: augment.light(augment.warp(images, random, 10.0, 0.3), random, 0.2),
    tuning=Tuning(
        optimizer=lambda keras, steps: keras.optimizers.Adam(warm_cosine(keras, steps, 1e-4)),
        epochs=12,
        patience=4,
    ),
)
