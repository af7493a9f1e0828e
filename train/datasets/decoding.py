"""Pictures of a listing: what sizes and colours they have, and their pixels."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgewright.runtime.console import Progress
from edgewright.runtime.contract import InputContract
from edgewright.runtime.errors import DataError, ImageError
from edgewright.runtime.machine.threads import cores
from edgewright.runtime.preprocess import look, to_pixels
from edgewright.train.datasets.arrays import Images
from edgewright.train.datasets.listing import first_few

_GREY_MODES = ("1", "L", "LA", "I;16", "I;16B", "I;16L", "I", "F")
_SAMPLED = 100  # pictures that are looked at for colour
_COLOURFUL = 24  # levels between the channels of a pixel; chroma noise of grey JPEGs is below


@dataclass(frozen=True, kw_only=True)
class Size:
    """What pictures are to be brought to where they decide it themselves.

    Pictures keep what they have up to `height`, `width` and `channels`: the sides follow from the median
    of their short sides, and grey ones stay grey. `exact_sides` enlarges small pictures to these sides too,
    `exact_channels` gives grey pictures three.
    """

    height: int
    width: int
    channels: int
    exact_sides: bool = False
    exact_channels: bool = False


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What pictures are like, from the heads of their files: `sizes` are width and height, int64 `(n, 2)`,
    zeros where a file is no picture; `has_colour` is from a sample of them."""

    sizes: NDArray[np.int64]
    has_colour: bool

    @property
    def smallest(self) -> tuple[int, int]:
        return self._at(0)

    @property
    def largest(self) -> tuple[int, int]:
        return self._at(-1)

    def _at(self, place: int) -> tuple[int, int]:
        known = self.sizes[self.sizes.all(axis=1)]
        width, height = known[np.argsort(known.prod(axis=1), kind="stable")[place]] if len(known) else (0, 0)
        return int(width), int(height)

    def contract(self, size: Size) -> InputContract:
        """What pictures like these are brought to."""
        sides = self.sizes.min(axis=1)
        short = float(np.median(sides[sides > 0])) if sides.any() else 1.0
        scale = 1.0 if size.exact_sides else min(1.0, short / min(size.height, size.width))
        height, width = (max(1, round(side * scale)) for side in (size.height, size.width))
        channels = size.channels if size.exact_channels or self.has_colour else 1
        return InputContract(height=height, width=width, channels=channels)


def survey(files: Sequence[Path], progress: Progress) -> Survey:
    """Look at the heads of all files, and at the colours of some."""
    sizes = np.zeros((len(files), 2), np.int64)
    coloured: list[Path] = []  # as their mode says
    for done, path in enumerate(files, 1):
        try:
            width, height, mode = look(path)
        except ImageError:
            continue  # is told of when it is decoded
        finally:
            progress("looking at pictures", done, len(files))
        sizes[done - 1] = width, height
        if mode not in _GREY_MODES:
            coloured.append(path)
    sample = coloured[:: max(1, len(coloured) // _SAMPLED)]
    return Survey(sizes=sizes, has_colour=any(map(_has_colour, sample)))


def _has_colour(path: Path) -> bool:
    try:
        pixels = to_pixels(path, InputContract(height=32, width=32, channels=3))
    except ImageError:
        return False
    return bool(np.ptp(pixels, axis=3).max() > _COLOURFUL)


def decode(
    files: Sequence[Path], contract: InputContract, progress: Progress
) -> tuple[Images, dict[int, ImageError]]:
    """All pictures `(n, height, width, channels)`, and what is wrong with those that cannot be decoded."""

    def read_one(path: Path) -> Images | ImageError:
        try:
            return to_pixels(path, contract)
        except ImageError as failure:
            return failure

    pixels = np.zeros((len(files), *contract.shape), np.uint8)
    damaged: dict[int, ImageError] = {}
    with ThreadPoolExecutor(cores()) as pool:
        for i, found in enumerate(pool.map(read_one, files)):
            if isinstance(found, ImageError):
                damaged[i] = found
            else:
                pixels[i] = found[0]
            progress("reading pictures", i + 1, len(files))
    return pixels, damaged


def refuse(damaged: dict[int, ImageError], files: Sequence[Path], cure: str) -> None:
    """Raises `DataError` about damaged pictures, if there are any."""
    if not damaged:
        return
    (_, failure), *others = damaged.items()
    names = first_few([files[i].name for i, _ in others], 3)
    more = f" (and {len(others):,} more of {len(files):,}: {names})" if others else ""
    raise DataError(f"{failure}{more}; {cure}") from failure
