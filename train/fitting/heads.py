"""What a network ends in: which head that is, by which loss it learns, how its scores are taken."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewright.runtime.backends import Scores
from edgewright.runtime.contract import THRESHOLD
from edgewright.runtime.contract.heads import Head
from edgewright.runtime.errors import InputError
from edgewright.train.recipe import Recipe

Prepare = Callable[[NDArray[Any]], NDArray[np.float32]]  # from what is learnt from to what the model takes

_BATCH = 500


def head_of(model: Any, *, several: bool = False) -> str:
    """The kind of head that a model's last layer makes; `several` says that an image may have several labels.

    What is neither softmax nor sigmoid comes before it: before sigmoids if there are several labels or one
    score, else before a softmax.
    """
    last = model.layers[-1]
    activation = getattr(getattr(last, "activation", None), "__name__", "")
    if activation == "softmax" or type(last).__name__ == "Softmax":
        return "softmax"
    if activation == "sigmoid":
        return "sigmoid"
    return "sigmoid-logits" if several or model.output_shape[-1] == 1 else "logits"


def check_head(name: str, head: Head, *, several: bool) -> None:
    """See that a head suits the labels. Raises `InputError`."""
    if several and not head.is_sigmoid:
        raise InputError(
            f"expected {name} to end in a sigmoid a label, as an image may have several, got a softmax; "
            "edgewright train photos takes such data"
        )
    if not several and head.is_multi_label:
        raise InputError(
            f"expected {name} to end in a softmax, as an image has one of {head.count} classes, got "
            f"{head.count} sigmoids; end in a softmax, or give data of several labels an image"
        )
    if head.count == 1 and not head.is_sigmoid:
        raise InputError(
            f"expected {name} to end in a sigmoid, got a softmax of one score, which is always 1"
        )


def loss_of(keras: Any, recipe: Recipe, head: str) -> Any:
    """The recipe's loss, for a network that ends in probabilities or in logits; binary for sigmoids."""
    if head in ("sigmoid", "sigmoid-logits"):
        return keras.losses.BinaryCrossentropy(from_logits=head == "sigmoid-logits")
    losses = {
        "sparse_categorical_crossentropy": keras.losses.SparseCategoricalCrossentropy,
        "categorical_crossentropy": keras.losses.CategoricalCrossentropy,
    }
    return losses[recipe.loss](from_logits=head == "logits")


def accuracy_of(head: Head) -> Any:
    """What Keras or tf_keras is to call `accuracy`: it would take several sigmoids for classes."""
    if not head.is_sigmoid:
        return "accuracy"
    turn = 0.0 if head.kind == "sigmoid-logits" else THRESHOLD

    def accuracy(truth: Any, scores: Any) -> Any:
        import tensorflow as tf

        return tf.reduce_mean(tf.cast((scores > turn) == (truth > THRESHOLD), tf.float32), axis=-1)

    return accuracy


def targets(recipe: Recipe, head: Head) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """From class numbers or flags to what the loss takes: as they are, one-hot, or 0 and 1 a sigmoid."""
    if head.is_sigmoid:
        return lambda labels: labels.astype(np.float32).reshape(len(labels), head.count)
    if recipe.loss == "categorical_crossentropy":
        return lambda labels: np.eye(head.count, dtype=np.float32)[labels]
    return lambda labels: labels


def scorer(model: Any, prepare: Prepare) -> Callable[[NDArray[Any]], Scores]:
    """A function from raw pixels or features `(n, …)` to the model's scores `(n, count)`."""
    import tensorflow as tf

    call = tf.function(lambda x: model(x, training=False), reduce_retracing=True)

    def scores(given: NDArray[Any]) -> Scores:
        parts = (prepare(given[i : i + _BATCH]) for i in range(0, len(given), _BATCH))
        return np.concatenate([call(part).numpy() for part in parts])

    return scores
