"""What a recipe is. Each is one file in `recipes/` that sets `RECIPE`; its name is the file's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgewright.runtime import plugins

if TYPE_CHECKING:
    import numpy as np

    from edgewright.train.datasets import Images

_RECIPES = "edgewright.train.recipes"


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a model is trained.

    `build(keras, shape, classes)` gives an uncompiled Keras model from images `(height, width,
    channels)` whose pixels were brought to `input_range`, to `classes` probabilities;
    `optimizer(keras, steps)` a new optimizer for a training of `steps` batches. `shape` is what
    pictures of a folder are brought to. `loss` is `sparse_categorical_crossentropy`, or
    `categorical_crossentropy` for one-hot labels. `augment(images, random)` changes a batch of raw
    pixels before it is learnt from; it is no part of the model.

    Training stops when the validation loss has not improved for `patience` epochs (None: never); the
    weights of the epoch with the lowest validation loss are kept.
    """

    summary: str
    data: str
    build: Callable[[Any, tuple[int, int, int], int], Any]
    optimizer: Callable[[Any, int], Any]
    epochs: int
    batch_size: int
    shape: tuple[int, int, int]
    patience: int | None = None
    loss: str = "sparse_categorical_crossentropy"
    augment: Callable[[Images, np.random.Generator], Images] | None = None
    validation: float = 0.1
    input_range: tuple[float, float] = (0.0, 1.0)


def names() -> tuple[str, ...]:
    return plugins.names(_RECIPES)


def get(name: str) -> Recipe:
    """Raises `UnknownNameError`."""
    recipe: Recipe = plugins.get(_RECIPES, name, "RECIPE")
    return recipe
