"""Which images calibrate: from the training split only, equally many a class, seeded."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgewright.export.proof.golden import in_turn
from edgewright.runtime.errors import DataError, InputError
from edgewright.train.checkpoint import split
from edgewright.train.datasets import Dataset, Images


def choose(dataset: Dataset, validation: float, split_seed: int, size: int, seed: int) -> NDArray[np.intp]:
    """Indices into `dataset.x_train` of `size` images (fewer if there are fewer), in random order.

    Args:
        dataset: the data the model was trained on.
        validation, split_seed: the split it was trained with; images held out then are not drawn.
        size: how many; each class gives its share, a small class all it has. Images of several labels are
            drawn without regard to these.
        seed: draws the same images again.

    Raises:
        InputError: `size` below the number of classes.
    """
    classes = len(dataset.labels)
    if size < classes:
        raise InputError(f"expected at least {classes} calibration images, one a class, got {size}")
    candidates, _ = split(dataset.y_train, validation, split_seed, dataset.groups)
    labels = None if dataset.is_multi_label else dataset.y_train[candidates]
    return draw(candidates, labels, size, seed)


def draw(
    candidates: NDArray[np.intp], labels: NDArray[np.int64] | None, size: int, seed: int
) -> NDArray[np.intp]:
    """`size` of the candidates (fewer if there are fewer), equally many a class where labels are known.

    Raises:
        DataError: all of one class, whose ranges are not those of the others.
    """
    if labels is not None and len(found := np.unique(labels)) == 1:
        raise DataError(
            f"expected calibration images of all classes, got {len(labels):,} of class {found[0]} alone; add "
            "some of the others"
        )
    random = np.random.default_rng(seed)
    order = random.permutation(len(candidates))
    chosen = order if labels is None else order[in_turn(labels[order])]
    return random.permutation(candidates[chosen[:size]])


def refuse_overlap(calibration: Images, test: Images) -> None:
    """Refuse test images that also calibrate: the proof would be taken on what the file was fitted to.

    Raises:
        DataError: with how many and which comes first.
    """
    known = {image.tobytes() for image in calibration}
    both = [i for i, image in enumerate(test) if image.tobytes() in known]
    if both:
        raise DataError(
            f"expected test images that do not occur in calibration, got {len(both)} of {len(test):,} "
            f"that do (the first is test image {both[0]}); take them out of the training data or draw "
            "others with --seed"
        )
