"""A convolutional network with augmentation layers inside, on CIFAR-10.

Layers, optimizer, loss, the 80/20 split and keeping the weights of the lowest validation loss are those of
the published project that it reproduces; filter counts and rates, which it does not name, are chosen here,
and 30 epochs of the "up to 50" it allows.
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


def optimizer(keras: Any, steps: int) -> Any:
    """Adam at its own rate, down to 0 on a cosine; docs/figures/pedigree.md says how that was chosen."""
    return keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.001, steps))


RECIPE = Recipe(
    summary="RandomFlip, RandomRotation, RandomZoom, three Conv2D+MaxPooling2D, Dense, Dropout; Adam",
    data="cifar10",
    shape=(32, 32, 3),
    build=build,
    optimizer=optimizer,
    epochs=30,
    batch_size=128,
    validation=0.2,
)
