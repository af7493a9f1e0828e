"""Options that say of a model file what it does not say itself, shared by commands that take any file."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from edgewright.runtime.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence


class Arguments(TypedDict):
    """What `edgewright.runtime.load` takes of a file that carries no contract."""

    labels: Sequence[str] | None
    input_range: tuple[float, float] | None
    mean: Sequence[float] | None
    std: Sequence[float] | None
    head: str | None
    threshold: float | None
    size: tuple[int, int] | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from edgewright.runtime.contract import HEADS

    parser._negative_number_matcher = re.compile(r"-\.?\d")  # else -1..1 is taken for an option
    group = parser.add_argument_group("a file that carries no contract, where its own metadata do not say it")
    group.add_argument(
        "--labels", type=Path, metavar="FILE", help="a label a line in the order of the scores"
    )
    group.add_argument(
        "--input-range", choices=("0..1", "-1..1", "0..255"), help="what the network wants pixels brought to"
    )
    group.add_argument(
        "--mean",
        type=_numbers,
        metavar="A,B,C",
        help="instead: (pixel / 255 - mean) / std, one number or one a channel, as torchvision states them: "
        "--mean 0.485,0.456,0.406 --std 0.229,0.224,0.225",
    )
    group.add_argument("--std", type=_numbers, metavar="A,B,C", help="see --mean")
    group.add_argument(
        "--head", metavar="KIND", help=f"what its scores are, if not what its graph says: {', '.join(HEADS)}"
    )
    group.add_argument(
        "--threshold",
        type=float,
        metavar="P",
        help="probability above which a sigmoid is a yes (default: 0.5)",
    )
    add_size(group)


def add_size(parser: argparse._ActionsContainer) -> None:
    """The option that commands need too which look at no score."""
    parser.add_argument(
        "--size",
        type=_size,
        metavar="HxW",
        help="height and width, of a file without a contract that takes pictures of any size",
    )


def given(arguments: argparse.Namespace) -> Arguments:
    """What was said of the file. Raises `InputError`: labels that cannot be read."""
    ends = arguments.input_range and arguments.input_range.split("..")
    return {
        "labels": _labels(arguments.labels) if arguments.labels else None,
        "input_range": (float(ends[0]), float(ends[1])) if ends else None,
        "mean": arguments.mean,
        "std": arguments.std,
        "head": arguments.head,
        "threshold": arguments.threshold,
        "size": arguments.size,
    }


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected numbers with commas between, got '{text}'") from None


def _size(text: str) -> tuple[int, int]:
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.isdecimal() and len(side) < 6 for side in sides):
        raise argparse.ArgumentTypeError(f"expected a size such as 224 or 224x224, got '{text}'")
    return int(sides[0]), int(sides[-1])


def _labels(path: Path) -> list[str]:
    from edgewright.runtime.disk import outside

    return outside.lines(path, InputError)
