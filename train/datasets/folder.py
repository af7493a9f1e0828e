"""Pictures in class folders: any mix of sizes and formats, one folder a class.

`DIR/cat/1.jpg`, `DIR/dog/2.png`, …, or the same below `DIR/train` and `DIR/test`. Without that pair the
pictures are split, stratified and seeded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewright.runtime.console import Progress
from edgewright.runtime.contract import InputContract
from edgewright.runtime.errors import DataError, ImageError, MissingExtraError
from edgewright.runtime.machine.threads import cores
from edgewright.runtime.preprocess import to_pixels

TEST_SHARE = 0.2
# What is taken for a picture: a damaged one of these is an error, other files are not looked at.
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp")


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """The arrays `x_train`, `y_train`, `x_test`, `y_test`, the labels by class number, and a line for each
    picture that was left out."""

    arrays: Mapping[str, NDArray[Any]]
    labels: tuple[str, ...]
    left_out: tuple[str, ...]


def read(path: Path, contract: InputContract, progress: Progress, *, seed: int, skip_bad: bool) -> Pictures:
    """Read class folders.

    Args:
        path: holds a folder a class, or `train` and `test` folders that do.
        contract: the size, channels and fit that pictures are brought to.
        seed: of the split, where there are no `train` and `test`.
        progress: is told how far the reading is.
        skip_bad: leave damaged pictures out, with a line each in `left_out`, instead of refusing them.

    Raises:
        DataError: fewer than two classes, a class without pictures, a damaged picture, or test
            classes that are not those of training.
    """
    try:
        from sklearn.model_selection import train_test_split
        from sklearn.preprocessing import LabelEncoder
    except ImportError as failure:
        raise MissingExtraError("scikit-learn, which encodes labels,", "train") from failure
    if (path / "train").is_dir() and (path / "test").is_dir():
        listed = {part: labelled(path / part) for part in ("train", "test")}
        given, judged = ({label for _, label in files} for files in listed.values())
        if given != judged:
            raise DataError(
                f"expected the classes of {path / 'train'} in {path / 'test'} too, got "
                f"{', '.join(sorted(given ^ judged))} in only one of them"
            )
    else:
        files = labelled(path)
        try:
            train, test = train_test_split(
                files, test_size=TEST_SHARE, random_state=seed, stratify=[label for _, label in files]
            )
        except ValueError as failure:
            raise DataError(f"cannot hold out test pictures of {path}: {failure}") from failure
        listed = {"train": sorted(train), "test": sorted(test)}
    encoder = LabelEncoder().fit([label for _, label in listed["train"]])
    arrays: dict[str, NDArray[Any]] = {}
    left_out: list[str] = []
    for part, files in listed.items():
        pixels, labels, damaged = decode(files, contract, progress, skip_bad=skip_bad)
        left_out += damaged
        if gone := {label for _, label in files} - set(labels):
            raise DataError(f"expected readable pictures of '{min(gone)}' for {part} in {path}, got none")
        arrays[f"x_{part}"], arrays[f"y_{part}"] = pixels, encoder.transform(labels)
    return Pictures(
        arrays=arrays,
        labels=tuple(str(label) for label in encoder.classes_),
        left_out=tuple(left_out),
    )


def labelled(path: Path) -> list[tuple[Path, str]]:
    """Every picture below the class folders with its label, sorted. Raises `DataError`."""
    classes = sorted(entry for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if len(classes) < 2:
        raise DataError(f"expected at least two class folders in {path}, got {len(classes)}")
    found = []
    for folder in classes:
        found += [(picture, folder.name) for picture in pictures(folder)]
    return found


def pictures(path: Path) -> list[Path]:
    """Every picture below `path`, sorted; at least one. Raises `DataError`."""
    found = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    if not found:
        raise DataError(f"expected pictures ({', '.join(SUFFIXES)}) in {path}, got none")
    return found


def decode(
    files: Sequence[tuple[Path, str]],
    contract: InputContract,
    progress: Progress,
    *,
    skip_bad: bool | None,
) -> tuple[NDArray[np.uint8], list[str], list[str]]:
    """The readable pictures `(n, height, width, channels)` and their labels, in order, and what was left out.

    Damaged ones are left out (`skip_bad`), a line each, or refused; None where there is no such choice.

    Raises:
        DataError: the first damaged picture.
    """

    def read_one(path: Path) -> NDArray[np.uint8] | ImageError:
        try:
            return to_pixels(path, contract)
        except ImageError as failure:
            return failure

    pixels: list[NDArray[np.uint8]] = []
    labels: list[str] = []
    left_out: list[str] = []
    with ThreadPoolExecutor(cores()) as pool:
        read = zip(files, pool.map(read_one, (path for path, _ in files)), strict=True)
        for done, ((_, label), found) in enumerate(read, 1):
            progress("reading pictures", done, len(files))
            if isinstance(found, ImageError):
                if not skip_bad:
                    pool.shutdown(wait=False, cancel_futures=True)
                    cure = "take it out" if skip_bad is None else "--skip-bad leaves such pictures out"
                    raise DataError(f"{found}; {cure}") from found
                left_out.append(str(found))
                continue
            pixels.append(found)
            labels.append(label)
    shape = (0, *contract.shape)
    return np.concatenate(pixels) if pixels else np.empty(shape, np.uint8), labels, left_out
