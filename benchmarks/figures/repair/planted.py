"""Makes a network that works and whose 8-bit file does not, in a Python that has TensorFlow.

    python -m edgewright.benchmarks.figures.repair.planted CASE DATA.npz FOLDER [MODEL.keras]

`a`: three channels behind a BatchNormalization are 400 times as large, and the convolution behind divides
them again. `b`: the same where a dense layer reads, behind SiLU and pooling. `c`: so are three single inputs
of a dense layer, places in the picture, which no factor of a channel undoes. Nothing is planted into a
`MODEL.keras` (see `trained.py`). Leaves `model.keras`, what the plain tools give (`alone.tflite`,
`float32.onnx`, `alone.onnx`), and the seconds that they took.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from edgewright.benchmarks.figures import script
from edgewright.runtime.disk import jsonio
from edgewright.runtime.errors import InputError

CASES = {"a": "relu", "b": "silu", "c": "silu"}
FACTOR, LOUD = 400.0, (1, 5, 9)
CALIBRATION = 256  # images, the same for every tool
_TRAINED_ON, _EPOCHS = 40_000, 3


def trained(case: str, x: Any, y: Any) -> Any:
    """Five convolutions, trained for a few minutes."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    image = values = keras.Input((32, 32, 3), name="image")
    for size in (16, 16, 0, 32, 32, 0, 64, 0):
        if size:
            values = layers.Conv2D(size, 3, padding="same", use_bias=False)(values)
            values = layers.Activation(CASES[case])(layers.BatchNormalization()(values))
        elif case == "b" and values.shape[-1] == 64:
            values = layers.Rescaling([1.0] * 64)(values)
            values = layers.MaxPooling2D()(values)
        else:
            values = layers.MaxPooling2D()(values)
    if case == "c":
        values = layers.Rescaling(np.ones(values.shape[1:]).tolist())(values)
    pooled = layers.GlobalAveragePooling2D if case == "b" else layers.Flatten
    values = pooled()(values)
    values = layers.Dense(64, activation="relu")(values)
    model = keras.Model(image, layers.Dense(10, activation="softmax")(values))
    model.compile(keras.optimizers.Adam(2e-3), "sparse_categorical_crossentropy")
    model.fit(x[:_TRAINED_ON] / np.float32(255), y[:_TRAINED_ON], batch_size=64, epochs=_EPOCHS, verbose=0)
    return model


def spoilt(case: str, model: Any) -> Any:
    """The same function with loud channels."""
    import keras

    if case == "a":
        norm = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)][2]
        behind = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)][3]
        gamma, beta, *others = norm.get_weights()
        gamma[[*LOUD]] *= FACTOR
        beta[[*LOUD]] *= FACTOR
        norm.set_weights([gamma, beta, *others])
        (kernel,) = behind.get_weights()
        kernel[:, :, [*LOUD]] /= FACTOR
        behind.set_weights([kernel])
        return model
    dense = next(layer for layer in model.layers if isinstance(layer, keras.layers.Dense))
    rescaling = next(layer for layer in model.layers if isinstance(layer, keras.layers.Rescaling))
    factors = np.ones(np.shape(rescaling.scale))  # of channels, or of all that the dense layer reads
    factors.ravel()[[*LOUD]] = FACTOR

    def with_factors(layer: Any) -> Any:
        if isinstance(layer, keras.layers.Rescaling):
            return keras.layers.Rescaling(factors.tolist())
        return type(layer).from_config(layer.get_config())

    loud = keras.models.clone_model(model, clone_function=with_factors)
    loud.set_weights(model.get_weights())
    kernel, bias = dense.get_weights()
    kernel[[*LOUD]] /= FACTOR
    next(layer for layer in loud.layers if layer.name == dense.name).set_weights([kernel, bias])
    return loud


def converter_alone(model: Any, images: Any, path: Path) -> float:
    """TensorFlow's own converter, all in 8 bits; gives its seconds."""
    import tensorflow as tf

    start = time.perf_counter()
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.representative_dataset = lambda: ([image[np.newaxis]] for image in images)
    path.write_bytes(converter.convert())
    return time.perf_counter() - start


def onnxruntime_alone(model: Any, images: Any, folder: Path) -> float:
    """tf2onnx and onnxruntime's static quantization as its documentation advises; gives the seconds of the
    latter."""
    import tensorflow as tf
    import tf2onnx
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    signature = [tf.TensorSpec((None, *model.input_shape[1:]), tf.float32, name="image")]
    plain = folder / "float32.onnx"
    tf2onnx.convert.from_keras(model, signature, opset=17, output_path=str(plain))

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._images: Iterator[Any] = iter(images)

        def get_next(self) -> dict[str, Any] | None:
            image = next(self._images, None)
            return None if image is None else {"image": image[np.newaxis]}

    start = time.perf_counter()
    quant_pre_process(str(plain), str(folder / "prepared.onnx"))
    quantization.quantize_static(
        str(folder / "prepared.onnx"),
        str(folder / "alone.onnx"),
        Reader(),
        quant_format=quantization.QuantFormat.QDQ,
        per_channel=True,
    )
    return time.perf_counter() - start


def main(words: list[str]) -> int:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    case, data, folder = words[0], Path(words[1]), Path(words[2])
    if not words[3:] and case not in CASES:
        raise InputError(f"expected one of {', '.join(CASES)}, got {case}")
    with np.load(data) as arrays:
        x, y = arrays["x_train"], arrays["y_train"].ravel()
    if words[3:]:
        import keras

        model = keras.models.load_model(words[3], compile=False)
    else:
        model = spoilt(case, trained(case, x, y))
    model.save(folder / "model.keras")
    images = x[-CALIBRATION:].astype(np.float32) / np.float32(255)
    seconds = {
        "tflite": converter_alone(model, images, folder / "alone.tflite"),
        "onnx": onnxruntime_alone(model, images, folder),
    }
    (folder / "seconds.json").write_bytes(jsonio.dump(seconds))
    return 0


if __name__ == "__main__":
    script.run(main)
