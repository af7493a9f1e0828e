"""Images for one purpose, to calibrate or to judge, labelled or not: a folder of pictures, a CSV table of
them, or an .npz."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewright.runtime.console import Progress, silent
from edgewright.runtime.contract import InputContract
from edgewright.runtime.disk import outside
from edgewright.runtime.errors import DataError
from edgewright.runtime.pictures import SUFFIXES, table
from edgewright.train.datasets import decoding, listing
from edgewright.train.datasets.arrays import Images, Labels, labels_of
from edgewright.train.datasets.listing import Listing


@dataclass(frozen=True, kw_only=True)
class Part:
    """`count` images that are decoded when they are asked for.

    `labels` are their class numbers int64 `(count,)`, bool `(count, labels)` where an image may have several,
    or None; `classes` what the labels are called, or empty where the source does not say.
    """

    source: Path
    count: int
    labels: Labels | None
    classes: tuple[str, ...]
    take: Callable[[NDArray[np.intp]], Images]

    def all(self) -> Images:
        return self.take(np.arange(self.count))


def open_part(
    path: Path,
    contract: InputContract,
    arrays: Sequence[tuple[str, str]],
    progress: Progress = silent,
    *,
    labelled: bool,
) -> Part:
    """Look at a part without decoding its pictures.

    Args:
        path: class folders, a CSV table, an .npz, or, where no labels are needed, any folder of pictures.
        contract: what pictures are brought to; arrays must have its size.
        arrays: names of images and labels to look for in an .npz, the first pair found counts.
        progress: is told of the pictures that are decoded later.
        labelled: whether labels are needed.

    Raises:
        DataError: missing, damaged, or without labels where they are needed.
    """
    if path.is_dir():
        return _folder(path, contract, labelled, progress)
    if not path.exists():
        raise DataError(f"expected a folder of pictures or an .npz file, got {path}, which does not exist")
    if path.suffix.lower() == table.SUFFIX:
        return _pictures(listing.of_table(path), path, contract, progress)
    return _npz(path, contract, arrays, labelled)


def _folder(path: Path, contract: InputContract, labelled: bool, progress: Progress) -> Part:
    if labelled or len(listing.class_folders(path)) > 1:
        return _pictures(listing.of_folders(path), path, contract, progress)
    found = listing.below(path)
    if not found:
        raise DataError(f"expected pictures ({', '.join(sorted(SUFFIXES))}) in {path}, got none")
    take = _decoder(found, contract, progress)
    return Part(source=path, count=len(found), labels=None, classes=(), take=take)


def _pictures(listed: Listing, path: Path, contract: InputContract, progress: Progress) -> Part:
    take = _decoder(listed.files, contract, progress)
    return Part(source=path, count=len(listed.files), labels=listed.y, classes=listed.labels, take=take)


def _decoder(
    found: Sequence[Path], contract: InputContract, progress: Progress
) -> Callable[[NDArray[np.intp]], Images]:
    def take(chosen: NDArray[np.intp]) -> Images:
        files = [found[i] for i in chosen]
        pixels, damaged = decoding.decode(files, contract, progress)
        decoding.refuse(damaged, files, "take it out")
        return pixels

    return take


def _npz(path: Path, contract: InputContract, arrays: Sequence[tuple[str, str]], labelled: bool) -> Part:
    wanted = " or ".join(" and ".join(pair[: 1 + labelled]) for pair in arrays)
    with outside.arrays(path, DataError, "a folder of pictures or an .npz file") as archive:
        pair = next((p for p in arrays if {*p[: 1 + labelled]} <= {*archive.files}), None)
        if pair is None:
            raise DataError(f"expected arrays {wanted} in {path}, got {', '.join(archive.files) or 'none'}")
        x = archive[pair[0]]
        y = archive[pair[1]] if pair[1] in archive.files else None
        names = archive["labels"].ravel() if "labels" in archive.files else ()
    images = np.ascontiguousarray(x[..., np.newaxis] if x.ndim == 3 else x)
    if images.dtype != np.uint8 or images.shape[1:] != contract.shape or not len(images):
        raise DataError(
            f"expected {pair[0]} of {path} to be raw pixels 0-255, uint8 (n, {contract.height}, "
            f"{contract.width}, {contract.channels}), got {x.dtype} {x.shape}"
        )
    labels = None if y is None else _labels(y, len(images), f"{pair[1]} of {path}")
    several = labels is not None and labels.ndim == 2
    if labels is not None and several and len(names) not in (0, labels.shape[1]):
        raise DataError(
            f"expected {labels.shape[1]} labels in {path}, a column of {pair[1]} each, got {len(names)}"
        )
    return Part(
        source=path,
        count=len(images),
        labels=labels,
        classes=tuple(str(name) for name in names) if several else (),
        take=lambda chosen: images[chosen],
    )


def _labels(y: NDArray[Any], count: int, where: str) -> Labels:
    found = labels_of(y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y, count)
    if found is None:
        raise DataError(
            f"expected {where} to be {count} class numbers, or 0 and 1 ({count}, labels), got {y.dtype} "
            f"{y.shape}"
        )
    return found
