"""Files as others make them: plain TFLite conversions, and the metadata that tools put into them."""

from __future__ import annotations

import io
import warnings
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgewright.export.formats.tflite import metadata
from edgewright.export.formats.tflite import tree as tflite_tree
from edgewright.runtime.trust import known

CLASSES = 301  # so many that the scores of an 8-bit softmax do not add up to 1
SHAPE = (12, 10, 3)


@pytest.fixture(autouse=True)
def trusted(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a file says of itself is read here in any case. Those of test_foreign.py run in a process apart,
    as a stranger's do; a process for each of the others would show nothing more."""
    monkeypatch.setattr(known, "_apart", request.path.stem != "test_foreign")


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files of TensorFlow's converter and nothing else, by their names."""
    import keras
    import tensorflow as tf

    folder, random = tmp_path_factory.mktemp("plain"), np.random.default_rng(0)
    keras.utils.set_random_seed(0)
    sharp = keras.initializers.RandomNormal(stddev=4.0)

    def images() -> Any:
        return ([random.random((1, *SHAPE), np.float32) * 2 - 1] for _ in range(8))

    def convert(name: str, head: Any, dtype: Any = None, shape: Any = SHAPE) -> Path:
        given = keras.Input(shape, batch_size=None if None in shape else 1)
        means = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(8, 3, activation="relu")(given))
        converter = tf.lite.TFLiteConverter.from_keras_model(keras.Model(given, head(means)))
        if dtype is not None:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = images
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = converter.inference_output_type = dtype
        path = folder / f"{name}.tflite"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the converter's own
            path.write_bytes(converter.convert())
        return path

    def dense(count: int, activation: str | None) -> Any:
        return keras.layers.Dense(count, activation=activation, kernel_initializer=sharp)

    return {
        "uint8": convert("uint8", dense(CLASSES, "softmax"), tf.uint8),
        "int8": convert("int8", dense(CLASSES, "softmax"), tf.int8),
        "float": convert("float", dense(4, "softmax")),
        "logits": convert("logits", dense(4, None), shape=(None, None, 3)),
        "binary": convert("binary", dense(1, "sigmoid")),
        "several": convert("several", dense(4, "sigmoid"), tf.int8),
        "log": convert("log", keras.Sequential([dense(4, None), keras.layers.Activation("log_softmax")])),
    }


@pytest.fixture(scope="session")
def with_record() -> Callable[..., bytes]:
    """A .tflite with the standard record: `labels` zipped behind it, `mean` and `std`, a `threshold`."""

    def call(
        raw: bytes,
        labels: Sequence[str] | bytes | None = None,
        mean: Sequence[float] = (),
        std: Sequence[float] = (),
        threshold: float | None = None,
        name: str = "labelmap.txt",
    ) -> bytes:
        import flatbuffers

        m, b = metadata, flatbuffers.Builder(256)
        units, given, files, judged = [], {}, [], []
        if mean or std:
            options = m._table(b, 2, {0: m._floats(b, list(mean)), 1: m._floats(b, list(std))})
            units = [m._table(b, 2, {0: ("byte", 1), 1: options})]
            given[4] = m._tables(b, units)
        if threshold is not None:
            b.StartObject(1)
            b.PrependFloat32Slot(0, threshold, 0)
            limit = b.EndObject()
            judged = [m._table(b, 2, {0: ("byte", 3), 1: limit})]
        if labels is not None:
            files = [m._table(b, 5, {0: m._string(b, name), 2: ("byte", 2)})]
        result = {}
        if judged:
            result[4] = m._tables(b, judged)
        if files:
            result[6] = m._tables(b, files)
        first, last = m._table(b, 7, given), m._table(b, 7, result)
        graph = m._table(b, 5, {2: m._tables(b, [first]), 3: m._tables(b, [last])})
        b.Finish(m._table(b, 8, {3: m._tables(b, [graph])}), file_identifier=b"M001")
        tree = tflite_tree.read(raw)
        tflite_tree.set_metadata(tree, {"TFLITE_METADATA": bytes(b.Output())})
        behind = b""
        if labels is not None:
            text = labels if isinstance(labels, bytes) else "\n".join(labels).encode()
            memory = io.BytesIO()
            with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr(name, text)
            behind = memory.getvalue()
        return tflite_tree.write(tree) + behind

    return call


@pytest.fixture(scope="session")
def bare() -> SimpleNamespace:
    """The interpreters themselves: `tflite(path, input)` and `onnx(path, input)` give dequantized scores."""

    def tflite(path: Path, given: Any) -> Any:
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(str(path))
        first, last = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
        interpreter.resize_tensor_input(first["index"], given.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(first["index"], given)
        interpreter.invoke()
        scale, zero_point = last["quantization"]
        scores = interpreter.get_tensor(last["index"])
        return (scores.astype(np.float32) - zero_point) * np.float32(scale) if scale else scores

    def onnx(path: Path, given: Any) -> Any:
        import onnxruntime

        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        return session.run(None, {session.get_inputs()[0].name: given})[0]

    return SimpleNamespace(tflite=tflite, onnx=onnx)
