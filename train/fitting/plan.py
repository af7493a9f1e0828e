"""The parts of a training: all of it, or first the last layers and then all layers but BatchNormalization.

Which part is at hand follows from the losses so far alone, so a resumed run needs no other note of it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewright.train.datasets import Labels
from edgewright.train.pretrained import NONE
from edgewright.train.recipe import Recipe

_UNEVEN = 1.5  # times as many images of the largest class as of the smallest
_KEPT_FROZEN = "BatchNormalization"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """`parts`: a recipe each, whose epochs are the most of that part."""

    parts: tuple[Recipe, ...]

    @staticmethod
    def of(recipe: Recipe, epochs: int | None) -> Plan:
        """The parts of a recipe, two where it tunes a base that knows something already; then `epochs` are
        shared between them as its own are."""
        tuning = recipe.tuning
        if tuning is None or (recipe.weights is not None and recipe.weights.source == NONE):
            return Plan(parts=(dataclasses.replace(recipe, epochs=epochs or recipe.epochs),))
        most = recipe.epochs + tuning.epochs
        share = most if epochs is None else epochs
        first = max(1, min(share - 1, round(share * recipe.epochs / most)))
        second = share - first
        frozen = dataclasses.replace(recipe, epochs=first, augment=None)
        tuned = dataclasses.replace(
            recipe, epochs=second, optimizer=tuning.optimizer, patience=tuning.patience
        )
        return Plan(parts=(frozen, tuned) if second else (frozen,))

    @property
    def epochs(self) -> int:
        return sum(part.epochs for part in self.parts)

    def place(self, losses: Sequence[float]) -> tuple[int, int] | None:
        """The part at hand after epochs of such validation losses, and the epochs before it began; None
        after the last."""
        start = 0
        for index, part in enumerate(self.parts):
            end = next((n for n in range(start, len(losses) + 1) if _ends(part, start, losses[:n])), None)
            if end is None:
                return index, start
            start = end
        return None


def _ends(part: Recipe, start: int, losses: Sequence[float]) -> bool:
    done = len(losses) - start
    if done >= part.epochs:
        return True
    best = int(np.argmin(losses)) + 1 if losses else 0
    return part.patience is not None and done > 0 and len(losses) - max(best, start) >= part.patience


def unfreeze(model: Any) -> None:
    """Have all layers of a model learn but BatchNormalization, whose statistics few pictures would spoil."""
    for layer in model._flatten_layers():
        layer.trainable = True
    for layer in model._flatten_layers():
        if type(layer).__name__ == _KEPT_FROZEN:
            layer.trainable = False


def balance(labels: Labels, classes: int) -> NDArray[np.float32] | None:
    """Weights of images `(n,)`, of mean 1, by which each class counts the same; None where none are needed,
    or where an image may have several labels."""
    if labels.ndim == 2:
        return None
    counts = np.bincount(labels, minlength=classes)
    if counts.max() <= _UNEVEN * counts.min():
        return None
    weights: NDArray[np.float32] = (len(labels) / (classes * np.maximum(counts, 1))).astype(np.float32)
    return weights[labels]
