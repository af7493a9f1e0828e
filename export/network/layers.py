"""Which layers of a tf_keras model passes work on: Conv2D and Dense, but not the last of them.

The last one decides between close classes and holds few of the weights.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edgewright.runtime.errors import InputError
from edgewright.train.stack import import_tf_keras


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
