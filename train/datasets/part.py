"""Images for one purpose, to calibrate or to judge, labelled or not: a folder of pictures or an .npz."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewright.runtime.console import Progress, silent
from edgewright.runtime.contract import InputContract
from edgewright.runtime.errors import DataError
from edgewright.train.datasets import Images, Labels, folder


@dataclass(frozen=True, kw_only=True)
class Part:
    """`count` images that are decoded when they are asked for.

    `labels` are their class numbers `(count,)`, or None; `classes` the names of the class folders these
    numbers stand for, or empty where numbers were given.
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
        path: class folders, an .npz, or, where no labels are needed, any folder of pictures.
        contract: what pictures are brought to; arrays must have its size.
        arrays: names of images and class numbers to look for in an .npz, the first pair found counts.
        progress: is told of the pictures that are decoded later.
        labelled: whether labels are needed.

    Raises:
        DataError: missing, damaged, or without labels where they are needed.
    """
    if path.is_dir():
        return _folder(path, contract, labelled, progress)
    if not path.exists():
        raise DataError(f"expected a folder of pictures or an .npz file, got {path}, which does not exist")
    return _npz(path, contract, arrays, labelled)


def _folder(path: Path, contract: InputContract, labelled: bool, progress: Progress) -> Part:
    classes = [entry for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith(".")]
    if labelled or len(classes) > 1:
        files = folder.labelled(path)
    else:
        files = [(picture, "") for picture in folder.pictures(path)]
    names = sorted({label for _, label in files} - {""})
    numbers = {name: i for i, name in enumerate(names)}
    return Part(
        source=path,
        count=len(files),
        labels=np.array([numbers[label] for _, label in files], np.int64) if names else None,
        classes=tuple(names),
        take=lambda chosen: folder.decode([files[i] for i in chosen], contract, progress, skip_bad=None)[0],
    )


def _npz(path: Path, contract: InputContract, arrays: Sequence[tuple[str, str]], labelled: bool) -> Part:
    if not zipfile.is_zipfile(path):
        raise DataError(f"expected a folder of pictures or an .npz file, got {path}")
    wanted = " or ".join(" and ".join(pair[: 1 + labelled]) for pair in arrays)
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            pair = next((p for p in arrays if {*p[: 1 + labelled]} <= {*archive.files}), None)
            if pair is None:
                raise DataError(
                    f"expected arrays {wanted} in {path}, got {', '.join(archive.files) or 'none'}"
                )
            x = archive[pair[0]]
            y = archive[pair[1]] if pair[1] in archive.files else None
    except DataError:
        raise
    except Exception as failure:  # zipfile, zlib and numpy raise much
        raise DataError(f"expected an .npz file of arrays, got {path}: {failure}") from failure
    images = np.ascontiguousarray(x[..., np.newaxis] if x.ndim == 3 else x)
    if images.dtype != np.uint8 or images.shape[1:] != contract.shape or not len(images):
        raise DataError(
            f"expected {pair[0]} of {path} to be raw pixels 0-255, uint8 (n, {contract.height}, "
            f"{contract.width}, {contract.channels}), got {x.dtype} {x.shape}"
        )
    return Part(
        source=path,
        count=len(images),
        labels=None if y is None else _class_numbers(y, len(images), f"{pair[1]} of {path}"),
        classes=(),
        take=lambda chosen: images[chosen],
    )


def _class_numbers(y: NDArray[Any], count: int, where: str) -> Labels:
    numbers = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    if numbers.shape != (count,) or not np.issubdtype(y.dtype, np.integer) or int(numbers.min()) < 0:
        raise DataError(f"expected {where} to be {count} class numbers, got {y.dtype} {y.shape}")
    return numbers.astype(np.int64)
