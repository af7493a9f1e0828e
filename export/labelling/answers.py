"""What people say of pictures: a log that only grows, a line an answer, and tables to fill in elsewhere.

A line is `{"picture": NAME, "answer": CLASS, "shown": [CLASS, ...], "again": BOOL}`. The answer is the
number of a class, "other" (another than the shown ones, or none), "unsure", or null, which takes back the
last one. The last line counts; what a killed process has left of a line does not.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from PIL import Image

from edgewright.export.labelling.kept import ANSWERS, Kept, Questions
from edgewright.runtime.disk import files, outside, tables
from edgewright.runtime.errors import InputError

OTHER, UNSURE = "other", "unsure"
Answer: TypeAlias = int | str  # a class, OTHER or UNSURE
_MOST_BYTES = 2**25  # of a log, or a table
_COLUMNS = ("picture", "candidates", "answer")
_BETWEEN = " | "  # candidates in a cell
_WORDS: dict[str, Answer] = {
    "other": OTHER,
    "none": OTHER,
    "another or none": OTHER,
    "unsure": UNSURE,
    "can't tell": UNSURE,
}


@dataclass(frozen=True, kw_only=True)
class Given:
    """An answer, and the classes that were offered with it."""

    answer: Answer
    shown: tuple[int, ...]


class Log:
    """The answers of one folder. `first` and `again` are by the name of a picture."""

    def __init__(self, kept: Kept) -> None:
        self._path = kept.folder / ANSWERS
        self._classes = len(kept.manifest.labels)
        self.first: dict[str, Given] = {}
        self.again: dict[str, Given] = {}
        raw = _read(self._path) if self._path.exists() else b""
        self._torn = bool(raw) and not raw.endswith(b"\n")
        for line in raw.split(b"\n"):
            if line:
                self._take(line)

    def _take(self, line: bytes) -> None:
        try:
            said = json.loads(line)
            name, answer, shown, again = (said[key] for key in ("picture", "answer", "shown", "again"))
        except (ValueError, KeyError, TypeError, RecursionError):
            return
        numbers = (answer, *shown) if isinstance(shown, list) and isinstance(name, str) else (None,)
        if answer is None or answer in (OTHER, UNSURE):
            numbers = numbers[1:]
        if all(self.is_class(number) for number in numbers) and isinstance(again, bool):
            place = self.again if again else self.first
            if answer is None:
                place.pop(name, None)
            else:
                place[name] = Given(answer=answer, shown=tuple(shown))

    def is_class(self, number: Any) -> bool:
        return isinstance(number, int) and not isinstance(number, bool) and 0 <= number < self._classes

    def add(self, name: str, answer: Answer | None, shown: Sequence[int], *, again: bool = False) -> None:
        """Keep an answer; None takes it back. It is on disk when this returns. Raises `OSError`."""
        line = json.dumps({"picture": name, "answer": answer, "shown": list(shown), "again": again}).encode()
        with self._path.open("ab") as file:
            file.write((b"\n" if self._torn else b"") + line + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self._torn = False
        self._take(line)

    def usable(self, name: str, candidates: Sequence[int]) -> Answer | None:
        """What counts of a picture that is disputed between `candidates`; None where it has no answer.

        Another answer when it came back leaves it unsure. "Other" says nothing of a class that was not shown.
        """
        given, again = self.first.get(name), self.again.get(name)
        if given is None:
            return None
        if again is not None and UNSURE not in (given.answer, again.answer) and given.answer != again.answer:
            return UNSURE
        if given.answer == OTHER and not {*candidates} <= {*given.shown}:
            return None
        return given.answer


def write_table(path: Path, questions: Questions, labels: Sequence[str], log: Log) -> Path:
    """Write a table to fill in, and its pictures as PNG into a folder beside it, whose path comes back."""
    folder = path.with_name(f"{path.stem}-pictures")
    rows = []
    for place, name in enumerate(questions.names):
        shown = questions.candidates(place)
        order = np.random.default_rng(int(name[:8], 16)).permutation(len(shown))
        given = log.usable(name, shown)
        said = "" if given is None else labels[given] if isinstance(given, int) else given
        picture = f"{folder.name}/{name}.png"
        rows.append((picture, _BETWEEN.join(labels[shown[i]] for i in order), said))
        with files.replacing(folder / f"{name}.png") as file:
            _picture(questions, place).save(file, "PNG")
    rows.sort()  # by pixels: in no order that tells anything
    with files.replacing(path) as out:
        out.write(tables.rows([_COLUMNS, *rows], quote_all=True).encode("utf-8"))
    return folder


def read_table(path: Path, questions: Questions, labels: Sequence[str], log: Log) -> int:
    """Take the answers of a table that was filled in, and say how many there are.

    An answer is a class by its label, "other" or "unsure"; an empty one is none yet.

    Raises:
        InputError: no such table, a picture that was not asked for, or an answer that means nothing here;
            then none is taken.
    """
    text = _read(path).decode("utf-8-sig", errors="replace")
    try:
        rows = list(csv.DictReader(text.splitlines()))
    except csv.Error as failure:
        raise InputError(f"expected a table of answers in {path}, got {failure}") from failure
    if not rows or not {"picture", "answer"} <= {*rows[0]}:
        raise InputError(
            f"expected columns {', '.join(_COLUMNS)} in {path}; --csv with a new name writes such"
        )
    places = {name: place for place, name in enumerate(questions.names)}
    found: list[tuple[str, Answer, tuple[int, ...]]] = []
    for number, row in enumerate(rows, 2):
        said = (row["answer"] or "").strip()
        name = (row["picture"] or "").replace("\\", "/").rpartition("/")[2].removesuffix(".png")
        if name not in places:
            raise InputError(f"expected a picture of this pool in line {number} of {path}, got '{name[:80]}'")
        if said:
            shown = questions.candidates(places[name])
            found.append((name, _meant(said, shown, labels, f"line {number} of {path}"), shown))
    for name, answer, shown in found:
        if log.first.get(name) != Given(answer=answer, shown=shown):
            log.add(name, answer, shown)
    return len(found)


def _meant(said: str, shown: Sequence[int], labels: Sequence[str], where: str) -> Answer:
    for text in (said, tables.plain(said)):
        for number in (*shown, *range(len(labels))):
            if labels[number].strip() == text:
                return int(number)
    if (word := _WORDS.get(said.lower())) is not None:
        return word
    raise InputError(f"expected a label, 'other' or 'unsure' in {where}, got '{said[:80]}'")


def _read(path: Path) -> bytes:
    return outside.read(path, InputError, _MOST_BYTES)


def _picture(questions: Questions, place: int) -> Image.Image:
    image = questions.images[place]
    return Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
