"""Writes a trained model in two formats, and sees that both predict what it does in memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from edgewright.runtime.backends import Scores
from edgewright.runtime.disk import files
from edgewright.runtime.errors import EdgewrightError
from edgewright.train.checkpoint import MODEL, MODEL_H5, scale
from edgewright.train.datasets import Images
from edgewright.train.fitting import features
from edgewright.train.fitting.heads import scorer

SAVED_TOLERANCE = 1e-6  # a saved model gives the scores of the one in memory
_COMPARED = 256


def bytes_of(model: Any, others: Sequence[Any] = ()) -> int:
    """What an HDF5 file of the variables of a model, and of others, takes at most, with its config."""
    variables = [*model.variables, *others]
    stored = sum(math.prod(variable.shape) * np.dtype(variable.dtype).itemsize for variable in variables)
    return int(stored) * 11 // 10 + 2**14 * len(variables) + 2**20


def save(
    keras: Any,
    model: Any,
    folder: Path,
    images: Images,
    input_range: tuple[float, float],
    expected: Scores,
) -> None:
    """Write both formats and see that what they load as predicts what the model in memory does.

    Args:
        images: raw pixels to compare on, the first of them.
        expected: the scores they had in training, which a model with a frozen base gives as closely as the
            base's features are.

    Raises:
        EdgewrightError: the models part.
    """
    few = images[:_COMPARED]
    prepare = partial(scale, input_range=input_range)
    whole = scorer(model, prepare)(few)
    if not (error := np.abs(whole - expected[: len(few)]).max()) <= features.TOLERANCE:
        raise EdgewrightError(
            f"expected the whole model to predict as its trained part, got scores {error:.2g} apart"
        )
    for name in (MODEL, MODEL_H5):
        files.reserve(folder, bytes_of(model))
        model.save(folder / name)
        loaded = keras.saving.load_model(folder / name, compile=False, safe_mode=True)
        error = np.abs(scorer(loaded, prepare)(few) - whole).max()
        if not error <= SAVED_TOLERANCE:
            raise EdgewrightError(
                f"expected {name} to predict what the model in memory does, got scores {error:.2g} apart"
            )
