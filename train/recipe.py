"""What a recipe is. Each is one file in `recipes/` that sets `RECIPE`; its name is the file's."""

from __future__ import annotations

import dataclasses
import importlib
import re
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgewright.runtime import plugins
from edgewright.runtime.errors import InputError
from edgewright.train.pretrained import BASES, Weights

if TYPE_CHECKING:
    import numpy as np

    from edgewright.train.datasets import Images

_RECIPES = "edgewright.train.recipes"


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """How a model with a frozen base goes on once its last layers are trained: all layers but
    BatchNormalization learn, for at most `epochs` epochs, until `patience` of them brought nothing, with a
    new `optimizer(keras, steps)`."""

    optimizer: Callable[[Any, int], Any]
    epochs: int
    patience: int | None = None


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a model is trained.

    `build(keras, shape, classes)` gives an uncompiled Keras model from images `(height, width, channels)`
    whose pixels were brought to `input_range`, to `classes` probabilities or logits. Where an image may have
    several labels it ends in a sigmoid for each, and for two classes it may end in one sigmoid, how likely
    the second is; or in what comes before the sigmoid. A recipe with `any_head` is told: it is called with
    the number of scores (1 for two classes) and `activation`, which is `softmax` or `sigmoid`. A recipe with
    `weights` starts from what someone else has trained; it is called as `build(keras, shape, classes,
    weights)`. `optimizer(keras, steps)` gives a new optimizer for a training of `steps` batches.

    `data` is the data set if the user names no other, and `shape` what pictures of a folder are brought to
    unless the user says otherwise; with `at_most` those that have less, of size or colour, are left at that.
    `loss` is `sparse_categorical_crossentropy`, or `categorical_crossentropy` for one-hot labels; sigmoids
    are always trained by binary cross-entropy. `balanced` has classes of uneven size count the same in it.
    `augment(images, random)` changes a batch of raw pixels before it is learnt from; it is no part of the
    model.

    Training stops when the validation loss has not improved for `patience` epochs (None: never); the weights
    of the epoch with the lowest validation loss are kept. With `tuning` it goes on from these with the base
    unfrozen, and only that part augments.
    """

    summary: str
    build: Callable[..., Any]
    optimizer: Callable[[Any, int], Any]
    epochs: int
    batch_size: int
    data: str | None = None
    shape: tuple[int, int, int] | None = None
    patience: int | None = None
    loss: str = "sparse_categorical_crossentropy"
    augment: Callable[[Images, np.random.Generator], Images] | None = None
    validation: float = 0.1
    input_range: tuple[float, float] = (0.0, 1.0)
    weights: Weights | None = None
    tuning: Tuning | None = None
    at_most: bool = False
    any_head: bool = False
    balanced: bool = False

    def starting_from(self, name: str, base: str | None, source: str | None) -> Recipe:
        """This recipe with another base or source of weights, where one is given.

        Args:
            name: of the recipe, for messages.
            base: one of `edgewright.train.pretrained.BASES`.
            source: `imagenet`, `none` or the path of a Keras weights file of the base.

        Raises:
            InputError: there is no such base or file, or the recipe leaves no choice.
        """
        weights, input_range = self.weights, self.input_range
        if source is not None:
            if weights is None:
                raise InputError(f"{name} starts from random weights of its own; leave out --weights")
            weights = dataclasses.replace(weights, source=source)
        if base is not None:
            if weights is None or not weights.base:
                raise InputError(f"{name} has a network of its own; leave out --base, or train photos")
            weights = weights.of(base)
            input_range = BASES[weights.base].input_range
        if weights is not None:
            weights.check()
        return dataclasses.replace(self, weights=weights, input_range=input_range)


def names() -> tuple[str, ...]:
    return plugins.names(_RECIPES)


def get(name: str) -> Recipe:
    """Raises `UnknownNameError`."""
    recipe: Recipe = plugins.get(_RECIPES, name, "RECIPE")
    return recipe


def named(name: str) -> Recipe:
    """The recipe that a checkpoint names: one of the project's, or your own as `package.module:name`, a
    `Recipe` or a function `build(keras, shape, classes)`.

    Raises:
        UnknownNameError, InputError: there is none.
    """
    return of_model(name) if ":" in name else get(name)


def where_it_failed(failure: Exception) -> str:
    """One line about what someone else's code raised, with the place."""
    last = traceback.extract_tb(failure.__traceback__)[-1]
    reason = " ".join(str(failure).split())[:300]
    return f"{type(failure).__name__}: {reason} ({last.filename}, line {last.lineno})"


def of_model(text: str) -> Recipe:
    """The recipe that `package.module:name` names, looked for in the working folder too.

    `name` is a `Recipe`, or a function `build(keras, shape, classes)`, which is then trained as most
    small networks are: Adam, batches of 32, until five epochs brought nothing, at most 50. Its data set
    and the size of pictures in class folders have to be given.

    Raises:
        InputError: no such module or name, or one that is something else.
    """
    if not re.fullmatch(r"[\w.]+:\w+", text):
        raise InputError(f"expected a model such as package.module:build, got '{text}'")
    module_name, name = text.split(":")
    sys.path.append(str(Path.cwd()))  # last: a file here shadows nothing that is installed
    try:
        found = getattr(importlib.import_module(module_name), name)
    except Exception as failure:  # the module is someone else's code
        raise InputError(f"cannot import {text}: {where_it_failed(failure)}") from failure
    if isinstance(found, Recipe):
        return found
    if not callable(found):
        raise InputError(
            f"expected {text} to be a Recipe or a function build(keras, shape, classes), "
            f"got a {type(found).__name__}"
        )
    return of_build(found)


def of_build(build: Callable[..., Any]) -> Recipe:
    """How most small networks are trained: see `of_model`."""
    return Recipe(
        summary="Adam, stops when five epochs brought nothing",
        build=build,
        optimizer=lambda keras, _: keras.optimizers.Adam(),
        epochs=50,
        batch_size=32,
        patience=5,
    )
