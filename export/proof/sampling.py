"""Which images are taken where not all are: seeded, and the classes in turn."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def in_turn(labels: NDArray[np.int64]) -> NDArray[np.intp]:
    """An order of the images in which the classes take turns: all their first ones, then all second ones."""
    rank = np.empty(len(labels), np.intp)
    for c in np.unique(labels):
        of_class = np.flatnonzero(labels == c)
        rank[of_class] = np.arange(len(of_class))
    return np.argsort(rank, kind="stable")


def drawn(count: int, most: int, seed: int) -> NDArray[np.intp]:
    """The places of `most` images among `count`, in their order, drawn at random. Of fewer images, a part."""
    return np.sort(np.random.default_rng(seed).permutation(count)[:most])
