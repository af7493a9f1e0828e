"""Pictures whose classes are known: class folders, a .zip of them, an .npz, a .csv."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewright.runtime import pictures
from edgewright.runtime.disk import outside
from edgewright.runtime.errors import DataError, ImageError
from edgewright.runtime.pictures import Picture, table

_ARRAYS = (("x", "y"), ("x_test", "y_test"))
_SPLITS = ("test", "val", "valid", "validation")  # the first that there is, beside a `train`


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """Pictures, and of each its class number among `names` `(n,)`, or bool `(n, names)` of several labels.

    `names` is None where numbers are those of the model's own labels. `notes` are lines for the user.
    """

    pictures: Sequence[Picture]
    truth: NDArray[Any]
    names: tuple[str, ...] | None
    notes: tuple[str, ...] = ()


def read(path: Path) -> Labelled:
    """Find labelled pictures; none is decoded.

    Raises:
        DataError: nothing of these, or without pictures.
    """
    suffix = path.suffix.lower()
    if path.is_dir() or suffix == ".zip":
        return _folders(path)
    readers = {".npz": _arrays, table.SUFFIX: _table}
    if suffix not in readers or not path.is_file():
        raise DataError(f"expected class folders, a .zip of them, an .npz or a .csv, got {path}")
    return readers[suffix](path)


def align(
    names: Sequence[str], labels: Sequence[str], where: Path
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Which of the model's `labels` each of the data's `names` is, `(names,)`; a line if that is not plain.

    By name; else, where no name is a label and there are as many, in their order. Of two classes one name
    is enough.

    Raises:
        DataError: neither.
    """
    found = _places(names, labels, str)
    if not all(found):
        found = _places(names, labels, _folded)
    if any(found):
        missing = [name for name, at in zip(names, found, strict=True) if not at]
        known = max(found, key=len)
        if len(names) == len(labels) == 2 and len(missing) == len(known) == 1:
            other = 1 - known[0]
            chosen = [at[0] if at else other for at in found]
            return np.array(chosen, np.int64), (f"'{missing[0]}' is taken for '{labels[other]}'",)
        if missing:
            raise DataError(
                f"expected classes named as the model's labels in {where}, got '{missing[0]}'"
                f"{f' and {len(missing) - 1} more' if missing[1:] else ''}, which is none; "
                f"labels: {_few(labels)}"
            )
        if doubled := [name for name, at in zip(names, found, strict=True) if len(at) > 1]:
            raise DataError(
                f"expected labels that differ, got '{doubled[0]}' more than once among those of the model"
            )
        chosen = [at[0] for at in found]
        if len(set(chosen)) < len(chosen):
            raise DataError(f"expected a label for each class of {where}, got one for several")
        return np.array(chosen, np.int64), ()
    if len(names) != len(labels):
        raise DataError(
            f"expected classes named as the {len(labels):,} labels of the model ({_few(labels)}) in {where}, "
            f"got {len(names):,}: {_few(names)}"
        )
    pairs = _few([f"{name} as {label}" for name, label in zip(names, labels, strict=True)])
    said = f"no class of {where} is named as a label: they are taken in their sorted order, {pairs}"
    return np.arange(len(names)), () if tuple(names) == tuple(labels) else (said,)


def _places(names: Sequence[str], labels: Sequence[str], form: Callable[[str], str]) -> list[list[int]]:
    """Which labels are as each of the names, both in that form."""
    places: dict[str, list[int]] = {}
    for i, label in enumerate(labels):
        places.setdefault(form(label), []).append(i)
    return [places.get(form(name), []) for name in names]


def _folded(name: str) -> str:
    """Without case, and without what a folder cannot be named with or is named with instead."""
    return re.sub(r"[\s_\-/\\:]+", " ", name).strip().casefold()


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")


def _folders(path: Path) -> Labelled:
    found, notes = list(pictures.find([str(path)])), []
    prefix = f"{path}/" if path.is_file() else f"{path}{os.sep}"
    if not all(picture.name.startswith(prefix) for picture in found):  # what cannot be read as a whole
        _raise_of(found[0], path)
    parts = [(picture.name[len(prefix) :].replace(os.sep, "/").split("/"), picture) for picture in found]
    while len({words[0] for words, _ in parts}) == 1 and all(len(words) > 2 for words, _ in parts):
        parts = [(words[1:], picture) for words, picture in parts]  # a folder around it all
    above = {words[0] for words, _ in parts}
    split = next((name for name in _SPLITS if name in above), None)
    if split and above <= {"train", "training", *_SPLITS}:
        parts = [(words[1:], picture) for words, picture in parts if words[0] == split]
        notes.append(f"the pictures of '{split}' are judged, those of {_few(sorted(above - {split}))} not")
    inside = [(words[0], picture) for words, picture in parts if len(words) > 1]
    if len(inside) < len(parts):
        notes.append(f"{len(parts) - len(inside):,} pictures outside of class folders are not judged")
    if not inside:
        raise DataError(f"expected pictures in a folder for each class in {path}, got none")
    names = tuple(sorted({name for name, _ in inside}))
    place = {name: i for i, name in enumerate(names)}
    truth = np.array([place[name] for name, _ in inside], np.int64)
    return Labelled(pictures=[picture for _, picture in inside], truth=truth, names=names, notes=tuple(notes))


def _raise_of(picture: Picture, path: Path) -> None:
    try:
        picture.read()
    except ImageError as failure:
        raise DataError(str(failure)) from failure
    raise DataError(f"expected pictures in a folder for each class in {path}, got {picture.name}")


def _table(path: Path) -> Labelled:
    found = table.read(path)
    truth = np.array(found.numbers, np.int64) if found.numbers is not None else np.array(found.flags, bool)
    chosen, notes = np.arange(len(found.images)), tuple[str, ...]()
    if "test" in found.splits and "train" in found.splits:
        chosen = np.flatnonzero(np.array(found.splits) == "test")
        notes = ("the rows of split 'test' are judged, those of 'train' not",)
    names = [str(found.images[i]) for i in chosen]
    listed = [Picture(name=name, read=partial(str, name)) for name in names]
    return Labelled(pictures=listed, truth=truth[chosen], names=found.labels, notes=notes)


def _arrays(path: Path) -> Labelled:
    with outside.arrays(path, DataError, "an .npz with arrays x and y") as archive:
        names = next((pair for pair in _ARRAYS if set(pair) <= set(archive.files)), None)
        if names is None:
            known = ", ".join(islice(archive.files, 5)) or "none"
            raise DataError(f"expected arrays x and y (or x_test, y_test) in {path}, got {known}")
        x, y = (np.asarray(archive[name]) for name in names)
        labels = np.asarray(archive["labels"]) if "labels" in archive.files else None
    image = x.ndim == 3 or (x.ndim == 4 and x.shape[3] in (1, 3, 4))
    if x.dtype != np.uint8 or not image or 0 in x.shape:
        raise DataError(
            f"expected uint8 images (n, height, width) or (n, height, width, 1 | 3 | 4) in {path}, "
            f"got {x.dtype} {x.shape}"
        )
    several = y.dtype == bool and y.ndim == 2 and len(y) == len(x) and y.shape[1] > 1
    single = y.dtype.kind in "iub" and y.size == len(x) and y.shape[:1] == (len(x),)
    if not (several or single):
        raise DataError(
            f"expected {len(x)} whole numbers, or bool ({len(x)}, labels), in {path}, got {y.dtype} {y.shape}"
        )
    truth = y if several else y.reshape(-1).astype(np.int64)
    named = None
    if labels is not None and labels.ndim == 1 and labels.dtype.kind == "U" and len(labels):
        named = tuple(str(label) for label in labels)
    if not several and truth.min() < 0:
        raise DataError(f"expected class numbers from 0 on in {path}, got {truth.min()}")
    count = None if named is None else len(named)
    if count is not None and (truth.shape[1] != count if several else truth.max() >= count):
        raise DataError(f"expected classes that the {count} labels in {path} name, got others")
    listed = [Picture(name=f"{path.name}[{i}]", read=partial(x.__getitem__, i)) for i in range(len(x))]
    return Labelled(pictures=listed, truth=truth, names=named)
