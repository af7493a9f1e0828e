"""The options that say of a model of one's own what its file does not say."""

from __future__ import annotations

import argparse
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING

from edgewright.runtime.contract import FITS, HEADS
from edgewright.runtime.errors import InputError

if TYPE_CHECKING:
    from edgewright.export.source.options import Given
    from edgewright.train.normalization import Normalization

RANGES = ("0..1", "-1..1", "0..255")


def add(parser: argparse.ArgumentParser) -> None:
    parser._negative_number_matcher = re.compile(r"-\.?\d")  # else -1..1 is taken for an option
    group = parser.add_argument_group("a model of your own (a checkpoint says all this itself)")
    _add_scaling(group)
    group.add_argument(
        "--labels",
        type=Path,
        metavar="FILE",
        help="a label a line, in the order of the scores (default: the class folders of --test, or numbers)",
    )
    group.add_argument(
        "--fit",
        choices=FITS,
        help="how pictures of another shape are brought to the network's size, here and on devices "
        "(default: stretch)",
    )
    group.add_argument(
        "--size", metavar="HxW", help="the size for a network that leaves height and width open"
    )
    group.add_argument("--head", choices=HEADS, help="what the scores are (default: as the last layer says)")
    group.add_argument(
        "--threshold",
        type=float,
        metavar="SHARE",
        help="above which probability a sigmoid is a yes (default: 0.5)",
    )
    group.add_argument(
        "--calibration",
        type=Path,
        metavar="FOLDER|NPZ|CSV",
        help="images that set the ranges of int8 files: class folders, any pictures, or an .npz with x",
    )
    group.add_argument(
        "--test",
        type=Path,
        metavar="FOLDER|NPZ|CSV",
        help="labelled images that the files are judged on: class folders, an .npz with x and y, or a table "
        "of pictures and labels",
    )
    group.add_argument(
        "--pictures",
        type=Path,
        metavar="FOLDER|NPZ",
        help="instead of both: unlabelled pictures; files are calibrated on some and judged by how often "
        "they agree with the model on the others (with no pictures at all: float files, judged on noise)",
    )
    _add_loading(group)


def add_network(parser: argparse.ArgumentParser, title: str) -> None:
    """Those that say what the network wants and how it is loaded, and no more."""
    parser._negative_number_matcher = re.compile(r"-\.?\d")  # else -1..1 is taken for an option
    group = parser.add_argument_group(title)
    _add_scaling(group)
    _add_loading(group)


def _add_scaling(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--input-range", choices=RANGES, help="what the network wants pixels 0-255 brought to")
    group.add_argument(
        "--mean",
        metavar="A,B,C",
        help="instead: (pixel / 255 - mean) / std, one number or one a channel in the order the network "
        "takes them, as torchvision and ImageNet state them: --mean 0.485,0.456,0.406 "
        "--std 0.229,0.224,0.225",
    )
    group.add_argument("--std", metavar="A,B,C", help="see --mean")
    group.add_argument(
        "--bgr", action="store_true", help="the network takes its channels as blue, green, red"
    )


def _add_loading(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--unsafe-load",
        action="store_true",
        help="let the file run Python code (Lambda layers) or operators that read and write files; "
        "only for files you trust",
    )
    group.add_argument(
        "--code",
        type=Path,
        metavar="FILE",
        help="your own Python file that defines layers or the model; it is run before the model is loaded",
    )
    group.add_argument("--output", metavar="NAME", help="the output that gives the scores, of several")


def given(arguments: argparse.Namespace) -> Given:
    """What the options say. Raises `InputError`."""
    from edgewright.export.source.options import Given

    return Given(
        labels=arguments.labels,
        normalization=normalization(arguments),
        fit=arguments.fit,
        size=_size(arguments.size) if arguments.size else None,
        head=arguments.head,
        threshold=arguments.threshold,
        output=arguments.output,
        calibration=arguments.calibration,
        test=arguments.test,
        pictures=arguments.pictures,
        unsafe_load=arguments.unsafe_load,
        code=arguments.code,
    )


def normalization(arguments: argparse.Namespace) -> Normalization | None:
    """What the network wants done to pixels; None if nothing was said. Raises `InputError`."""
    from edgewright.train.normalization import Normalization

    statistics = (arguments.mean, arguments.std)
    if statistics == (None, None):
        if arguments.input_range is None:
            if arguments.bgr:
                raise InputError("expected --input-range, or --mean and --std, beside --bgr, got neither")
            return None
        low, high = (float(end) for end in arguments.input_range.split(".."))
        return Normalization.of_range(low, high, bgr=arguments.bgr)
    if None in statistics or arguments.input_range is not None:
        raise InputError("expected either --input-range or both --mean and --std")
    mean, std = (_numbers(text) for text in statistics)
    if len(mean) != len(std) and 1 not in (len(mean), len(std)):
        raise InputError(f"expected as many numbers for --mean as for --std, got {len(mean)} and {len(std)}")
    if min(std) <= 0 or max(std) > 1 or min(mean) < -1 or max(mean) > 1:
        raise InputError(
            "expected --mean and --std in units of 0..1, with --std above 0 "
            f"(divide values of 0..255 by 255), got {arguments.mean} and {arguments.std}"
        )
    return Normalization.of_statistics(mean, std, bgr=arguments.bgr)


def _numbers(text: str) -> list[float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 3) or not all(math.isfinite(number) for number in numbers):
        raise InputError(f"expected one number, or three with commas between them, got '{text}'")
    return numbers


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,4})x(\d{1,4})", text)
    if match is None or "0" in match.groups():
        raise InputError(f"expected a size such as 224x224, got '{text}'")
    return int(match[1]), int(match[2])
