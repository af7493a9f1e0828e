"""Transfer learning without waste: what a frozen base makes of an image is computed once and kept.

`fit` runs a frozen base over every image in every epoch, and it gives the same each time. Here the
model is divided where its frozen part ends; that part runs once, as a TFLite file through the runtime
(three times as fast as Keras), and only the rest is trained. Both parts share their layers with the
model, so once the rest has learnt, so has the model.
"""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewright.runtime import backends
from edgewright.runtime.console import Progress, silent
from edgewright.runtime.disk import files
from edgewright.runtime.errors import EdgewrightError
from edgewright.runtime.machine.threads import cores
from edgewright.train.checkpoint import scale
from edgewright.train.datasets import Images, digest

TOLERANCE = 1e-4  # of the largest feature: the kernels of LiteRT add up in another order than Keras'
_COMPARED = 8

Features = NDArray[np.float32]  # (n, …)


def divide(keras: Any, model: Any) -> tuple[Any, Any] | None:
    """The frozen first part of a model and the rest; None if it has no frozen part with weights.

    The frozen part learns nothing, holds no layer that draws random numbers, and is as long as can be;
    what follows it is a chain of layers.
    """
    if not model.trainable_weights or len(model.inputs) != 1 or len(model.outputs) != 1:
        return None
    tensor = model.outputs[0]
    while not (is_frozen := all(_is_frozen(keras, layer) for layer in _before(tensor))):
        inputs = _node(tensor).input_tensors
        if len(inputs) != 1:
            break
        tensor = inputs[0]
    if not is_frozen or not any(getattr(layer, "weights", ()) for layer in _before(tensor)):
        return None
    return keras.Model(model.inputs[0], tensor), keras.Model(tensor, model.outputs[0])


def of(base: Any, images: Images, input_range: tuple[float, float], progress: Progress = silent) -> Features:
    """What `base` makes of raw uint8 images `(n, height, width, channels)`: `(n, …)`, as it gives it.

    Kept on disk under the SHA-256 of the base (its graph and weights) and of the images.

    Raises:
        EdgewrightError: the base cannot be converted, or its file does not give what Keras does.
    """
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch, "base.tflite")
        path.write_bytes(_tflite(base, images.shape[1:], input_range))
        name = hashlib.sha256((files.sha256_of(path) + digest(images)).encode()).hexdigest()
        kept = files.cache_folder() / "features" / f"{name}.npy"
        count = int(np.prod(base.output_shape[1:]))
        if (found := _load(kept, (len(images), count))) is not None:
            return found.reshape(len(images), *base.output_shape[1:])
        found = _compute(path, images, count, progress)
    _compare(base, images, input_range, found)
    with files.replacing(kept) as file:
        np.save(file, found, allow_pickle=False)
    return found.reshape(len(images), *base.output_shape[1:])


def _node(tensor: Any) -> Any:
    """The call that gave a Keras tensor."""
    operation, node, _ = tensor._keras_history
    return operation._inbound_nodes[node]


def _before(tensor: Any) -> list[Any]:
    """The operations that a Keras tensor comes from."""
    found, waiting = {}, [tensor]
    while waiting:
        node = _node(waiting.pop())
        if id(node) not in found:
            found[id(node)] = node.operation
            waiting += node.input_tensors
    return list(found.values())


def _is_frozen(keras: Any, operation: Any) -> bool:
    """True if an operation gives the same for the same image at all times."""
    if not isinstance(operation, keras.Layer):
        return True  # a function without a state
    return all(
        not (layer.weights and layer.trainable) and len(layer.variables) == len(layer.weights)
        for layer in operation._flatten_layers()
    )


def _tflite(base: Any, shape: tuple[int, ...], input_range: tuple[float, float]) -> bytes:
    """The base as a TFLite file from raw pixels to a row of features."""
    import tensorflow as tf

    low, high = input_range
    factor, offset = np.float32((high - low) / 255.0), np.float32(low)
    holder = tf.Module()
    holder.held = [variable.value for variable in base.variables]

    def call(image: Any) -> Any:
        return tf.reshape(base(tf.cast(image, tf.float32) * factor + offset, training=False), (1, -1))

    function = tf.function(call, input_signature=[tf.TensorSpec((1, *shape), tf.uint8, name="image")])
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()], holder)
    try:
        raw: bytes = converter.convert()
    except Exception as failure:  # the converter raises what it likes
        reason = " ".join(str(failure).split())[:200]
        raise EdgewrightError(
            f"cannot run the frozen part of the model by itself ({reason}); add --no-features"
        ) from failure
    return raw


def _compute(path: Path, images: Images, count: int, progress: Progress) -> Features:
    backend = backends.for_path(path)
    session = backend.open(backend.read(path), threads=cores())
    found = np.empty((len(images), count), np.float32)
    for i in range(len(images)):
        found[i] = session.run(images[i : i + 1])[0]
        progress("features", i + 1, len(images))
    return found


def _compare(base: Any, images: Images, input_range: tuple[float, float], found: Features) -> None:
    few = images[:_COMPARED]
    expected = np.asarray(base(scale(few, input_range), training=False)).reshape(len(few), -1)
    error = np.abs(found[: len(few)] - expected).max()
    if not error <= TOLERANCE * np.abs(expected).max():
        raise EdgewrightError(
            f"expected the frozen part of the model to give what Keras does, got features {error:.2g} apart; "
            "add --no-features"
        )


def _load(path: Path, shape: tuple[int, int]) -> Features | None:
    """Features that were kept; None if there are none, or what is there is something else."""
    try:
        found = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return found if found.shape == shape and found.dtype == np.float32 else None
