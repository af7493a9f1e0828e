"""A table that says which picture has which labels: CSV, a row a picture.

    image,label            image,labels           image,cat,dog,split
    a/1.jpg,cat            a/1.jpg,cat|outdoors   a/1.jpg,1,0,train
    a/2.jpg,dog            a/2.jpg,               a/2.jpg,1,1,test

With `label` (or `class`) a picture has one class. With `labels`, names with `|` or `;` between them, or with
a column a label of 0 and 1, it has any number of them; one such column alone makes two classes of it, those
without and those with the label. Pictures are looked for from the table's folder. A column `split` says
`train` or `test` (`validation` and `val` count as `train`).
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgewright.runtime.disk import outside
from edgewright.runtime.errors import DataError

SUFFIX = ".csv"
MAX_BYTES = 2**28
_MOST_LABELS = 2**16
_IMAGE = ("image", "file", "filename", "path", "image_path")
_CLASS, _LABELS, _SPLIT = ("label", "class"), ("labels", "classes", "tags"), "split"
_SPLITS = {"train": "train", "test": "test", "validation": "train", "val": "train", "valid": "train"}
_YES_NO = {"1": True, "0": False, "1.0": True, "0.0": False, "true": True, "false": False}


@dataclass(frozen=True, kw_only=True)
class Table:
    """Pictures with their labels: `numbers` are class numbers, of `labels`, one a picture; else, where a
    picture may have several, `flags` says of each of the `labels` whether it has it. `splits` are `train` or
    `test`, or empty if the table does not say."""

    images: tuple[Path, ...]
    labels: tuple[str, ...]
    numbers: tuple[int, ...] | None
    flags: tuple[tuple[bool, ...], ...] | None
    splits: tuple[str, ...]


def read(path: Path) -> Table:
    """Read a table; its pictures are not looked at.

    Raises:
        DataError: not such a table, with the line.
    """
    header, rows = _rows(path)
    names = [cell.strip() for cell in header]
    lower = [name.lower() for name in names]
    if not lower or lower[0] not in _IMAGE or len(set(names)) < len(names):
        raise DataError(
            f"expected a first line 'image,label', 'image,labels' or 'image,NAME,…' of different names in "
            f"{path}, got '{','.join(names)[:80]}'"
        )
    split = lower.index(_SPLIT) if _SPLIT in lower else None
    columns = [i for i in range(1, len(names)) if i != split]
    if not columns or not rows:
        raise DataError(f"expected a column of labels and a row a picture in {path}, got none")
    splits = () if split is None else tuple(_split(path, line, row[split]) for line, row in rows)
    labels: tuple[str, ...]
    numbers: tuple[int, ...] | None = None
    flags: tuple[tuple[bool, ...], ...] | None = None
    if len(columns) == 1 and lower[columns[0]] in _CLASS:
        cells = [_class(path, line, row[columns[0]]) for line, row in rows]
        labels, numbers = _numbered(cells)
    elif len(columns) == 1 and lower[columns[0]] in _LABELS:
        lists = [_listed(row[columns[0]]) for _, row in rows]
        labels = tuple(sorted({name for names in lists for name in names}))
        if len(labels) * len(rows) > 2**30:
            raise DataError(
                f"expected fewer labels in {path}, got {len(labels):,} for {len(rows):,} pictures"
            )
        flags = tuple(tuple(label in names for label in labels) for names in map(set, lists))
    else:
        labels = tuple(names[i] for i in columns)
        flags = tuple(tuple(_flag(path, line, names[i], row[i]) for i in columns) for line, row in rows)
        if len(labels) == 1:
            numbers, flags = tuple(int(given[0]) for given in flags), None
            labels = (f"not {labels[0]}", labels[0])
    if not 2 <= len(labels) <= _MOST_LABELS:
        raise DataError(f"expected 2 to {_MOST_LABELS:,} labels in {path}, got {len(labels):,}")
    images = tuple(path.parent / row[0].strip() for _, row in rows)
    return Table(images=images, labels=labels, numbers=numbers, flags=flags, splits=splits)


def _rows(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The first line, and each other with its number."""
    try:
        text = outside.read(path, DataError, MAX_BYTES).decode("utf-8-sig")
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        lines = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except (UnicodeDecodeError, csv.Error) as failure:
        raise DataError(f"expected a CSV table in UTF-8, got {path}: {failure}") from failure
    if not lines:
        raise DataError(f"expected a CSV table, got {path}, which is empty")
    (_, header), *rows = lines
    for line, row in rows:
        if len(row) != len(header) or not row[0].strip() or "\0" in row[0]:
            raise DataError(
                f"expected {len(header)} cells, the first a picture, in line {line} of {path}, got {len(row)}"
            )
    return header, rows


def _split(path: Path, line: int, cell: str) -> str:
    if (found := _SPLITS.get(cell.strip().lower())) is None:
        raise DataError(f"expected train or test as split in line {line} of {path}, got '{cell[:40]}'")
    return found


def _class(path: Path, line: int, cell: str) -> str:
    if not (name := cell.strip()):
        raise DataError(f"expected a label in line {line} of {path}, got none")
    return name


def _numbered(cells: Sequence[str]) -> tuple[tuple[str, ...], tuple[int, ...]]:
    labels = tuple(sorted(set(cells)))
    place = {label: i for i, label in enumerate(labels)}
    return labels, tuple(place[cell] for cell in cells)


def _listed(cell: str) -> list[str]:
    return [name for part in re.split(r"[|;]", cell) if (name := part.strip())]


def _flag(path: Path, line: int, name: str, cell: str) -> bool:
    if (found := _YES_NO.get(cell.strip().lower())) is None:
        raise DataError(f"expected 0 or 1 for '{name}' in line {line} of {path}, got '{cell[:40]}'")
    return found
