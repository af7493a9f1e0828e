"""The plain small network on Fashion-MNIST, as beginners' guides build it.

The published project that it reproduces states its result (83.24 % on the test set) and no layers. This is
the network of the TensorFlow tutorial on the same data
(https://www.tensorflow.org/tutorials/keras/classification).
"""

from __future__ import annotations

from typing import Any

from edgewright.train.recipe import Recipe


def build(keras: Any, shape: tuple[int, int, int], classes: int) -> Any:
    return keras.Sequential(
        [
            keras.Input(shape, name="image"),
            keras.layers.Flatten(),
            keras.layers.Dense(128, activation="relu"),
            keras.layers.Dense(classes, activation="softmax"),
        ],
        name="fashion_baseline",
    )


RECIPE = Recipe(
    summary="Flatten, Dense 128 ReLU, Dense softmax; Adam",
    data="fashion-mnist",
    shape=(28, 28, 1),
    build=build,
    optimizer=lambda keras, _: keras.optimizers.Adam(),
    epochs=10,
    batch_size=32,
)
