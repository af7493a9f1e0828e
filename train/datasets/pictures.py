"""Pictures in files as a data set: decoded, split where nobody has, and what is known of their files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewright.runtime.console import Progress
from edgewright.runtime.contract import InputContract
from edgewright.runtime.errors import DataError
from edgewright.train.datasets import decoding, duplicates
from edgewright.train.datasets.arrays import Labels
from edgewright.train.datasets.decoding import Size, Survey
from edgewright.train.datasets.duplicates import Duplicates
from edgewright.train.datasets.listing import Listing, first_few
from edgewright.train.datasets.splitting import hold_out

TEST_SHARE = 0.2


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where the images of a data set come from.

    `train` and `test` are the names of their files; `sizes` their width and height, int64 `(n, 2)`, and
    `duplicates` which of them show the same, both of the training pictures and then those of the test;
    `survey` is of all files.
    """

    train: tuple[str, ...]
    test: tuple[str, ...]
    sizes: NDArray[np.int64]
    duplicates: Duplicates
    survey: Survey


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """The arrays `x_train`, `y_train`, `x_test`, `y_test`, the labels, and a line for all that was left
    out."""

    arrays: Mapping[str, NDArray[Any]]
    labels: tuple[str, ...]
    left_out: tuple[str, ...]
    origin: Origin


def read(
    listed: Listing, size: InputContract | Size, progress: Progress, *, seed: int, skip_bad: bool
) -> Pictures:
    """Decode and split what was listed.

    Args:
        size: what the pictures are brought to, or the most that they are.
        progress: is told how far the reading is.
        seed: of the split, where there is none; pictures that show the same stay together.
        skip_bad: leave damaged pictures out, with a line each in `left_out`, instead of refusing them.

    Raises:
        DataError: a damaged picture, or a class of which too few are left.
    """
    survey = decoding.survey(listed.files, progress)
    contract = size if isinstance(size, InputContract) else survey.contract(size)
    pixels, damaged = decoding.decode(listed.files, contract, progress)
    if not skip_bad:
        decoding.refuse(damaged, listed.files, "--skip-bad leaves such pictures out")
    whole = np.array([i not in damaged for i in range(len(listed.files))])
    alike = duplicates.find([pixels], progress)
    # a damaged picture shows nothing, and none of the same as another
    groups = np.where(whole, alike.near, np.arange(len(whole)))
    is_test = _split(listed, groups, seed) if listed.is_test is None else listed.is_test
    parts = {part: np.flatnonzero(whole & (is_test == (part == "test"))) for part in ("train", "test")}
    y, labels, gone = _without_empty(listed, parts, skip_bad)
    order = np.concatenate(list(parts.values()))
    arrays = {f"x_{part}": pixels[chosen] for part, chosen in parts.items()}
    arrays |= {f"y_{part}": y[chosen] for part, chosen in parts.items()}
    names = {part: tuple(listed.name(int(i)) for i in chosen) for part, chosen in parts.items()}
    return Pictures(
        arrays=arrays,
        labels=labels,
        left_out=(*listed.left_out, *map(str, damaged.values()), *gone),
        origin=Origin(
            train=names["train"],
            test=names["test"],
            sizes=survey.sizes[order],
            duplicates=Duplicates(
                exact=_renumbered(alike.exact[order]),
                near=_renumbered(alike.near[order]),
            ),
            survey=survey,
        ),
    )


def _split(listed: Listing, groups: NDArray[np.intp], seed: int) -> NDArray[np.bool_]:
    try:
        _, test = hold_out(listed.y, TEST_SHARE, seed, groups)
    except ValueError as failure:
        raise DataError(f"cannot hold out test pictures of {listed.root}: {failure}") from failure
    is_test = np.zeros(len(groups), np.bool_)
    is_test[test] = True
    return is_test


def _without_empty(
    listed: Listing, parts: dict[str, NDArray[np.intp]], skip_bad: bool
) -> tuple[Labels, tuple[str, ...], list[str]]:
    """Labels, their names, and lines about classes that lost all readable pictures of a part; these leave."""
    for part, chosen in parts.items():
        if not len(chosen):
            raise DataError(f"expected readable pictures for {part} in {listed.root}, got none")
    if listed.y.ndim == 2:
        return listed.y, listed.labels, []
    seen = [np.isin(np.arange(len(listed.labels)), listed.y[chosen]) for chosen in parts.values()]
    kept = seen[0] & seen[1]
    gone = [label for label, stays in zip(listed.labels, kept, strict=True) if not stays]
    if not gone:
        return listed.y, listed.labels, []
    where = f"of which there are no readable pictures for both train and test in {listed.root}"
    if not skip_bad or kept.sum() < 2:
        raise DataError(
            f"expected readable pictures of every class for train and test, got '{first_few(gone)}', {where}"
        )
    for part, chosen in parts.items():
        parts[part] = chosen[kept[listed.y[chosen]]]
    numbers = np.cumsum(kept) - 1
    labels = tuple(label for label, stays in zip(listed.labels, kept, strict=True) if stays)
    return numbers[listed.y], labels, [f"class '{label}', {where}" for label in gone]


def _renumbered(groups: NDArray[np.intp]) -> NDArray[np.intp]:
    """The same groups, each named by the first place in which it stands."""
    _, first, place = np.unique(groups, return_index=True, return_inverse=True)
    return first[place]
