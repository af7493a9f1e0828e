"""What a report shows of the judging (`edgewright.runtime.bundle.evidence`): few images, no scores of all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgewright.export.proof.figures import Truth, probabilities
from edgewright.runtime.backends import Scores
from edgewright.runtime.bundle import arrays as bundle_arrays
from edgewright.runtime.bundle.evidence import (
    CLASSES,
    IMAGES,
    MAX_SIDE,
    MAX_WORST,
    PROBABILITIES,
    TRUTH,
    WORST,
    read_evidence,
)
from edgewright.runtime.bundle.manifest import Bundle
from edgewright.runtime.contract.heads import Head
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
    head: Head, reference: Scores, scores: Scores, truth: Truth | None, places: NDArray[np.intp]
) -> Judged | None:
    """What to keep of one variant; nothing of embeddings, and of several labels no disagreements.

    The worst disagreements are those where Keras' best class leads its second best by most.

    Args:
        head: what the scores are.
        reference, scores: float32 `(images, scores)` of Keras and the variant.
        truth: as `edgewright.export.proof.gate.judge` takes it.
        places: which test images these are.
    """
    if head.is_embedding:
        return None
    keras, variant = head.decisions(reference), head.decisions(scores)
    truth = keras if truth is None else truth
    right, kept = keras == truth, variant == truth
    groups = (np.ones_like(right), right, right & ~kept, kept & ~right)
    if head.is_multi_label:
        none = np.empty(0, np.intp)
        return Judged(
            classes=np.stack([group.sum(axis=0) for group in groups]).astype(np.int32),
            places=none,
            tops=none.reshape(0, 2),
            probabilities=np.empty((0, 2, 2), np.float32),
        )
    differing = np.flatnonzero(keras != variant)
    chances = probabilities(head, reference[differing])
    second, best = np.sort(chances, axis=1)[:, -2:].T
    order = np.argsort(second - best, kind="stable")[:MAX_WORST]
    picked = differing[order]
    tops = np.stack([keras[picked], variant[picked]], axis=1)
    of_variant = probabilities(head, scores[picked])
    return Judged(
        classes=np.stack([np.bincount(truth[group], minlength=head.labels) for group in groups]).astype(
            np.int32
        ),
        places=places[picked],
        tops=tops,
        probabilities=np.stack(
            [np.take_along_axis(chances[order], tops, 1), np.take_along_axis(of_variant, tops, 1)], axis=1
        ).astype(np.float32),
    )


def write(path: Path, judged: Sequence[Judged], test: Images, truth: Truth) -> None:
    """Write what was kept of each variant of the manifest, in its order.

    Args:
        test, truth: all test images, uint8 `(n, height, width, channels)`, and their classes, or labels.
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
        TRUTH: truth[shown].astype(np.int32).reshape(-1),  # none are shown of several labels
        CLASSES: np.stack([variant.classes for variant in judged]),
        WORST: np.concatenate(worst).astype(np.int32),
        PROBABILITIES: np.concatenate([variant.probabilities for variant in judged]),
    }
    np.savez_compressed(path, allow_pickle=False, **arrays)


def select(bundle: Bundle, path: Path, chosen: Sequence[int]) -> None:
    """Write what was kept of the `chosen` variants of a bundle's manifest, in that order.

    Raises:
        BundleError: its evidence is damaged.
    """
    assert bundle.manifest.evidence is not None
    read_evidence(bundle)  # checks it
    _, found = bundle_arrays.read(bundle, bundle.manifest.evidence)
    owners = found[WORST][:, 0]
    rows = np.concatenate([np.flatnonzero(owners == number) for number in chosen])
    worst = found[WORST][rows]
    worst[:, 0] = [list(chosen).index(owner) for owner in worst[:, 0]]
    shown, worst[:, 1] = np.unique(worst[:, 1], return_inverse=True)
    arrays = {
        IMAGES: found[IMAGES][shown],
        TRUTH: found[TRUTH][shown],
        CLASSES: found[CLASSES][list(chosen)],
        WORST: worst,
        PROBABILITIES: found[PROBABILITIES][rows],
    }
    np.savez_compressed(path, allow_pickle=False, **arrays)


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
