"""Training batches that depend on seed, epoch and nothing else, so that a resumed run repeats them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewright.runtime.contract.heads import Head
from edgewright.train.datasets import Labels
from edgewright.train.fitting.heads import Prepare, targets
from edgewright.train.recipe import Recipe


def batches(
    keras: Any,
    recipe: Recipe,
    prepare: Prepare,
    examples: NDArray[Any],
    labels: Labels,
    head: Head,
    seed: int,
    first_epoch: int,
    weights: NDArray[np.float32] | None = None,
) -> Any:
    """A `keras.utils.PyDataset` of (prepared examples, labels as the recipe's loss wants them, weights).

    Args:
        prepare: brings a batch of examples, changed by the recipe's `augment`, to what the model takes.
        examples, labels: raw uint8 images `(n, height, width, channels)` or features `(n, …)`, and class
            numbers `(n,)` or flags `(n, labels)`.
        head: what the model ends in.
        weights: of the examples in the loss `(n,)`; without them a batch is a pair.
        seed, first_epoch: the order and the changes of epoch `e` follow from `(seed, e)`.
    """
    count = -(-len(examples) // recipe.batch_size)
    encode = targets(recipe, head)

    class Batches(keras.utils.PyDataset):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(workers=1)
            self._start(first_epoch)

        def _start(self, epoch: int) -> None:
            self._epoch = epoch
            self._order = np.random.default_rng((seed, epoch)).permutation(len(examples))

        def __len__(self) -> int:
            return count

        def __getitem__(self, index: int) -> tuple[NDArray[Any], ...]:
            chosen = self._order[index * recipe.batch_size : (index + 1) * recipe.batch_size]
            batch = examples[chosen]
            if recipe.augment is not None:
                batch = recipe.augment(batch, np.random.default_rng((seed, self._epoch, index)))
            pair = prepare(batch), encode(labels[chosen])
            return pair if weights is None else (*pair, weights[chosen])

        def on_epoch_end(self) -> None:
            self._start(self._epoch + 1)

    return Batches()
