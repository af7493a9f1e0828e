"""The options by which commands are told a data set."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING

from edgewright.runtime import console
from edgewright.runtime.contract import InputContract
from edgewright.runtime.errors import InputError

if TYPE_CHECKING:
    from edgewright.train.datasets import Dataset


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
        help="what pictures in class folders are brought to (default: as the recipe's own data)",
    )
    parser.add_argument(
        "--skip-bad", action="store_true", help="leave damaged pictures out, with a line each"
    )


def load(
    arguments: argparse.Namespace, source: str, shape: tuple[int, int, int] | None, seed: int
) -> Dataset:
    """The data set that the options name; `shape` is what pictures are brought to if no --size says."""
    from edgewright.train import datasets

    shape = _size(arguments.size) if arguments.size else shape
    contract = InputContract(height=shape[0], width=shape[1], channels=shape[2]) if shape else None
    with console.Bars() as bars:
        found = datasets.load(
            source,
            arguments.data_dir,
            contract=contract,
            seed=seed,
            skip_bad=arguments.skip_bad,
            progress=bars,
        )
    for line in found.left_out:
        console.complain(f"left out: {line}")
    if arguments.size and found.x_train.shape[1:] != shape:
        raise InputError(
            f"expected --size with pictures in class folders, got it with {found.name}, "
            f"whose images are {'x'.join(str(n) for n in found.x_train.shape[1:])}"
        )
    return found


def _size(text: str) -> tuple[int, int, int]:
    match = re.fullmatch(r"(\d{1,4})x(\d{1,4})x([13])", text)
    if match is None or "0" in match.groups():
        raise InputError(f"expected a size such as 96x96x3 (or x1 for grey), got '{text}'")
    height, width, channels = (int(number) for number in match.groups())
    return height, width, channels
