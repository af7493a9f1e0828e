"""What a recipe is. Each is one file in `recipes/` that sets `RECIPE`; its name is the file's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edgewright.runtime import plugins

_RECIPES = "edgewright.train.recipes"


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a model is trained.

    `build(keras, shape, classes)` gives an uncompiled Keras model from images `(height, width,
    channels)` whose pixels were brought to `input_range`, to `classes` probabilities or logits;
    `optimizer(keras)` a new optimizer. Training stops when the validation loss has not improved for
    `patience` epochs; the weights of the best epoch are kept.
    """

    summary: str
    data: str
    build: Callable[[Any, tuple[int, int, int], int], Any]
    optimizer: Callable[[Any], Any]
    epochs: int
    batch_size: int
    patience: int
    validation: float = 0.1
    input_range: tuple[float, float] = (0.0, 1.0)


def names() -> tuple[str, ...]:
    return plugins.names(_RECIPES)


def get(name: str) -> Recipe:
    """Raises `UnknownNameError`."""
    recipe: Recipe = plugins.get(_RECIPES, name, "RECIPE")
    return recipe
