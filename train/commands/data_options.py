"""The options by which commands are told a data set, and what they say of it."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from edgewright.runtime import console
from edgewright.runtime.errors import InputError

if TYPE_CHECKING:
    from edgewright.train.datasets import Dataset, Size
    from edgewright.train.datasets.hygiene import Hygiene

_LEFT_OUT_SHOWN = 10


def add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data-dir",
        type=Path,
        metavar="DIR",
        help="where named data sets lie as .npz (default: $EDGEWRIGHT_DATA, else ~/.cache/edgewright/data)",
    )
    parser.add_argument(
        "--size",
        metavar="HxWxC",
        help="what pictures are brought to, such as 96 (a square), 96x128 or 96x96x1 (grey); by default "
        "what they have, up to what the network wants",
    )
    parser.add_argument(
        "--skip-bad",
        action="store_true",
        help="leave damaged pictures, and class folders without pictures, out, with a line each",
    )


def load(
    arguments: argparse.Namespace,
    source: str,
    size: Size | None,
    seed: int,
    *,
    examine: Callable[[Dataset], bool] = lambda dataset: True,
) -> tuple[Dataset, Hygiene | None]:
    """The data set that the options name, and, if it is to be examined, what is wrong with its images.

    `size` is the most that pictures are brought to if no --size says.
    """
    from edgewright.train import datasets
    from edgewright.train.datasets import hygiene

    if arguments.size:
        size = _size(arguments.size, size)
    with console.Bars() as bars:
        found = datasets.load(
            source,
            arguments.data_dir,
            size=size,
            seed=seed,
            skip_bad=arguments.skip_bad,
            progress=bars,
        )
        wrong = hygiene.examine(found, bars) if examine(found) else None
    for line in found.left_out[:_LEFT_OUT_SHOWN]:
        console.complain(f"left out: {line}")
    if (more := len(found.left_out) - _LEFT_OUT_SHOWN) > 0:
        console.complain(f"left out: {more:,} more")
    if arguments.size and found.origin is None:
        raise InputError(
            f"expected --size with pictures in files, got it with {found.name}, "
            f"whose images are {'x'.join(str(n) for n in found.x_train.shape[1:])}"
        )
    return found, wrong


def about(dataset: Dataset, asked: str | None) -> str:
    """What pictures are brought to, and what they have; `asked` is --size."""
    height, width, channels = dataset.x_train.shape[1:]
    taken = f"{'RGB' if channels == 3 else 'grey'} {height}x{width}"
    change = "--size changes it"
    if dataset.origin and dataset.origin.survey.has_colour and channels == 1:
        change = f"--size {height}x{width}x3 keeps colour"
    return f"{taken} (pictures have {pictures_have(dataset)}{'' if asked else f'; {change}'})"


def pictures_have(dataset: Dataset) -> str:
    """Width and height of the smallest and the largest picture, and whether there is colour."""
    assert dataset.origin is not None
    survey = dataset.origin.survey
    smallest, largest = ("x".join(map(str, size)) for size in (survey.smallest, survey.largest))
    sizes = smallest if smallest == largest else f"{smallest} to {largest}"
    return f"{sizes}, {'colour' if survey.has_colour else 'grey'}"


def _size(text: str, most: Size | None) -> Size:
    """The size that --size says; `most` decides on colour where it does not."""
    from edgewright.train.datasets import Size

    match = re.fullmatch(r"(\d{1,4})(?:x(\d{1,4})(?:x([13]))?)?", text)
    height, width = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if match is None or not height or not width:
        raise InputError(f"expected a size such as 96, 96x96 or 96x96x3 (x1 for grey), got '{text}'")
    if match[3]:
        return Size(height=height, width=width, channels=int(match[3]), exact_sides=True, exact_channels=True)
    return Size(
        height=height,
        width=width,
        channels=most.channels if most else 3,
        exact_sides=True,
        exact_channels=most.exact_channels if most else False,
    )
