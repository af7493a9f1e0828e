"""Which images are held out: stratified, seeded, and never one of two that show the same."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewright.runtime.errors import MissingExtraError


def hold_out(
    labels: NDArray[Any], share: float, seed: int, groups: NDArray[np.intp] | None = None
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Indices of the images that stay and of those held out, each rising.

    Args:
        labels: class numbers `(n,)`, or bool `(n, labels)` where an image may have several: then its
            rarest label is what is stratified by.
        share: of the images, to hold out.
        seed: holds out the same again.
        groups: images of one number `(n,)` show the same, and stay or go together.

    Raises:
        ValueError: too few images of a class.
        MissingExtraError: no scikit-learn.
    """
    try:
        from sklearn.model_selection import train_test_split
    except ImportError as failure:
        raise MissingExtraError("scikit-learn, which splits data sets,", "train") from failure
    count = len(labels)
    firsts = np.arange(count) if groups is None else np.sort(np.unique(groups, return_index=True)[1])
    strata = labels[firsts] if labels.ndim == 1 else _strata(labels[firsts], share)
    stay, go = train_test_split(firsts, test_size=share, random_state=seed, stratify=strata)
    if groups is not None:
        gone = np.isin(groups, groups[go])
        return np.flatnonzero(~gone), np.flatnonzero(gone)
    return np.sort(stay), np.sort(go)


def _strata(flags: NDArray[np.bool_], share: float) -> NDArray[np.intp]:
    """A number an image: its rarest label, or that it has none; rare strata are one."""
    often = flags.sum(axis=0)
    cost = np.where(flags, often, len(flags) + 1)
    strata = np.where(flags.any(axis=1), cost.argmin(axis=1), flags.shape[1])
    numbers, place, counts = np.unique(strata, return_inverse=True, return_counts=True)
    least = max(2, round(1 / min(share, 1 - share)))  # of which at least one is held out, and one stays
    strata = np.where(counts[place] < least, -1, strata)
    return strata if np.count_nonzero(strata == -1) != 1 else np.where(strata == -1, numbers[-1], strata)
