"""A Keras model that takes channels first, computed channels last.

TensorFlow has no convolutions of channels-first images on processors, and TFLite none at all. So the
network's graph is walked with each such image turned, (n, height, width, channels): layers that have a
`data_format` or work on one axis are made anew for that order, with the same weights; those that look at
each number alone are called as they are; before any other the image is turned back, which is right for
every layer. Nothing is believed that was not compared: XLA can compute the network as its author wrote it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgewright.runtime.errors import ExportError
from edgewright.train.stack import import_keras

_FIRST, _LAST = "channels_first", "channels_last"
_TURN, _TURN_BACK = (0, 2, 3, 1), (0, 3, 1, 2)
_RANK = 4
_TOLERANCE = 1e-4  # between the scores of both orders, as a share of the largest where that is above 1
_IMAGES = 2

# Layers of Keras' own that work along one axis, `axis` in their configuration.
_ALONG_AN_AXIS = {"BatchNormalization", "Concatenate", "GroupNormalization", "LayerNormalization", "Softmax"}
# Those that look at each number alone, or at the same place of several images.
_NUMBER_BY_NUMBER = {
    *("Activation", "ReLU", "LeakyReLU", "ELU", "Identity", "ActivityRegularization"),
    *("Dropout", "GaussianDropout", "GaussianNoise", "AlphaDropout"),
    *("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"),
}
_ACTIVATIONS = {
    *("linear", "relu", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "sigmoid", "log_sigmoid"),
    *("tanh", "silu", "swish", "hard_sigmoid", "hard_silu", "hard_swish", "softplus", "softsign", "mish"),
    *("exponential",),
}
# Operations of keras.ops, by their class.
_OPERATIONS = {
    *("Add", "Subtract", "Multiply", "Divide", "TrueDivide", "Maximum", "Minimum", "Power", "Square", "Sqrt"),
    *("Abs", "Absolute", "Negative", "Exp", "Relu", "Relu6", "Sigmoid", "Silu", "Tanh", "Gelu", "Clip"),
    *("HardSigmoid", "HardSilu", "LeakyRelu", "Elu", "Softplus"),
}


@dataclass(frozen=True, eq=False)
class _Turned:
    """A tensor that the model knows channels first, turned."""

    value: Any


class ChannelsLast:
    """A functional or Sequential model as a function of a batch `(n, height, width, channels)`."""

    def __init__(self, network: Any, *, first: bool) -> None:
        """`first`: its input has the channels first, not only layers inside."""
        self._network, self._first = network, first
        self._twins: dict[int, Any] = {}

    @property
    def variables(self) -> list[Any]:
        """The values of the variables of the layers that were made anew."""
        return [variable.value for twin in self._twins.values() for variable in twin.variables]

    def __call__(self, image: Any) -> Any:
        """The outputs, as the network gives them. `image` is turned to what the network takes."""
        import tensorflow as tf

        image = tf.cast(image, tf.float32)
        return self._walk(self._network, [_Turned(image) if self._first else image])

    def check(self, shape: tuple[int, int, int]) -> None:
        """Make all layers, and compare with the network as it is. Raises `ExportError`: they differ."""
        import tensorflow as tf

        image = np.random.default_rng(0).uniform(0, 1, (_IMAGES, *shape)).astype(np.float32)
        got = self(tf.constant(image))
        given = np.transpose(image, _TURN_BACK) if self._first else image
        compiled = tf.function(lambda x: self._network(x, training=False), jit_compile=True, autograph=False)
        try:
            expected = compiled(tf.constant(given))
        except Exception as failure:  # XLA raises what it likes
            reason = " ".join(str(failure).split())[:200]
            raise ExportError(
                f"expected a network with channels last, got one with channels first that cannot be compared "
                f"with its turned self ({reason}); save it with data_format='{_LAST}'"
            ) from failure
        tree = import_keras().tree
        for one, other in zip(tree.flatten(expected), tree.flatten(got), strict=True):
            a, b = np.asarray(one), np.asarray(other)
            limit = _TOLERANCE * max(1.0, float(np.abs(a).max()))
            if a.shape != b.shape or not np.abs(a - b).max() <= limit:
                raise ExportError(
                    "expected the same scores with channels last as with channels first, got others; save "
                    f"the network with data_format='{_LAST}'"
                )

    def _walk(self, model: Any, inputs: Iterable[Any]) -> Any:
        """The outputs of a model; none of them turned."""
        keras = import_keras()
        graph = getattr(model, "_functional", None) or model
        outputs = graph._run_through_graph(list(inputs), operation_fn=self._instead_of)
        return keras.tree.map_structure(_as_is, outputs)

    def _instead_of(self, operation: Any) -> Callable[..., Any]:
        keras = import_keras()

        def run(*args: Any, **kwargs: Any) -> Any:
            kwargs.pop("training", None)
            if isinstance(operation, keras.Model) and hasattr(operation, "_run_through_graph"):
                graph = operation
            else:
                graph = getattr(operation, "_functional", None)
            if graph is not None:
                given = keras.tree.flatten([args, kwargs])
                return graph._run_through_graph(given, operation_fn=self._instead_of)
            try:
                return self._computed(operation, args, kwargs)
            except ExportError:
                raise
            except Exception as failure:  # whatever TensorFlow has against it
                reason = " ".join(str(failure).split())[:200]
                raise ExportError(
                    f"expected layers that can be computed with channels last, got '{operation.name}' "
                    f"({type(operation).__name__}): {reason}"
                ) from failure

        return run

    def _computed(self, operation: Any, args: Any, kwargs: Any) -> Any:
        keras = import_keras()
        tensors = [x for x in keras.tree.flatten([args, kwargs]) if _rank(x)]
        images = bool(tensors) and all(_rank(x) == _RANK for x in tensors)
        turned = any(isinstance(x, _Turned) for x in tensors)
        kind = type(operation).__name__
        if images and kind == "Permute" and _own(operation):
            if turned and tuple(operation.dims) == (2, 3, 1):
                return args[0].value
            if not turned and tuple(operation.dims) == (3, 1, 2):
                return _Turned(args[0])
        by_number = _by_number(operation)
        if images and (
            _has_channels_first(operation) or (turned and (by_number or _axis(operation) is not None))
        ):
            args, kwargs = keras.tree.map_structure(_turned, (args, kwargs))
            layer = operation if by_number else self._twin(operation, args, kwargs)
            result = _called(layer, args, kwargs)
            return keras.tree.map_structure(lambda x: _Turned(x) if _rank(x) == _RANK else x, result)
        if images and _own(operation) and getattr(operation, "data_format", None) == _FIRST:
            # Some processors have kernels for it as it is; no file has.
            activation = getattr(operation.activation, "__name__", "of its own")
            raise ExportError(
                f"expected layers that can be computed with channels last, got '{operation.name}' ({kind}): "
                f"its activation, {activation}, may work along an axis; give it a layer of its own"
            )
        args, kwargs = keras.tree.map_structure(_as_is, (args, kwargs))
        return _called(operation, args, kwargs)

    def _twin(self, layer: Any, args: Any, kwargs: Any) -> Any:
        """The layer for images with channels last."""
        if id(layer) not in self._twins:
            config = layer.get_config()
            if _has_channels_first(layer):
                config["data_format"] = _LAST
            else:
                config["axis"] = _axis(layer)
            twin = type(layer).from_config(config)
            _called(twin, args, kwargs)  # builds it
            if layer.weights:
                twin.set_weights(layer.get_weights())
            self._twins[id(layer)] = twin
        return self._twins[id(layer)]


def _called(operation: Any, args: Any, kwargs: Any) -> Any:
    """Never in training mode: Keras' preprocessing layers default to it."""
    if isinstance(operation, import_keras().Layer):
        return operation(*args, **kwargs, training=False)
    return operation(*args, **kwargs)


def _rank(x: Any) -> int:
    """That of a tensor, 0 for what is none."""
    value = x.value if isinstance(x, _Turned) else x
    return len(value.shape) if hasattr(value, "shape") else 0


def _as_is(x: Any) -> Any:
    import tensorflow as tf

    return tf.transpose(x.value, _TURN_BACK) if isinstance(x, _Turned) else x


def _turned(x: Any) -> Any:
    import tensorflow as tf

    if isinstance(x, _Turned):
        return x.value
    return tf.transpose(x, _TURN) if _rank(x) == _RANK else x


def _own(operation: Any) -> bool:
    """Whether it is a layer of Keras' own: another's may do what it likes."""
    return getattr(import_keras().layers, type(operation).__name__, None) is type(operation)


def _has_channels_first(operation: Any) -> bool:
    """Whether it is a layer of Keras' own that can be made anew with another `data_format`; the activation
    inside must not work along an axis, as softmax does."""
    if not _own(operation) or getattr(operation, "data_format", None) != _FIRST:
        return False
    activation = getattr(operation, "activation", None)
    return activation is None or getattr(activation, "__name__", "") in _ACTIVATIONS


def _axis(operation: Any) -> int | None:
    """The axis that a layer works along, in the turned order; None if it is no such layer."""
    if not _own(operation) or type(operation).__name__ not in _ALONG_AN_AXIS:
        return None
    axis = operation.axis
    if isinstance(axis, list | tuple) and len(axis) == 1:
        axis = axis[0]
    return _TURN.index(axis % _RANK) if isinstance(axis, int) else None


def _by_number(operation: Any) -> bool:
    kind = type(operation).__name__
    if isinstance(operation, import_keras().Layer):
        if kind == "Activation":
            return _own(operation) and getattr(operation.activation, "__name__", "") in _ACTIVATIONS
        if kind == "Rescaling":
            return _own(operation) and np.ndim(operation.scale) == 0 and np.ndim(operation.offset) == 0
        return _own(operation) and kind in _NUMBER_BY_NUMBER
    return kind in _OPERATIONS and type(operation).__module__.startswith("keras.")
