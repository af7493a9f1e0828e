"""A Keras 3 model as a tf_keras model, and its weights back again.

TFMOT's passes and `fit` under tf.distribute know tf_keras only, which reads no file that Keras 3
writes. So the graph is walked, each layer is made anew from its settings, nested models are inlined,
and both models must then give the same scores: layers of one name differ silently in the two
libraries (`hard_sigmoid` has another slope, `Resizing` no antialiasing), so nothing is dropped that
has a meaning, and nothing is believed that was not compared.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from edgewright.runtime.errors import BridgeError
from edgewright.train.stack import import_keras, import_tf_keras

TOLERANCE = 1e-5  # between the scores of the two models, as a share of the largest where that is above 1
_IMAGES = 64
_AT_A_TIME = 16

_RENAMED = {("LeakyReLU", "negative_slope"): "alpha"}
_SAME_ACTIVATIONS = {
    **{name: name for name in ("linear", "relu", "softmax", "sigmoid", "tanh", "elu", "selu", "gelu")},
    **{name: name for name in ("softplus", "softsign", "exponential", "mish")},
    "silu": "swish",
}
# The scale and offset of a tensor and a number, by operation and place of the number.
_ARITHMETIC: dict[tuple[str, int], Callable[[float], tuple[float, float]]] = {
    ("Add", 0): lambda number: (1.0, number),
    ("Add", 1): lambda number: (1.0, number),
    ("Subtract", 1): lambda number: (1.0, -number),
    ("Multiply", 0): lambda number: (number, 0.0),
    ("Multiply", 1): lambda number: (number, 0.0),
    ("TrueDivide", 1): lambda number: (1.0 / number, 0.0),
}

Call = Callable[..., Any]  # (layer, *args, **kwargs) of the layer's own call


@dataclass(frozen=True, kw_only=True)
class Bridged:
    """`model` is the tf_keras model; `pairs` are (Keras 3 layer, tf_keras layer) in the order they run."""

    model: Any
    pairs: tuple[tuple[Any, Any], ...]

    def of(self, model: Any) -> Bridged:
        """The same pairs for `model`, a clone of the tf_keras model whose layers kept their names."""
        pairs = tuple((original, model.get_layer(twin.name)) for original, twin in self.pairs)
        return Bridged(model=model, pairs=pairs)

    def copy_back(self) -> None:
        """Give the Keras 3 model the weights that the tf_keras model has now."""
        for original, twin in self.pairs:
            if twin.weights:
                _set_weights(original, twin.get_weights())


def to_tf_keras(
    model: Any,
    shape: tuple[int, int, int] | None = None,
    *,
    keep_augmentation: bool = False,
    images: NDArray[np.float32] | None = None,
) -> Bridged:
    """Make a functional or Sequential Keras 3 model anew in tf_keras: settings, weights, what is frozen.

    Args:
        model: one input `(n, height, width, channels)`, one output `(n, classes)`, float32.
        shape: height, width and channels where the model leaves them open.
        keep_augmentation: keep layers such as RandomFlip, for training; else they are left out.
        images: float32 `(n, *shape)` as the model wants them, to compare on; seeded noise in their
            range, or in 0-1, makes 64 of them.

    Raises:
        BridgeError: something tf_keras has no counterpart of, or scores further apart than `TOLERANCE`;
            the layer is named.
    """
    tf_keras = import_tf_keras()
    if getattr(model, "inputs", None) is None or len(model.inputs) != 1 or len(model.outputs) != 1:
        raise BridgeError(f"expected a built model with one input and one output, got '{model.name}'")
    shape = shape or tuple(model.input_shape[1:])
    if None in shape:
        raise BridgeError(f"expected a model of a fixed input size, got {shape}; name the shape")
    keras = import_keras()
    twins, names = {}, _Names()
    for layer in _operations(model):
        if not isinstance(layer, keras.layers.Layer):
            twins[id(layer)] = _arithmetic(tf_keras, layer, names)
        elif keep_augmentation or not _augments(layer):
            twins[id(layer)] = _twin(tf_keras, layer, names)
        else:
            _only_of_keras(layer)

    run: list[Any] = []

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        if id(layer) not in twins:
            return args[0]
        run.append(layer)
        return twins[id(layer)](*_tensors(args), **kwargs)

    image = tf_keras.Input(shape, dtype=model.inputs[0].dtype, name=names.new(model.inputs[0].name))
    try:
        scores = _walk(model, [image], call)
    except Exception as failure:  # tf_keras raises whatever its layers do
        reason = " ".join(str(failure).split())
        raise BridgeError(f"tf_keras cannot call layer '{run[-1].name}': {reason[:300]}") from failure
    (scores,) = scores if isinstance(scores, list | tuple) else (scores,)
    pairs = tuple((layer, twins[id(layer)]) for layer in dict.fromkeys(run))
    for layer, twin in pairs:
        if isinstance(layer, keras.layers.Layer):
            _share_weights(layer, twin)
    bridged = Bridged(model=tf_keras.Model(image, scores, name=names.clean(model.name)), pairs=pairs)
    compare(model, bridged, probe(shape, images))
    return bridged


class _Names:
    """Names for layers: tf_keras takes fewer characters, and inlined models may use a name twice."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    @staticmethod
    def clean(name: str) -> str:
        return re.sub(r"[^A-Za-z0-9_.-]|^[^A-Za-z0-9.]", "_", name)

    def new(self, wanted: str) -> str:
        name = base = self.clean(wanted)
        count = 1
        while name in self._taken:
            count += 1
            name = f"{base}_{count}"
        self._taken.add(name)
        return name


def _tensors(args: tuple[Any, ...]) -> list[Any]:
    """Arguments without the number that a Rescaling has in itself."""
    return [value for value in args if not isinstance(value, int | float)]


def _graph(model: Any) -> Any:
    """The functional graph inside a model."""
    keras = import_keras()
    graph = model._functional if type(model) is keras.Sequential else model
    # Functional is no public name; a subclass may have a `call` of its own.
    if graph is None or not type(graph).__module__.startswith("keras.") or not hasattr(graph, "operations"):
        raise BridgeError(
            f"expected functional and Sequential models, got '{model.name}' ({type(model).__name__}); "
            "write it with the functional API"
        )
    return graph


def _walk(model: Any, inputs: Any, call: Call) -> Any:
    """Run `call` instead of each layer, nested models' included.

    The `training` a layer was called with is left out: Keras 3.15 overrides it in `fit` and `predict`.
    """
    keras = import_keras()

    def instead_of(operation: Any) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            kwargs.pop("training", None)
            kwargs = {
                key: value for key, value in kwargs.items() if not key.endswith("mask") or value is not None
            }
            if isinstance(operation, keras.Model):
                return _walk(operation, [*args, *kwargs.values()], call)
            return call(operation, *args, **kwargs)

        return run

    return _graph(model)._run_through_graph(inputs, operation_fn=instead_of)


def _operations(model: Any) -> Iterator[Any]:
    """The layers and operations of a model and of those nested in it, each once."""
    keras = import_keras()
    seen = set()
    for operation in _graph(model).operations:
        nested = isinstance(operation, keras.Model)
        for found in _operations(operation) if nested else (operation,):
            if id(found) not in seen and not isinstance(found, keras.layers.InputLayer):
                seen.add(id(found))
                yield found


def _only_of_keras(layer: Any) -> str:
    """The class name of a layer that is Keras' own and computes in float32."""
    kind = type(layer).__name__
    if getattr(import_keras().layers, kind, None) is not type(layer):
        _refuse(layer, "it is no layer of Keras' own")
    if layer.compute_dtype != "float32" or layer.variable_dtype != "float32":
        _refuse(layer, f"it computes in {layer.dtype_policy.name}, expected float32")
    return kind


def _augments(layer: Any) -> bool:
    """Whether a layer does something in training only; RandomCrop is none, it resizes what is predicted."""
    kind = type(layer).__name__
    return kind in ("AugMix", "CutMix", "MixUp") or (kind.startswith("Rand") and kind != "RandomCrop")


def _refuse(layer: Any, why: str) -> NoReturn:
    raise BridgeError(f"tf_keras cannot be given layer '{layer.name}' ({type(layer).__name__}): {why}")


def _twin(tf_keras: Any, layer: Any, names: _Names) -> Any:
    """A tf_keras layer of the same settings, not yet built."""
    kind = _only_of_keras(layer)
    twin_class = getattr(tf_keras.layers, kind, None)
    if twin_class is None:
        _refuse(layer, "tf_keras has none of that name")
    if getattr(layer, "activity_regularizer", None) is not None or kind == "ActivityRegularization":
        _refuse(layer, "tf_keras divides activity regularization by the batch size, Keras 3 does not")
    known = inspect.signature(twin_class.__init__).parameters
    defaults = inspect.signature(type(layer).__init__).parameters
    arguments = {}
    for key, value in layer.get_config().items():
        if key in ("name", "dtype", "trainable") or key.endswith("_initializer"):
            continue  # weights are copied
        if key.endswith("activation"):
            value = _activation(tf_keras, layer, value)
        elif key.endswith(("_regularizer", "_constraint")):
            value = _penalty(tf_keras, layer, key, value)
        elif key == "function" or (isinstance(value, dict) and "class_name" in value):
            _refuse(layer, f"its {key} is code or a Keras object of its own")
        name = _RENAMED.get((kind, key), key)
        if name in known:
            arguments[name] = value
        elif value is None or (key, value) == ("data_format", "channels_last"):
            continue
        elif value != (defaults[key].default if key in defaults else False):
            _refuse(layer, f"tf_keras knows no {key}={value!r}")
    try:
        return twin_class(**arguments, name=names.new(layer.name), dtype="float32")
    except (TypeError, ValueError) as failure:
        _refuse(layer, " ".join(str(failure).split())[:300])


def _arithmetic(tf_keras: Any, operation: Any, names: _Names) -> Any:
    """A Rescaling layer for a tensor plus, minus, times or through a number, as MobileNetV3 has it."""
    arguments = operation._inbound_nodes[0].arguments.args
    places = [place for place, value in enumerate(arguments) if isinstance(value, int | float)]
    kind = type(operation).__name__
    means = _ARITHMETIC.get((kind, places[0])) if len(arguments) == 2 and len(places) == 1 else None
    if means is None or not type(operation).__module__.startswith("keras."):
        raise BridgeError(
            f"expected layers, or a tensor and a number, got the operation '{operation.name}' ({kind}) of "
            "keras.ops; use a layer for it"
        )
    scale, offset = means(arguments[places[0]])
    return tf_keras.layers.Rescaling(scale, offset, name=names.new(operation.name), dtype="float32")


def _activation(tf_keras: Any, layer: Any, value: Any) -> Any:
    """An activation by its name where both libraries mean the same, else Keras 3's own function."""
    if value is None:
        return None
    if isinstance(value, str) and value in _SAME_ACTIVATIONS:
        return _SAME_ACTIVATIONS[value]
    function = getattr(import_keras().activations, value, None) if isinstance(value, str) else None
    if function is None:
        _refuse(layer, f"its activation {value!r} is none of Keras' own")
    if f"edgewright>{value}" not in tf_keras.utils.get_custom_objects():  # so that clones find it
        tf_keras.utils.register_keras_serializable("edgewright", value)(function)
    return function


def _penalty(tf_keras: Any, layer: Any, key: str, value: Any) -> Any:
    """A regularizer or constraint of the same class and strength."""
    if value is None:
        return None
    module = tf_keras.regularizers if key.endswith("_regularizer") else tf_keras.constraints
    found = getattr(module, value["class_name"], None) if value["module"].startswith("keras.") else None
    if found is None:
        _refuse(layer, f"tf_keras has no {key} {value['class_name']}")
    return found(**value["config"])


def _share_weights(layer: Any, twin: Any) -> None:
    """Give `twin` the weights of `layer`, and freeze it if that is frozen."""
    twin.trainable = layer.trainable
    # Keras 3's DepthwiseConv2D has a "kernel", that of tf_keras a "depthwise_kernel".
    ours = [weight.name.removeprefix("depthwise_") for weight in layer.weights]
    named = [weight.name.rpartition("/")[2].partition(":")[0] for weight in twin.weights]
    theirs = [name.removeprefix("depthwise_") for name in named]
    if ours != theirs:
        _refuse(layer, f"its weights are {ours}, those of tf_keras {theirs}")
    if len(layer.trainable_weights) != len(twin.trainable_weights):
        _refuse(layer, "only a part of it is frozen")
    _set_weights(twin, layer.get_weights())


def _set_weights(layer: Any, weights: list[NDArray[Any]]) -> None:
    layer.set_weights(weights)
    if hasattr(layer, "finalize_state"):  # Normalization computes with copies of its weights
        layer.finalize_state()


def probe(shape: tuple[int, ...], images: NDArray[np.float32] | None) -> NDArray[np.float32]:
    """64 images: the given ones, filled up with noise in their range."""
    given = np.zeros((0, *shape), np.float32) if images is None else np.asarray(images, np.float32)[:_IMAGES]
    low, high = (float(given.min()), float(given.max())) if len(given) else (0.0, 1.0)
    random = np.random.default_rng(0)
    noise = random.uniform(low, high, (_IMAGES - len(given), *shape)).astype(np.float32)
    return np.concatenate([given, noise])


def compare(model: Any, bridged: Bridged, images: NDArray[np.float32]) -> None:
    """Raises `BridgeError` that names the first layer whose outputs differ, if the scores do."""
    parts = [images[i : i + _AT_A_TIME] for i in range(0, len(images), _AT_A_TIME)]
    expected = np.concatenate([np.asarray(model(part, training=False)) for part in parts])
    got = np.concatenate([np.asarray(bridged.model(part, training=False)) for part in parts])
    apart = _apart(expected, got)
    if apart <= TOLERANCE:
        return
    worst = np.abs(expected - got).reshape(len(images), -1).max(1).argmax()
    layer, there = _first_apart(model, bridged, images[worst : worst + 1])
    raise BridgeError(
        f"expected scores within {TOLERANCE:g} of Keras 3's, got {apart:.2g} from tf_keras; the first layer "
        f"whose outputs differ is '{layer.name}' ({type(layer).__name__}), by {there:.2g}"
    )


def _apart(expected: NDArray[Any], got: NDArray[Any]) -> float:
    """The largest difference, as a share of the largest expected value where that is above 1."""
    if expected.shape != got.shape:
        return np.inf
    error = np.abs(expected - got).max(initial=0) / max(1.0, np.abs(expected).max(initial=0))
    return float(error) if np.isfinite(error) else np.inf


def _first_apart(model: Any, bridged: Bridged, image: NDArray[np.float32]) -> tuple[Any, float]:
    """The first layer, in the order they run, after which the two models differ on an image."""
    import tensorflow as tf

    twins = {id(layer): twin for layer, twin in bridged.pairs}

    def outputs(*, twin: bool) -> list[tuple[Any, NDArray[Any]]]:
        found = []

        def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
            if id(layer) not in twins:
                return args[0]
            chosen = twins[id(layer)] if twin else layer
            args = tuple(_tensors(args)) if twin else args
            if "training" in inspect.signature(chosen.call).parameters:
                kwargs["training"] = False
            result = chosen(*args, **kwargs)
            found.append((layer, np.asarray(tf.nest.flatten(result)[0])))
            return result

        _walk(model, [tf.constant(image)], call)
        return found

    both = zip(outputs(twin=False), outputs(twin=True), strict=True)
    differences = [(layer, _apart(expected, got)) for (layer, expected), (_, got) in both]
    return next((found for found in differences if found[1] > TOLERANCE), differences[-1])
