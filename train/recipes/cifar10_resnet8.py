"""MLPerf Tiny's image classification network: ResNet v1 with 8 layers and 78k parameters, on CIFAR-10.

The network is the benchmark's (https://github.com/mlcommons/tiny, image_classification,
resnet_v1_eembc). It is trained here with momentum and a cosine schedule, which need a quarter of the
benchmark's 500 epochs.
"""

from __future__ import annotations

from typing import Any

from edgewright.train.fitting import augment
from edgewright.train.fitting.schedule import warm_cosine
from edgewright.train.recipe import Recipe


def build(keras: Any, shape: tuple[int, int, int], classes: int) -> Any:
    layers = keras.layers

    def convolve(x: Any, filters: int, size: int, strides: int) -> Any:
        return layers.Conv2D(
            filters,
            size,
            strides=strides,
            padding="same",
            kernel_initializer="he_normal",
            kernel_regularizer=keras.regularizers.L2(1e-4),
        )(x)

    image = keras.Input(shape, name="image")
    x = layers.ReLU()(layers.BatchNormalization()(convolve(image, 16, 3, 1)))
    for filters, strides in ((16, 1), (32, 2), (64, 2)):
        y = layers.ReLU()(layers.BatchNormalization()(convolve(x, filters, 3, strides)))
        y = layers.BatchNormalization()(convolve(y, filters, 3, 1))
        x = x if strides == 1 else convolve(x, filters, 1, strides)
        x = layers.ReLU()(layers.Add()([x, y]))
    x = layers.Flatten()(layers.AveragePooling2D((x.shape[1], x.shape[2]))(x))
    scores = layers.Dense(classes, activation="softmax", kernel_initializer="he_normal")(x)
    return keras.Model(image, scores, name="cifar10_resnet8")


RECIPE = Recipe(
    summary="ResNet v1, 8 layers, 78k parameters; SGD with momentum, cosine schedule, shifts and mirrors",
    data="cifar10",
    shape=(32, 32, 3),
    build=build,
    optimizer=lambda keras, steps: keras.optimizers.SGD(
        warm_cosine(keras, steps, 0.1), momentum=0.9, nesterov=True
    ),
    epochs=120,
    batch_size=128,
    augment=lambda images, random: augment.mirror(augment.shift(images, random, 4), random),
    validation=0.05,
)
