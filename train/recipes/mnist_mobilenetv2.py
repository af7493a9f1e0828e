"""MobileNetV2 as ImageNet left it, and one dense layer for MNIST: transfer learning.

Grey pictures of 28x28 become 224x224 RGB inside the network, so a device feeds it what MNIST is; pictures of
a folder keep their colours and what they have of that size. The published project that it reproduces names no
batch size (32 here, Keras' own) and no learning rate (Adam's own).
"""

from __future__ import annotations

from typing import Any

from edgewright.train.pretrained import BASES, Weights
from edgewright.train.recipe import Recipe

SIDE = 224


def build(keras: Any, shape: tuple[int, int, int], classes: int, weights: Weights) -> Any:
    layers = keras.layers
    image = keras.Input(shape, name="image")
    x = layers.Resizing(SIDE, SIDE)(image)
    if shape[2] == 1:
        x = layers.Concatenate()([x, x, x])
    base = weights.application(keras.applications.MobileNetV2, input_shape=(SIDE, SIDE, 3))
    base.trainable = False
    x = layers.GlobalAveragePooling2D()(base(x))
    scores = layers.Dense(classes, activation="softmax")(x)
    return keras.Model(image, scores, name="mnist_mobilenetv2")


RECIPE = Recipe(
    summary="frozen MobileNetV2 at 224x224, global pooling, Dense softmax; Adam",
    data="mnist",
    shape=(SIDE, SIDE, 3),
    at_most=True,
    build=build,
    optimizer=lambda keras, _: keras.optimizers.Adam(),
    epochs=10,
    batch_size=32,
    loss="categorical_crossentropy",
    input_range=(-1.0, 1.0),
    weights=Weights(licence=BASES["MobileNetV2"].licence, citation=BASES["MobileNetV2"].citation),
)
