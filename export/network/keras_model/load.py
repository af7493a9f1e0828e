"""A Keras file as a function of an image batch, whatever its class, precision and order of channels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from edgewright.export.network.ends import ImageInput, Loaded, chosen_output, image_input, only
from edgewright.export.network.keras_model.channels_last import ChannelsLast
from edgewright.export.network.keras_model.file import lets_through, open_model
from edgewright.export.network.keras_model.float32 import FLOAT32, take_as, to_float32
from edgewright.export.network.keras_model.unroll import unrolled
from edgewright.export.network.model import Model
from edgewright.runtime.errors import ExportError
from edgewright.train.stack import import_keras

Call = Callable[[Any], Any]


def load_keras(model: Model) -> Loaded:
    """Raises `ExportError`: it cannot be loaded, or does not take one image."""
    keras = import_keras()
    network = open_model(model)
    to_float32(network)
    if getattr(network, "inputs", None):
        given, call, names = _functional(model, network)
    else:
        given, call, names = _subclassed(model, network)
    place = chosen_output(model, names)

    def scores(x: Any) -> Any:
        return keras.ops.cast(keras.tree.flatten(call(x))[place], FLOAT32)

    def without_loops(x: Any) -> Any:
        with unrolled(network):
            return scores(x)

    return Loaded(
        call=scores,
        shape=given.shape,
        batch=None,
        held=[
            *(v.value for v in network.variables),
            *(call.variables if isinstance(call, ChannelsLast) else ()),
        ],
        layers={layer.name for layer in network._flatten_layers()},
        input=given.name,
        output=names[place],
        unrolled=without_loops,
        lets_through=lets_through(model.path),
    )


def _functional(model: Model, network: Any) -> tuple[ImageInput, Call, list[str]]:
    """The input, what is called with a batch, and the names of the outputs: a model that knows its graph."""
    keras = import_keras()
    tensor = only("input", {tensor.name: tensor for tensor in network.inputs})
    given = image_input(model, tensor.name, tensor.shape, tensor.dtype)
    graph = getattr(network, "_functional", None) or network
    names = _names(graph._outputs_struct, [t._keras_history.operation.name for t in network.outputs])
    if given.channels_first or any(
        getattr(layer, "data_format", None) == "channels_first" for layer in network._flatten_layers()
    ):
        turned = ChannelsLast(network, first=given.channels_first)
        turned.check(given.shape)
        return given, turned, names
    structure = getattr(network, "_inputs_struct", None)
    keys = list(structure) if isinstance(structure, dict) else []

    def call(x: Any) -> Any:
        """Keras' preprocessing layers default to training mode and hand it on: it is never left open."""
        return network({keys[0]: x} if keys else x, training=False)

    if given.is_integer:
        whole = np.random.default_rng(0).integers(0, 256, (2, *given.shape)).astype(given.dtype)
        expected = keras.tree.flatten(call(whole))
        take_as(tensor, FLOAT32)  # so that an integer file need not cast whole numbers there and back
        got = keras.tree.flatten(call(whole.astype(FLOAT32)))
        if not all(np.array_equal(a, b) for a, b in zip(expected, got, strict=True)):
            take_as(tensor, given.dtype)  # it computes with integers
    return given, call, names


def _subclassed(model: Model, network: Any) -> tuple[ImageInput, Call, list[str]]:
    """As `_functional`, of a model whose code alone knows its graph: it is called on a symbolic image."""
    keras = import_keras()
    import tensorflow as tf

    if not network.built:
        raise ExportError(
            f"expected a network that knows its input shape, got {model.path}, which was never built; "
            "call it once on an image and save it again"
        )
    shape = (network.get_build_config() or {}).get("input_shape") or (None, None, None, 3)
    if not isinstance(shape, list | tuple) or any(isinstance(size, list | tuple | dict) for size in shape):
        raise ExportError(f"expected a network with one input, got {model.path}, built for {shape}")
    given = image_input(model, "input", shape, FLOAT32)

    def call(x: Any) -> Any:
        return network(given.of(x), training=False)

    try:
        traced = tf.function(call).get_concrete_function(tf.TensorSpec((None, *given.shape), tf.float32))
    except Exception as failure:  # it is the user's code
        reason = " ".join(str(failure).split())[:300]
        raise ExportError(
            f"expected {model.path} to take an image {given.shape}, got {type(failure).__name__}: {reason}"
        ) from failure
    outputs = traced.structured_outputs
    return given, call, _names(outputs, [f"output {i}" for i in range(len(keras.tree.flatten(outputs)))])


def _names(structure: Any, otherwise: Sequence[str]) -> list[str]:
    """The keys of a dict of outputs, in the order its values are flattened; else what they are called."""
    return (
        sorted(structure)
        if isinstance(structure, dict) and len(structure) == len(otherwise)
        else [*otherwise]
    )
