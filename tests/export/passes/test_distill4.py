"""Distillation in 4 bits is for files of 4 bits, and stands where training in 4 bits does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edgewright.export import passes, variants
from edgewright.export.network.trainer import Trainer
from edgewright.export.passes import distill4, qat4
from edgewright.export.weights import rounding
from edgewright.runtime.errors import InputError
from edgewright.train.datasets import Dataset

MakeTrainer = Callable[[Any], Trainer]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("distill4+onnx-int8", "expected distill4 before tflite-weight-int4 or onnx-weight-int4"),
        ("distill4+qat4+onnx-weight-int4", "expected one of distill4 and qat4, got both"),
        ("distill4+prune60+onnx-weight-int4", "expected prune60 before distill4"),
    ],
)
def test_distill4_is_for_files_of_4_bits(name: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        variants.parse(name)
    (found,) = variants.parse("prune60+distill4+tflite-weight-int4")
    assert found.passes == ("prune60", "distill4")


def test_distill4_alone_of_all_passes_wants_no_labels() -> None:
    names = ("prune80", "cluster16", "qat", "qat4", "distill4", "finetune")
    assert [name for name in names if not passes.get(name).labelled] == ["distill4"]


@pytest.mark.slow
@pytest.mark.parametrize("strides", [1, 2])
def test_distill4_rounds_layer_by_layer_first_and_closer_than_the_nearest_weights(
    keras: Any, colour: Dataset, trained_on: MakeTrainer, strides: int
) -> None:
    keras.utils.set_random_seed(0)
    layers = [
        keras.layers.Conv2D(8, 3, strides=strides, padding="same", activation="relu", use_bias=False),
        keras.layers.BatchNormalization(),
        keras.layers.Conv2D(16, 3, dilation_rate=2 if strides == 1 else 1, activation="relu"),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(24, activation="relu"),
        keras.layers.Dropout(0.5),
        keras.layers.Dense(10, activation="softmax"),
    ]
    trainer = trained_on(keras.Sequential([keras.Input(colour.x_train.shape[1:]), *layers]))
    images = trainer.normalization.apply(colour.x_train[800:])
    exact = trainer.copy()(images).numpy()
    kernels = [layer.kernel for layer in qat4.in_4_bits(trainer.model)]
    assert [kernel.shape[-1] for kernel in kernels] == [8, 16, 24]
    before = [kernel.numpy() for kernel in kernels]
    for kernel in kernels:
        found = rounding.nearest(kernel.numpy().reshape(-1, kernel.shape[-1]).T, rounding.BITS)
        kernel.assign((found.codes * found.scales[:, np.newaxis]).T.reshape(kernel.shape))
    nearest = np.square(trainer.model(images).numpy() - exact).mean()
    for kernel, value in zip(kernels, before, strict=True):
        kernel.assign(value)
    trained = distill4.PASS.apply("distill4", trainer)
    assert np.square(trained(images).numpy() - exact).mean() < nearest / 2
    for kernel in kernels:
        assert rounding.on_grid(kernel.numpy().reshape(-1, kernel.shape[-1]).T) is not None


@pytest.mark.slow
def test_distill4_of_a_layer_that_stands_in_two_places_rounds_it_by_training_alone(
    keras: Any, colour: Dataset, trained_on: MakeTrainer
) -> None:
    image = keras.Input(colour.x_train.shape[1:])
    shared = keras.layers.Conv2D(3, 3, padding="same", activation="relu")
    values = keras.layers.Dense(24, activation="relu")(keras.layers.Flatten()(shared(shared(image))))
    model = keras.Model(image, keras.layers.Dense(10, activation="softmax")(values))
    trained = distill4.PASS.apply("distill4", trained_on(model))
    for layer in qat4.in_4_bits(trained):
        assert rounding.on_grid(layer.kernel.numpy().reshape(-1, layer.kernel.shape[-1]).T) is not None
