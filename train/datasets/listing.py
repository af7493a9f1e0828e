"""Which pictures there are and how they are labelled, before any is decoded: class folders, or a CSV table.

`DIR/cat/1.jpg`, `DIR/dog/2.png`, …, or the same below `DIR/train` and `DIR/test` (without `test`, below
`DIR/val`); or a table as `edgewright.runtime.pictures.table` reads it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgewright.runtime.errors import DataError
from edgewright.runtime.pictures import SUFFIXES, is_picture, table
from edgewright.train.datasets.arrays import Labels

_TRAIN, _TEST, _VALIDATION = "train", "test", ("val", "valid", "validation")


@dataclass(frozen=True, kw_only=True)
class Listing:
    """Pictures of a data set.

    `y` are class numbers int64 `(n,)`, or bool `(n, labels)` where a picture may have several labels;
    `is_test` says bool `(n,)` which are for the test, and is None where nobody has split them; names are
    shown from `root`; `left_out` has a line for each class that was left out.
    """

    root: Path
    files: tuple[Path, ...]
    labels: tuple[str, ...]
    y: Labels
    is_test: NDArray[np.bool_] | None
    left_out: tuple[str, ...] = ()

    def name(self, index: int) -> str:
        """A picture's path below `root`."""
        path = self.files[index]
        return str(path.relative_to(self.root)) if path.is_relative_to(self.root) else str(path)


def of_table(path: Path) -> Listing:
    """The pictures that a CSV table names. Raises `DataError`."""
    found = table.read(path)
    y: Labels = (
        np.array(found.flags, np.bool_) if found.numbers is None else np.array(found.numbers, np.int64)
    )
    is_test = np.array([split == _TEST for split in found.splits]) if found.splits else None
    if is_test is not None and (is_test.all() or not is_test.any()):
        part = _TRAIN if is_test.all() else _TEST
        raise DataError(f"expected pictures of both train and test in {path}, got none for {part}")
    return Listing(root=path.parent, files=found.images, labels=found.labels, y=y, is_test=is_test)


def of_folders(path: Path, *, skip_bad: bool | None = None) -> Listing:
    """The pictures of class folders, or of a pair of `train` and `test` that hold them.

    `skip_bad` leaves classes without pictures out, else they are refused; None where there is no choice.

    Raises:
        DataError: fewer than two classes, or one without pictures.
    """
    parts = _parts(path)
    classes = {part: _class_folders(folders) for part, folders in parts.items()}
    names = sorted({name for found in classes.values() for name in found})
    listed = {
        part: {name: [p for folder in found.get(name, ()) for p in below(folder)] for name in names}
        for part, found in classes.items()
    }
    empty = [name for name in names if not all(found[name] for found in listed.values())]
    if empty and not skip_bad:
        raise DataError(_about_empty(path, empty, listed, skip_bad))
    kept = [name for name in names if name not in empty]
    if len(kept) < 2:
        raise DataError(f"expected at least two class folders with pictures in {path}, got {len(kept)}")
    rows = [
        (part, number, picture)
        for part, found in listed.items()
        for number, name in enumerate(kept)
        for picture in found[name]
    ]
    is_test = np.array([part == _TEST for part, _, _ in rows]) if len(parts) == 2 else None
    return Listing(
        root=path,
        files=tuple(picture for _, _, picture in rows),
        labels=tuple(kept),
        y=np.array([number for _, number, _ in rows], np.int64),
        is_test=is_test,
        left_out=tuple(f"class '{name}', of which there are no pictures in {path}" for name in empty),
    )


def below(path: Path) -> list[Path]:
    """Every picture below `path`, sorted; hidden files are none."""
    return sorted(p for p in path.rglob("*") if is_picture(p.name) and p.is_file())


def class_folders(path: Path) -> list[Path]:
    """The folders in `path` that stand for classes, sorted: all but hidden ones and `__MACOSX`."""
    return sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith((".", "__")))


def first_few(names: Sequence[str], most: int = 5) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _parts(path: Path) -> dict[str, list[Path]]:
    """The folders whose class folders are for training and for the test, or one of both."""
    train = path / _TRAIN
    others = [path / name for name in _VALIDATION if (path / name).is_dir()]
    if train.is_dir() and (path / _TEST).is_dir():
        return {_TRAIN: [train, *others], _TEST: [path / _TEST]}
    if train.is_dir() and others:
        return {_TRAIN: [train], _TEST: others}
    return {"": [path]}


def _class_folders(folders: Sequence[Path]) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for folder in folders:
        classes = class_folders(folder)
        if len(classes) < 2:
            raise DataError(f"expected at least two class folders in {folder}, got {len(classes)}")
        for entry in classes:
            found.setdefault(entry.name, []).append(entry)
    return found


def _about_empty(
    path: Path, empty: Sequence[str], listed: dict[str, dict[str, list[Path]]], skip_bad: bool | None
) -> str:
    cure = "take such classes out" if skip_bad is None else "--skip-bad leaves such classes out"
    if len(listed) == 1:
        return (
            f"expected pictures ({', '.join(sorted(SUFFIXES))}) in every class folder of {path}, got none in "
            f"{first_few(empty)}; {cure}"
        )
    return (
        f"expected pictures of every class for train and test in {path}, got {first_few(empty)} in only one "
        f"of them; {cure}"
    )
