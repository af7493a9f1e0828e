"""A pool of pictures without labels, beside the labelled test images: a folder, a .zip or an .npz."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgewright.export.source.images import MOST_PICTURES
from edgewright.runtime import pictures
from edgewright.runtime.console import Progress
from edgewright.runtime.contract import InputContract
from edgewright.runtime.errors import DataError, ImageError
from edgewright.runtime.machine.threads import cores
from edgewright.runtime.preprocess import to_pixels
from edgewright.train.datasets import Images, duplicates
from edgewright.train.datasets.part import open_part

_ARRAYS = (("x", "y"), ("x_test", "y_test"))
_NAMED = 3  # pictures that cannot be decoded


def read(
    path: Path,
    contract: InputContract,
    known: Sequence[Images],
    trained_on: Images | None,
    seed: int,
    progress: Progress,
) -> tuple[Images, tuple[str, ...]]:
    """The pictures at `path` that tell something new, at most `MOST_PICTURES` of them.

    Args:
        path: a folder of pictures, a .zip of them, or an .npz with `x` as raw pixels of the contract's size.
        contract: what pictures are brought to.
        known: images that the pool may not show again, those of the test among them.
        trained_on: the training images, None where they are not known.
        seed: draws the pictures where there are too many.

    Returns:
        uint8 `(n, height, width, channels)`, and a line on each kind that was left out: what cannot be
        decoded, and what shows the same as a known picture or one that comes earlier in the pool.

    Raises:
        DataError: there are none, or the archive is not one to be opened.
    """
    found, left_out = _decoded(path, contract, seed, progress)
    first = _first_shown((*([] if trained_on is None else [trained_on]), *known), found, progress)
    if trained_on is not None and len(trained_on) + len(found) > duplicates.MOST:
        # too many to be compared but to the pixel: then at least without those of the training
        first &= _first_shown(known, found, progress)
    if again := int((~first).sum()):
        left_out.append(
            f"{again:,} pictures of {path} that show what the test, training or others of it show"
        )
    if not first.any():
        raise DataError(
            f"expected pictures in {path} that are not among those of test and training, got none"
        )
    return found[first], tuple(left_out)


def _first_shown(known: Sequence[Images], pool: Images, progress: Progress) -> NDArray[np.bool_]:
    """Which pictures of the pool are the first that show what they show."""
    groups = duplicates.find((*known, pool), progress).near
    places = np.arange(len(groups))
    first: NDArray[np.bool_] = (groups == places)[len(groups) - len(pool) :]
    return first


def _decoded(path: Path, contract: InputContract, seed: int, progress: Progress) -> tuple[Images, list[str]]:
    if path.suffix.lower() == ".npz":
        part = open_part(path, contract, _ARRAYS, progress, labelled=False)
        return part.take(_drawn(part.count, seed)), _beyond(part.count, path)
    if not path.is_dir() and (path.suffix.lower() != ".zip" or not path.is_file()):
        raise DataError(f"expected a folder, a .zip or an .npz of pictures for --pool, got {path}")
    found = list(pictures.find([str(path)]))
    if found[0].name == str(path):  # stands for what is wrong with it
        try:
            found[0].read()
        except ImageError as failure:
            raise DataError(str(failure)) from failure
    chosen = [found[i] for i in _drawn(len(found), seed)]
    images = np.zeros((len(chosen), *contract.shape), np.uint8)
    damaged = np.zeros(len(chosen), np.bool_)
    with ThreadPoolExecutor(cores()) as threads:
        for i, image in enumerate(threads.map(_reader(contract), chosen)):
            damaged[i] = image is None
            if image is not None:
                images[i] = image[0]
            progress("reading the pool", i + 1, len(chosen))
    left_out = _beyond(len(found), path)
    if damaged.any():
        names = ", ".join(chosen[i].name for i in np.flatnonzero(damaged)[:_NAMED])
        left_out.append(f"{damaged.sum():,} pictures of the pool that cannot be decoded: {names}")
    if damaged.all():
        raise DataError(f"expected pictures in {path}, got none that can be decoded")
    return images[~damaged], left_out


def _reader(contract: InputContract) -> Callable[[pictures.Picture], Images | None]:
    def read_one(picture: pictures.Picture) -> Images | None:
        try:
            return to_pixels(picture.read(), contract)
        except ImageError:
            return None

    return read_one


def _drawn(count: int, seed: int) -> NDArray[np.intp]:
    return np.sort(np.random.default_rng(seed).permutation(count)[:MOST_PICTURES])


def _beyond(count: int, path: Path) -> list[str]:
    if count <= MOST_PICTURES:
        return []
    return [
        f"{count - MOST_PICTURES:,} of {count:,} pictures of {path}, as {MOST_PICTURES:,} are taken at most"
    ]
