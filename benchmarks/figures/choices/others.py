"""What recipes would be otherwise, trained by name.

edgewright train --model edgewright.benchmarks.figures.choices.others:MNIST_CNN_WITHOUT_DROPOUT --out net
"""

from __future__ import annotations

import dataclasses
from typing import Any

from edgewright.train.recipes.cifar10_cnn import RECIPE as CIFAR10_CNN
from edgewright.train.recipes.mnist_cnn import RECIPE as MNIST_CNN


def _without_dropout(keras: Any, shape: tuple[int, int, int], classes: int) -> Any:
    layers = MNIST_CNN.build(keras, shape, classes).layers
    kept = [layer for layer in layers if not isinstance(layer, keras.layers.Dropout)]
    return keras.Sequential([keras.Input(shape, name="image"), *kept], name="mnist_cnn_without_dropout")


MNIST_CNN_WITHOUT_DROPOUT = dataclasses.replace(
    MNIST_CNN, build=_without_dropout, summary="mnist-cnn without its Dropout layer"
)
CIFAR10_CNN_AT_A_CONSTANT_RATE = dataclasses.replace(
    CIFAR10_CNN,
    optimizer=lambda keras, steps: keras.optimizers.Adam(),
    summary="cifar10-cnn with Adam at its own rate all along",
)
