"""The third project: a convolutional network with augmentation layers inside, on CIFAR-10.

Layers, optimizer, loss, the 80/20 split, 50 epochs and keeping the weights of the lowest validation
loss are that project's own; filter counts and rates, which it does not name, are chosen here.
"""

from __future__ import annotations

from typing import Any

from edgewright.train.recipe import Recipe


def build(keras: Any, shape: tuple[int, int, int], classes: int) -> Any:
    layers = keras.layers
    convolutions = []
    for filters in (32, 64, 128):
        convolutions += [layers.Conv2D(filters, 3, padding="same", activation="relu"), layers.MaxPooling2D()]
    return keras.Sequential(
        [
            keras.Input(shape, name="image"),
            layers.RandomFlip("horizontal"),
            layers.RandomRotation(0.03),
            layers.RandomZoom(0.1),
            *convolutions,
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dropout(0.3),
            layers.Dense(classes, activation="softmax"),
        ],
        name="cifar10_cnn",
    )


RECIPE = Recipe(
    summary="RandomFlip, RandomRotation, RandomZoom, three Conv2D+MaxPooling2D, Dense, Dropout; Adam",
    data="cifar10",
    shape=(32, 32, 3),
    build=build,
    optimizer=lambda keras, _: keras.optimizers.Adam(),
    epochs=50,
    batch_size=64,
    patience=8,
    validation=0.2,
)
