"""What is wrong with the images of a data set, in lines for a person, before anything is trained on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgewright.runtime.console import Progress, silent
from edgewright.train.datasets import Dataset, duplicates
from edgewright.train.datasets.listing import first_few

TINY = 16  # pixels: shorter sides show nothing that could be learnt
_SHOWN = 3

Pairs = tuple[tuple[str, str], ...]  # names of an image and of the first that shows the same


@dataclass(frozen=True, kw_only=True)
class Hygiene:
    """`tiny`: names of pictures with a side below `TINY` pixels, where sizes are known. `repeated`: images
    that occur before in their part. `contradicted`: those among all that have another label than the first.
    `leaking`: test images that are in training too, `leaking_exactly` of them to the pixel."""

    tiny: tuple[str, ...]
    repeated: Pairs
    contradicted: Pairs
    leaking: Pairs
    leaking_exactly: int
    tests: int

    @property
    def lines(self) -> list[str]:
        """A line for each kind of fault that there is; the leak is last."""
        found = []
        if self.tiny:
            tiny = first_few(self.tiny, _SHOWN)
            found.append(f"{_count(self.tiny, 'picture')} with a side below {TINY} pixels: {tiny}")
        if self.repeated:
            found.append(
                f"{_count(self.repeated, 'duplicate')} within training or test: {_pairs(self.repeated)}"
            )
        if self.contradicted:
            found.append(
                f"{_count(self.contradicted, 'duplicate')} with another label: {_pairs(self.contradicted)}"
            )
        if self.leaking:
            exactly = f"{self.leaking_exactly:,} to the pixel, the others in another size, quality or tint"
            found.append(
                f"LEAK: {len(self.leaking):,} of {self.tests:,} test images are in training too ({exactly}), "
                f"so the test accuracy says too much; take them out of one: {_pairs(self.leaking)}"
            )
        return found


def examine(dataset: Dataset, progress: Progress = silent) -> Hygiene:
    """Look for what would spoil a training or its test."""
    origin, first_test = dataset.origin, len(dataset.x_train)
    if origin is not None:
        found, names = origin.duplicates, [*origin.train, *origin.test]
        tiny = tuple(names[i] for i in np.flatnonzero(origin.sizes.min(axis=1) < TINY))
    else:
        found, tiny = duplicates.find([dataset.x_train, dataset.x_test], progress), ()
        names = [f"train {i}" for i in range(first_test)] + [f"test {i}" for i in range(len(dataset.x_test))]
    y = np.concatenate([dataset.y_train, dataset.y_test])
    near = found.near
    is_test = np.arange(len(near)) >= first_test
    again = near != np.arange(len(near))
    differs = y != y[near] if y.ndim == 1 else (y != y[near]).any(axis=1)
    in_part = np.full(len(near), -1)
    for part in (~is_test, is_test):  # the first of its group within the part
        places = np.flatnonzero(part)
        _, first, place = np.unique(near[places], return_index=True, return_inverse=True)
        in_part[places] = places[first[place]]
    leaks = is_test & (near < first_test)

    def pairs(chosen: NDArray[np.bool_], of: NDArray[np.intp]) -> Pairs:
        return tuple((names[i], names[of[i]]) for i in np.flatnonzero(chosen))

    return Hygiene(
        tiny=tiny,
        repeated=pairs(in_part != np.arange(len(near)), in_part),
        contradicted=pairs(again & differs, near),
        leaking=pairs(leaks, near),
        leaking_exactly=int(np.count_nonzero(leaks & (found.exact < first_test))),
        tests=len(dataset.x_test),
    )


def _count(found: Sequence[object], what: str) -> str:
    return f"{len(found):,} {what}{'' if len(found) == 1 else 's'}"


def _pairs(found: Pairs) -> str:
    return first_few([f"{name} = {first}" for name, first in found], _SHOWN)
