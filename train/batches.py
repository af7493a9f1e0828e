"""Training batches that depend on seed, epoch and nothing else, so that a resumed run repeats them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewright.train.checkpoint import scale
from edgewright.train.datasets import Images, Labels
from edgewright.train.recipe import Recipe


def batches(
    keras: Any,
    recipe: Recipe,
    images: Images,
    labels: Labels,
    classes: int,
    seed: int,
    first_epoch: int,
) -> Any:
    """A `keras.utils.PyDataset` of (scaled images, labels as the recipe's loss wants them).

    Args:
        images, labels: raw uint8 `(n, height, width, channels)` and class numbers `(n,)`.
        seed, first_epoch: the order and the changes of epoch `e` follow from `(seed, e)`.
    """
    count = -(-len(images) // recipe.batch_size)
    encode = targets(recipe, classes)

    class Batches(keras.utils.PyDataset):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(workers=1)
            self._start(first_epoch)

        def _start(self, epoch: int) -> None:
            self._epoch = epoch
            self._order = np.random.default_rng((seed, epoch)).permutation(len(images))

        def __len__(self) -> int:
            return count

        def __getitem__(self, index: int) -> tuple[NDArray[np.float32], NDArray[Any]]:
            chosen = self._order[index * recipe.batch_size : (index + 1) * recipe.batch_size]
            batch = images[chosen]
            if recipe.augment is not None:
                batch = recipe.augment(batch, np.random.default_rng((seed, self._epoch, index)))
            return scale(batch, recipe.input_range), encode(labels[chosen])

        def on_epoch_end(self) -> None:
            self._start(self._epoch + 1)

    return Batches()


def targets(recipe: Recipe, classes: int) -> Callable[[Labels], NDArray[Any]]:
    """Class numbers as they are, or one-hot rows, as the recipe's loss takes them."""
    if recipe.loss == "categorical_crossentropy":
        return lambda labels: np.eye(classes, dtype=np.float32)[labels]
    return lambda labels: labels
