"""A Keras file or a SavedModel, loaded: one function of an image batch, whatever it was before."""

from __future__ import annotations

from typing import Any

from edgewright.export.network import model as models
from edgewright.export.network import saved_model
from edgewright.export.network.ends import Loaded, chosen_output, image_input, only
from edgewright.export.network.keras_model.load import load_keras
from edgewright.export.network.model import Model
from edgewright.runtime.errors import ExportError
from edgewright.train.stack import import_keras


def load(model: Model) -> Loaded:
    """Raises `ExportError`: it cannot be loaded, or does not take one image."""
    for path, sha256 in ((model.path, model.sha256), (model.code, model.code_sha256)):
        if path is not None and models.digest(path) != sha256:
            raise ExportError(f"{path} is not the file it was a moment ago; export it again")
    return {models.KERAS: load_keras, models.SAVED_MODEL: _saved_model}[model.kind](model)


def _saved_model(model: Model) -> Loaded:
    import_keras()
    import tensorflow as tf

    lets_through = saved_model.lets_through(model.path)
    if not model.unsafe:
        saved_model.refuse(model.path, lets_through)
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
    name, tensor = _only_input(signature.structured_input_signature[1])
    outputs = list(signature.structured_outputs)
    output = outputs[chosen_output(model, outputs)]
    _refuse_training_mode(signature)
    shape = None if tensor.shape.rank is None else list(tensor.shape)
    given = image_input(model, name, shape, tensor.dtype.name)
    batch = tensor.shape[0]
    if batch not in (None, 1):
        raise ExportError(f"expected a signature for one image or any number of them, got one for {batch}")

    def call(image: Any) -> Any:
        return tf.cast(signature(**{name: given.of(image)})[output], tf.float32)

    def unrolled(image: Any) -> Any:
        raise ExportError(
            "expected a network without loops, which this scheme cannot calibrate, got a SavedModel with "
            "one; take a scheme without calibration, or save the model as .keras"
        )

    return Loaded(
        call=call,
        shape=given.shape,
        batch=batch,
        held=loaded,
        layers=(),
        input=name,
        output=output,
        unrolled=unrolled,
        lets_through=lets_through,
    )


def _only_input(by_name: dict[str, Any]) -> tuple[str, Any]:
    tensor = only("input", by_name)
    return next(iter(by_name)), tensor


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
