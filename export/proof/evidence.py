"""What a report shows of the judging (`edgewright.runtime.bundle.evidence`): few images, no scores of all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgewright.runtime.backends import Scores
from edgewright.runtime.bundle.evidence import (
    CLASSES,
    IMAGES,
    MAX_SIDE,
    MAX_WORST,
    PROBABILITIES,
    TRUTH,
    WORST,
)
from edgewright.train.datasets import Images


@dataclass(frozen=True, kw_only=True)
class Judged:
    """Of one variant: `classes` int32 `(4, classes)`, and its worst disagreements, at most `MAX_WORST`:
    the test images' places, both top classes `(n, 2)`, and probabilities `(n, 2, 2)`."""

    classes: NDArray[np.int32]
    places: NDArray[np.intp]
    tops: NDArray[np.intp]
    probabilities: NDArray[np.float32]


def look(
    reference: Scores, scores: Scores, labels: NDArray[np.int64], places: NDArray[np.intp], head: str
) -> Judged:
    """What to keep of one variant.

    The worst disagreements are those where Keras' best class leads its second best by most.

    Args:
        reference, scores: float32 `(images, classes)` of Keras and the variant.
        labels: the true classes `(images,)`.
        places: which test images these are.
        head: what kind of scores they are, as in the contract.
    """
    count = reference.shape[1]
    keras, variant = reference.argmax(1), scores.argmax(1)
    right, kept = keras == labels, variant == labels
    groups = (np.ones_like(right), right, right & ~kept, kept & ~right)
    differing = np.flatnonzero(keras != variant)
    chances = _probabilities(reference[differing], head)
    second, best = np.sort(chances, axis=1)[:, -2:].T
    order = np.argsort(second - best, kind="stable")[:MAX_WORST]
    picked = differing[order]
    tops = np.stack([keras[picked], variant[picked]], axis=1)
    of_variant = _probabilities(scores[picked], head)
    return Judged(
        classes=np.stack([np.bincount(labels[group], minlength=count) for group in groups]).astype(np.int32),
        places=places[picked],
        tops=tops,
        probabilities=np.stack(
            [np.take_along_axis(chances[order], tops, 1), np.take_along_axis(of_variant, tops, 1)], axis=1
        ).astype(np.float32),
    )


def write(path: Path, judged: Sequence[Judged], test: Images, truth: NDArray[Any]) -> None:
    """Write what was kept of each variant of the manifest, in its order.

    Args:
        test, truth: all test images, uint8 `(n, height, width, channels)`, and their classes.
    """
    shown = np.unique(np.concatenate([variant.places for variant in judged]))
    worst = [
        np.column_stack(
            [np.full(len(variant.places), i), np.searchsorted(shown, variant.places), variant.tops]
        )
        for i, variant in enumerate(judged)
    ]
    arrays = {
        IMAGES: _small(test[shown]),
        TRUTH: truth[shown].astype(np.int32),
        CLASSES: np.stack([variant.classes for variant in judged]),
        WORST: np.concatenate(worst).astype(np.int32),
        PROBABILITIES: np.concatenate([variant.probabilities for variant in judged]),
    }
    np.savez_compressed(path, allow_pickle=False, **arrays)


def _probabilities(scores: Scores, head: str) -> Scores:
    if head == "softmax":
        return np.clip(scores, 0, 1)  # the quantized zero of an 8-bit file may lie a little below
    powers: Scores = np.exp(scores - scores.max(axis=1, keepdims=True))
    shares: Scores = powers / powers.sum(axis=1, keepdims=True)
    return shares


def _small(images: Images) -> Images:
    """The images, scaled down where a side is longer than `MAX_SIDE`."""
    height, width, channels = images.shape[1:]
    if max(height, width) <= MAX_SIDE:
        return images
    factor = MAX_SIDE / max(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    mode = "L" if channels == 1 else "RGB"
    small = [
        np.asarray(
            Image.fromarray(image.reshape(image.shape[: 2 if channels == 1 else 3]), mode).resize(size)
        )
        for image in images
    ]
    return np.stack(small).reshape(-1, size[1], size[0], channels) if small else images[:, :1, :1]
