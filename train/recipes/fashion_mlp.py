"""One hidden layer on Fashion-MNIST.

The network, the optimizer and the pixel range are those of the published project that it reproduces; it
names a Dropout layer but no rate (0.1 here) and no batch size (128 here).
"""

from __future__ import annotations

from typing import Any

from edgewright.train.recipe import Recipe


def build(keras: Any, shape: tuple[int, int, int], classes: int) -> Any:
    return keras.Sequential(
        [
            keras.Input(shape, name="image"),
            keras.layers.Flatten(),
            keras.layers.Dense(256, activation="relu"),
            keras.layers.Dropout(0.1),
            keras.layers.Dense(classes, activation="softmax"),
        ],
        name="fashion_mlp",
    )


RECIPE = Recipe(
    summary="Flatten, Dense 256 ReLU, Dropout, Dense softmax; Adam 0.002",
    data="fashion-mini",
    shape=(28, 28, 1),
    build=build,
    optimizer=lambda keras, _: keras.optimizers.Adam(0.002),
    epochs=30,
    batch_size=128,
    patience=6,
)
