"""Small convolutional networks, some with a fault of their own, as float and 8-bit files of both formats.

The 8-bit files are made by TensorFlow's and onnxruntime's own tools: whatever an export mends in them would
not be there to be found.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewright.export import formats
from edgewright.export.network.model import Model
from edgewright.export.network.network import Network
from edgewright.train.checkpoint import scale
from edgewright.train.datasets import Dataset, Images
from edgewright.train.normalization import Normalization

Files = dict[str, bytes]  # by variant
CHANNELS, FACTOR = 3, 400.0


@pytest.fixture(scope="session")
def convolutional(keras: Any, colour: Dataset) -> Callable[[], Any]:
    """Three convolutions with BatchNorm and two dense layers, trained for a moment."""
    keras.utils.set_random_seed(1)
    layers = keras.layers
    x = image = keras.Input(colour.x_train.shape[1:])
    for i, (filters, strides) in enumerate(((8, 2), (12, 1), (16, 2))):
        x = layers.Conv2D(filters, 3, strides=strides, padding="same", name=f"conv_{i}")(x)
        x = layers.ReLU(name=f"relu_{i}")(layers.BatchNormalization(name=f"norm_{i}")(x))
    x = layers.Dense(24, activation="silu", name="hidden")(layers.GlobalAveragePooling2D(name="pool")(x))
    trained = keras.Model(image, layers.Dense(10, activation="softmax", name="classes")(x), name="small")
    trained.compile(keras.optimizers.Adam(0.005), "sparse_categorical_crossentropy")
    trained.fit(scale(colour.x_train, (0.0, 1.0)), colour.y_train, epochs=4, verbose=0)

    def again() -> Any:
        copied = keras.models.clone_model(trained)
        copied.set_weights(trained.get_weights())
        return copied

    return again


@pytest.fixture(scope="session")
def made(
    convolutional: Callable[[], Any],
    colour: Dataset,
    converted: Callable[[Network, Images], tuple[bytes, bytes]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str], Files]:
    """The files of a network: `sound`; `spread`, three of whose BatchNorm channels behind `conv_1` are large
    and undone in `conv_2`; `outlier`, of which one value that `classes` reads is large and never used."""
    calibration = colour.x_train[:100]

    @cache
    def call(name: str) -> Files:
        model = convolutional()
        {"sound": lambda _: None, "spread": _spread, "outlier": _outlier}[name](model)
        folder = tmp_path_factory.mktemp(name)
        model.save(folder / "model.keras")
        network = Network(Model.at(folder / "model.keras", Normalization.of_range(0, 1)))
        int8, float32 = converted(network, calibration)
        formats.get("onnx").export(network, "float32", calibration, folder / "float32.onnx")
        return {
            "keras": (folder / "model.keras").read_bytes(),
            "tflite-int8": int8,
            "tflite-float32": float32,
            "onnx-float32": (folder / "float32.onnx").read_bytes(),
            "onnx-int8": _quantized(folder / "float32.onnx", calibration),
        }

    return call


def _spread(model: Any) -> None:
    norm, after = model.get_layer("norm_1"), model.get_layer("conv_2")
    gamma, beta, *others = norm.get_weights()
    kernel, bias = after.get_weights()
    gamma[:CHANNELS] *= FACTOR
    beta[:CHANNELS] *= FACTOR
    kernel[:, :, :CHANNELS] /= FACTOR
    norm.set_weights([gamma, beta, *others])
    after.set_weights([kernel, bias])


def _outlier(model: Any) -> None:
    hidden, after = model.get_layer("hidden"), model.get_layer("classes")
    kernel, bias = hidden.get_weights()
    bias[0] = 1000.0
    hidden.set_weights([kernel, bias])
    kernel, bias = after.get_weights()
    kernel[0] = 0
    after.set_weights([kernel, bias])


def _quantized(float32: Path, calibration: Images) -> bytes:
    from onnxruntime import quantization

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._images = iter(calibration)

        def get_next(self) -> dict[str, Any] | None:
            image = next(self._images, None)
            return None if image is None else {"image": image[np.newaxis]}

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "int8.onnx")
        quantization.quantize_static(
            float32,
            out,
            Reader(),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
        )
        return out.read_bytes()
