"""A Keras file or a SavedModel, loaded: one function of an image batch, whatever it was before."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgewright.export.network import model as models
from edgewright.export.network.model import Model
from edgewright.runtime.errors import ExportError
from edgewright.train.stack import import_keras

Shape = Sequence[int | None]


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A float network in memory, not training.

    `call` maps a float32 batch as the network wants it to its scores; `shape` is that of one image;
    `batch` the only batch size it takes, or None; `held` keeps its variables alive for a converter;
    `layers` are the names a user knows its layers by.
    """

    call: Callable[[Any], Any]
    shape: tuple[int, int, int]
    batch: int | None
    held: Any
    layers: Collection[str]
    input: str
    output: str


def load(model: Model) -> Loaded:
    """Raises `ExportError`: it cannot be loaded, or does not take one image and give one tensor."""
    if models.digest(model.path) != model.sha256:
        raise ExportError(f"{model.path} is not the model it was a moment ago; export it again")
    return {models.KERAS: _keras, models.SAVED_MODEL: _saved_model}[model.kind](model)


def _keras(model: Model) -> Loaded:
    keras = import_keras()
    try:
        network = keras.saving.load_model(model.path, compile=False, safe_mode=not model.unsafe)
    except Exception as failure:  # Keras raises whatever its layers do
        raise ExportError(_why_keras_cannot(keras, model, failure)) from failure
    if not getattr(network, "inputs", None):
        raise ExportError(
            f"expected a network that knows its input shape, got {model.path}, which was never built; "
            "call it once on an image and save it again"
        )
    given = _only("input", {tensor.name: tensor for tensor in network.inputs})
    output = _only("output", {t._keras_history.operation.name: t for t in network.outputs})
    shape = _image_shape(model, given.name, given.shape, given.dtype)
    structure = getattr(network, "_inputs_struct", None)
    keys = list(structure) if isinstance(structure, dict) else []

    def call(x: Any) -> Any:
        """Keras' preprocessing layers default to training mode and hand it on: it is never left open."""
        scores = network({keys[0]: x} if keys else x, training=False)
        return keras.ops.cast(keras.tree.flatten(scores)[0], "float32")

    return Loaded(
        call=call,
        shape=shape,
        batch=None,
        held=[variable.value for variable in network.variables],
        layers={layer.name for layer in network._flatten_layers()},
        input=given.name,
        output=output._keras_history.operation.name,
    )


def _why_keras_cannot(keras: Any, model: Model, failure: Exception) -> str:
    layers = _layers_in(model.path)
    for kind, name in layers:
        if kind == "Lambda" and not model.unsafe:
            return (
                f"layer '{name}' of {model.path} is a Lambda: loading it would run Python code out of "
                "the file; if you trust it, add --unsafe-load"
            )
        if not hasattr(keras.layers, kind) and not hasattr(keras.models, kind) and kind != "Functional":
            return (
                f"layer '{name}' of {model.path} is a {kind}, whose code Keras does not have; "
                "where it was made, write it as a SavedModel (Keras 3: model.export, Keras 2: model.save)"
            )
    if "safe_mode=False" in str(failure) and not model.unsafe:
        return (
            f"loading {model.path} would run Python code out of the file; if you trust it, add --unsafe-load"
        )
    reason = " ".join(str(failure).split()) or type(failure).__name__
    return f"Keras cannot load {model.path}: {reason[:300]}"


def _layers_in(path: Path) -> list[tuple[str, str]]:
    """Class and name of every layer that the file's configuration lists; none if it cannot be read."""
    text: Any = "{}"
    if zipfile.is_zipfile(path):
        with suppress(KeyError, OSError), zipfile.ZipFile(path) as archive:
            text = archive.read("config.json")
    else:
        import h5py

        with suppress(OSError), h5py.File(path, "r") as file:
            text = file.attrs.get("model_config", "{}")
    try:
        waiting: list[tuple[str, Any]] = [("layer", json.loads(text))]
    except (ValueError, RecursionError):
        return []
    layers = []
    while waiting:
        key, entry = waiting.pop()
        if isinstance(entry, dict):
            config = entry.get("config")
            if key in ("layer", "layers") and isinstance(config, dict) and "class_name" in entry:
                layers.append((str(entry["class_name"]), str(config.get("name"))))
            waiting.extend(reversed(entry.items()))
        elif isinstance(entry, list):
            waiting.extend((key, item) for item in reversed(entry))
    return layers


def _saved_model(model: Model) -> Loaded:
    import_keras()
    import tensorflow as tf

    try:
        loaded = tf.saved_model.load(str(model.path))
    except Exception as failure:  # whatever its ops and protobuf do
        reason = " ".join(str(failure).split())
        raise ExportError(f"TensorFlow cannot load {model.path}: {reason[:300]}") from failure
    signatures = loaded.signatures
    if "serving_default" not in signatures:
        raise ExportError(
            f"expected a signature serving_default in {model.path}, got {', '.join(signatures) or 'none'}"
        )
    signature = signatures["serving_default"]
    given = _only("input", signature.structured_input_signature[1])
    name = next(iter(signature.structured_input_signature[1]))
    output = next(iter(signature.structured_outputs))
    _only("output", signature.structured_outputs)
    _refuse_training_mode(signature)
    shape = _image_shape(
        model, name, None if given.shape.rank is None else list(given.shape), given.dtype.name
    )
    batch = given.shape[0]
    if batch not in (None, 1):
        raise ExportError(f"expected a signature for one image or any number of them, got one for {batch}")
    return Loaded(
        call=lambda x: tf.cast(signature(**{name: tf.cast(x, given.dtype)})[output], tf.float32),
        shape=shape,
        batch=batch,
        held=loaded,
        layers=(),
        input=name,
        output=output,
    )


def _refuse_training_mode(signature: Any) -> None:
    """Raises `ExportError`: the signature changes variables or draws at random.

    Keras' own `model.export` writes such files of networks that hold preprocessing layers: these
    default to training mode, and hand it on to BatchNormalization and Dropout behind them.
    """
    graph = signature.graph.as_graph_def()
    functions = {function.signature.name: function.node_def for function in graph.library.function}
    waiting = [graph.node]
    seen: set[str] = set()
    while waiting:
        for node in waiting.pop():
            if node.op.startswith("Assign") or "Random" in node.op:
                raise ExportError(
                    f"expected a signature for inference, got one in training mode: {node.op} at "
                    f"'{node.name}'; save the model as .keras, or export a signature that calls it with "
                    "training=False"
                )
            for called in {node.op, *(value.func.name for value in node.attr.values())} - seen:
                seen.add(called)
                waiting.append(functions.get(called, ()))


def _only(what: str, by_name: dict[str, Any]) -> Any:
    if len(by_name) != 1:
        names = ", ".join(f"'{name}'" for name in by_name) or "none"
        raise ExportError(f"expected a network with one {what}, got {len(by_name)}: {names}")
    return next(iter(by_name.values()))


def _image_shape(model: Model, name: str, shape: Shape | None, dtype: str) -> tuple[int, int, int]:
    """Height, width and channels of the input, its open ends closed by `model.size`."""
    if not dtype.startswith(("float", "bfloat")):
        raise ExportError(f"expected a float image input, got '{name}' of {dtype}")
    if shape is None or len(shape) != 4 or shape[3] not in (1, 3):
        got = "one of unknown rank" if shape is None else str(tuple(shape))
        raise ExportError(
            f"expected an image input (batch, height, width, 1 or 3 channels), got '{name}' {got}"
        )
    height, width = model.closed(name, shape[1], shape[2])
    return (height, width, shape[3] or 0)
