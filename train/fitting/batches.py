"""Training batches that depend on seed, epoch and nothing else, so that a resumed run repeats them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewright.train.datasets import Labels
from edgewright.train.recipe import Recipe

Prepare = Callable[[NDArray[Any]], NDArray[np.float32]]  # from what is learnt from to what the model takes


def batches(
    keras: Any,
    recipe: Recipe,
    prepare: Prepare,
    examples: NDArray[Any],
    labels: Labels,
    classes: int,
    seed: int,
    first_epoch: int,
) -> Any:
    """A `keras.utils.PyDataset` of (prepared examples, labels as the recipe's loss wants them).

    Args:
        prepare: brings a batch of examples, changed by the recipe's `augment`, to what the model takes.
        examples, labels: raw uint8 images `(n, height, width, channels)` or features `(n, …)`, and class
            numbers `(n,)`.
        seed, first_epoch: the order and the changes of epoch `e` follow from `(seed, e)`.
    """
    count = -(-len(examples) // recipe.batch_size)
    encode = targets(recipe, classes)

    class Batches(keras.utils.PyDataset):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(workers=1)
            self._start(first_epoch)

        def _start(self, epoch: int) -> None:
            self._epoch = epoch
            self._order = np.random.default_rng((seed, epoch)).permutation(len(examples))

        def __len__(self) -> int:
            return count

        def __getitem__(self, index: int) -> tuple[NDArray[np.float32], NDArray[Any]]:
            chosen = self._order[index * recipe.batch_size : (index + 1) * recipe.batch_size]
            batch = examples[chosen]
            if recipe.augment is not None:
                batch = recipe.augment(batch, np.random.default_rng((seed, self._epoch, index)))
            return prepare(batch), encode(labels[chosen])

        def on_epoch_end(self) -> None:
            self._start(self._epoch + 1)

    return Batches()


def targets(recipe: Recipe, classes: int) -> Callable[[Labels], NDArray[Any]]:
    """Class numbers as they are, or one-hot rows, as the recipe's loss takes them."""
    if recipe.loss == "categorical_crossentropy":
        return lambda labels: np.eye(classes, dtype=np.float32)[labels]
    return lambda labels: labels
