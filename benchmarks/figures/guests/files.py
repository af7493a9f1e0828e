"""TFLite and ONNX files that other tools have made: run as they are, and ONNX files also exported from."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from edgewright.benchmarks.figures.guests import Brought, Guest, mini, save
from edgewright.benchmarks.figures.guests.networks import TRAIN, TRIED, _data, _fitted, _scores, _trunk

LABELS = [f"class {i}" for i in range(10)]


def _network() -> Any:
    import keras

    keras.utils.set_random_seed(0)
    image, x = _trunk(keras)
    model = keras.Model(image, keras.layers.Dense(10, activation="softmax")(x))
    _fitted(model, 28)
    return model


def _asked(**asked: Any) -> tuple[str, ...]:
    """What `load` is given beside the file."""
    return (json.dumps(asked),)


def _tflite(folder: Path, *, kind: str) -> Brought:
    """By tf.lite.TFLiteConverter; its own scores are the interpreter's, of pixels scaled by hand."""
    import tensorflow as tf
    from ai_edge_litert.interpreter import Interpreter

    model = _network()
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    x, _ = mini("train", 200, 28)
    if kind != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if kind == "uint8":
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.uint8
        converter.representative_dataset = lambda: ([(i / 255).astype(np.float32)[None]] for i in x)
    path = folder / f"{kind}.tflite"
    path.write_bytes(converter.convert())
    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    given, scores = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    tried, _ = mini("test", TRIED, 28)
    found = []
    for image in tried:
        if kind == "uint8":
            scale, zero = given["quantization"]
            pixels = np.clip(np.round(image / 255 / scale) + zero, 0, 255).astype(np.uint8)
        else:
            pixels = (image / 255).astype(np.float32)
        interpreter.set_tensor(given["index"], pixels[None])
        interpreter.invoke()
        raw = interpreter.get_tensor(scores["index"])[0].astype(np.float32)
        scale, zero = scores["quantization"]
        found.append((raw - zero) * scale if scale else raw)
    words = _asked(labels=LABELS, input_range=[0, 1])
    return Brought(path=path, words=words, x=tried, scores=np.array(found, np.float32))


def _onnx_graph(model: Any, *, names: bool) -> bytes:
    """The network with channels first, node by node, as PyTorch's exporter writes one."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weights = [np.asarray(value, np.float32) for value in model.get_weights()]
    constants, nodes, value = [], [], "images"

    def constant(array: Any, name: str) -> str:
        constants.append(numpy_helper.from_array(np.ascontiguousarray(array, np.float32), name))
        return name

    for i in range(2):
        kernel, *statistics = weights[5 * i : 5 * i + 5]
        conv = [value, constant(kernel.transpose(3, 2, 0, 1), f"kernel{i}")]
        nodes.append(helper.make_node("Conv", conv, [f"conv{i}"], pads=[1, 1, 1, 1]))
        normal = [f"conv{i}", *(constant(array, f"norm{i}{k}") for k, array in enumerate(statistics))]
        nodes.append(helper.make_node("BatchNormalization", normal, [f"norm{i}"], epsilon=1e-3))
        nodes.append(helper.make_node("Relu", [f"norm{i}"], [f"relu{i}"]))
        nodes.append(
            helper.make_node("MaxPool", [f"relu{i}"], [f"pool{i}"], kernel_shape=[2, 2], strides=[2, 2])
        )
        value = f"pool{i}"
    nodes.append(helper.make_node("GlobalAveragePool", [value], ["mean"]))
    nodes.append(helper.make_node("Flatten", ["mean"], ["flat"]))
    dense = ["flat", constant(weights[-2], "dense"), constant(weights[-1], "bias")]
    nodes.append(helper.make_node("Gemm", dense, ["logits"]))
    nodes.append(helper.make_node("Softmax", ["logits"], ["output0"], axis=1))
    image = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, 28, 28])
    scores = helper.make_tensor_value_info("output0", TensorProto.FLOAT, ["batch", 10])
    graph = helper.make_graph(nodes, "main_graph", [image], [scores], constants)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if names:
        helper.set_model_props(made, {"names": str(dict(enumerate(LABELS))), "task": "classify"})
    onnx.checker.check_model(made, full_check=True)
    raw: bytes = made.SerializeToString()
    return raw


def _onnxruntime(path: Path, pixels: Any) -> Any:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path))
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: one[None]})[-1] for one in pixels])


def _onnx(folder: Path, *, names: bool, exported: bool) -> Brought:
    path = folder / "classifier.onnx"
    path.write_bytes(_onnx_graph(_network(), names=names))
    tried, _ = mini("test", TRIED, 28)
    scores = _onnxruntime(path, (tried / 255).astype(np.float32).transpose(0, 3, 1, 2))
    labelled = {} if names else {"labels": LABELS}
    words = ("--input-range=0..1", *_data(folder, 28)) if exported else _asked(input_range=[0, 1], **labelled)
    return Brought(path=path, words=words, x=tried, scores=scores)


def _tf2onnx(folder: Path) -> Brought:
    import tensorflow as tf
    import tf2onnx

    model = _network()
    signature = [tf.TensorSpec((None, 28, 28, 3), tf.float32, name="image")]
    call = tf.function(lambda image: {"scores": model(image, training=False)}, input_signature=signature)
    path = folder / "tf2onnx.onnx"
    tf2onnx.convert.from_function(call, input_signature=signature, opset=17, output_path=str(path))
    words = ("--input-range=0..1", *_data(folder, 28))
    return Brought(path=path, words=words, **_scores(model, 28))


def _logistic(folder: Path) -> Brought:
    """scikit-learn's logistic regression on flat grey pictures: a product, a sum and a softmax."""
    from onnx import TensorProto, helper, numpy_helper
    from sklearn.linear_model import LogisticRegression

    def grey(part: str, count: int) -> tuple[Any, Any]:
        x, y = mini(part, count, 28)
        return x[..., :1], y

    x, y = grey("train", TRAIN)
    fitted = LogisticRegression(max_iter=60).fit(x.reshape(len(x), -1) / 255, y)
    arrays = {"coefficients": fitted.coef_.T, "intercept": fitted.intercept_}
    constants = [numpy_helper.from_array(a.astype(np.float32), name) for name, a in arrays.items()]
    nodes = [
        helper.make_node("MatMul", ["X", "coefficients"], ["product"]),
        helper.make_node("Add", ["product", "intercept"], ["sum"]),
        helper.make_node("Softmax", ["sum"], ["probabilities"], axis=1),
    ]
    image = helper.make_tensor_value_info("X", TensorProto.FLOAT, [None, 784])
    scores = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, 10])
    graph = helper.make_graph(nodes, "logistic", [image], [scores], constants)
    path = folder / "logistic.onnx"
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    tried, _ = grey("test", TRIED)
    x_test, y_test = grey("test", 2000)
    test, calibration = save(folder, x=x_test, y=y_test), save(folder, x=x[:300])
    words = ("--input-range=0..1", "--size", "28x28", "--test", test, "--calibration", calibration)
    scores_of = _onnxruntime(path, (tried.reshape(TRIED, -1) / 255).astype(np.float32))
    return Brought(path=path, words=words, x=tried, scores=scores_of)


def _file(origin: str, make: Callable[..., Brought], *, quick: bool = False, **settings: Any) -> Guest:
    return Guest(origin=origin, make=partial(make, **settings), file=True, quick=quick)


GUESTS = {
    "TFLite, float32": _file("tf.lite.TFLiteConverter", _tflite, kind="float32"),
    "TFLite, dynamic range": _file("tf.lite.TFLiteConverter", _tflite, kind="dynamic"),
    "TFLite, uint8 softmax": _file("tf.lite.TFLiteConverter", _tflite, kind="uint8", quick=True),
    "ONNX, channels first": _file("onnx.helper", _onnx, names=False, exported=False),
    "ONNX, names as Ultralytics writes them": _file(
        "onnx.helper", _onnx, names=True, exported=False, quick=True
    ),
    "ONNX CNN, channels first, exported": Guest(
        origin="onnx.helper", make=partial(_onnx, names=True, exported=True), quick=True
    ),
    "ONNX by tf2onnx, exported": Guest(origin="tf2onnx", make=_tf2onnx),
    "ONNX logistic regression, exported": Guest(origin="scikit-learn", make=_logistic),
}
