"""Which layers of a tf_keras model passes work on, and what these see: Conv2D and Dense, but not the last.

The last one decides between close classes and holds few of the weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from edgewright.export.weights.moments import (
    Floats,
    Moments,
    enough,
    patches,
    places_of,
    same_padding,
    sample,
)
from edgewright.runtime.errors import InputError
from edgewright.train.stack import import_tf_keras

if TYPE_CHECKING:
    from edgewright.export.network.trainer import Trainer

_BATCH = 64  # images


def weighted(model: Any) -> list[Any]:
    """The model's Conv2D and Dense layers, in the order of the model's, without the last."""
    layers = import_tf_keras().layers
    return [layer for layer in model.layers if type(layer) in (layers.Conv2D, layers.Dense)][:-1]


def refuse_without_weights(model: Any) -> None:
    """Raises `InputError`: there is no layer to work on."""
    if not weighted(model):
        raise InputError(
            f"expected a network with a Conv2D or Dense layer before its last one, got '{model.name}', which "
            "has none: nothing to prune or cluster"
        )


def wrapped(model: Any, wrap: Callable[[Any], Any]) -> Any:
    """The model with `wrap(layer)` instead of each layer that passes work on; the others are shared."""
    chosen = {id(layer) for layer in weighted(model)}
    return import_tf_keras().models.clone_model(
        model, clone_function=lambda layer: wrap(layer) if id(layer) in chosen else layer
    )


def rows(layer: Any) -> Floats:
    """The weights of a layer, `(outputs, inputs)`."""
    kernel: Floats = layer.kernel.numpy()
    return kernel.reshape(-1, kernel.shape[-1]).T


def assign(layer: Any, weights: Floats, shift: Floats) -> None:
    """Give a layer weights `(outputs, inputs)`, and add `shift` `(outputs,)` to its biases if it has some."""
    layer.kernel.assign(weights.T.reshape(layer.kernel.shape))
    if layer.use_bias:
        layer.bias.assign_add(shift.astype(np.float32))


def one_by_one(trainer: Trainer, layers: Sequence[Any]) -> Iterator[tuple[Any, Moments | None]]:
    """Each of these layers of `trainer.model` with what it sees of the training images, in the network as it
    was given and in what is made of it by then: who takes a layer changes it before the next.

    None instead: it sees too little for conclusions, stands in several places, or an output of it does not
    see all inputs.
    """
    exact, x = trainer.copy(), trainer.examples.x
    largest = max((int(np.prod(layer.input.shape[1:])) for layer in layers if _is_plain(layer)), default=1)
    few = len(sample(x, largest))
    for layer in layers:
        if not _is_plain(layer):
            yield layer, None
            continue
        inputs, an_image = int(np.prod(layer.kernel.shape[:-1])), int(np.prod(layer.output.shape[1:-1]))
        wanted = max(few, -(-enough(inputs) // an_image))  # a large image has places enough
        chosen = np.linspace(0, len(x) - 1, min(wanted, len(x))).astype(int)
        batches = [x[chosen[start : start + _BATCH]] for start in range(0, len(chosen), _BATCH)]
        places = places_of(len(batches))
        exactly = _inputs(exact, exact.get_layer(layer.name), places)
        by_then = _inputs(trainer.model, layer, places)
        prepared = map(trainer.normalization.apply, batches)
        moments = Moments((exactly(images), by_then(images)) for images in prepared)
        yield layer, moments if moments.enough else None


def _is_plain(layer: Any) -> bool:
    return len(layer.inbound_nodes) == 1 and getattr(layer, "groups", 1) == 1


def _inputs(model: Any, layer: Any, places: int) -> Callable[[Floats], Floats]:
    """What `layer` of `model` multiplies its kernel with for given images, `(places, inputs)`."""
    front = import_tf_keras().Model(model.inputs, layer.input)

    def inputs(images: Floats) -> Floats:
        values: Floats = front(images, training=False).numpy()
        if type(layer).__name__ == "Dense":
            return values.reshape(-1, values.shape[-1])[:places]
        window = layer.kernel_size, layer.strides, layer.dilation_rate
        pads = [(0, 0), (0, 0)]
        if layer.padding == "same":
            pads = [same_padding(*each) for each in zip(values.shape[1:3], *window, strict=True)]
        return patches(values, *window, pads, places)

    return inputs
