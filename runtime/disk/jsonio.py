"""JSON that came from disk, read with suspicion: every access says what it expects and where.

Manifests, checkpoints and contracts inside model files all pass through here, so a hostile or
damaged one ends in one clear line and never in a KeyError.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from edgewright.runtime.disk import outside
from edgewright.runtime.errors import EdgewrightError

MAX_BYTES = 64 * 2**20  # labels of any real classifier fit a thousand times over

_MISSING = object()

if TYPE_CHECKING:
    from _typeshed import DataclassInstance
Made = TypeVar("Made", bound="DataclassInstance")


class JsonObject:
    """A JSON object together with where it stands and which error to raise about it."""

    def __init__(self, data: Any, where: str, error: type[EdgewrightError]) -> None:
        self.where, self._error = where, error
        if not isinstance(data, dict):
            raise error(f"expected a JSON object in {where}, got {_kind(data)}")
        self.data: dict[str, Any] = data

    def fail(self, key: str, expected: str) -> EdgewrightError:
        got = self.data.get(key, _MISSING)
        return self._error(f"expected '{key}' to be {expected} in {self.where}, got {_kind(got)}")

    def has(self, key: str) -> bool:
        return self.data.get(key) is not None

    def text(self, key: str) -> str:
        value = self.data.get(key)
        if not isinstance(value, str):
            raise self.fail(key, "a string")
        return value

    def choice(self, key: str, allowed: tuple[str, ...]) -> str:
        value = self.text(key)
        if value not in allowed:
            raise self.fail(key, "one of " + ", ".join(allowed))
        return value

    def integer(self, key: str, low: int = 0, high: int = 2**53) -> int:
        value = self.data.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise self.fail(key, f"a whole number from {low} to {high}")
        return value

    def number(self, key: str) -> float:
        value = self.data.get(key)
        try:
            number = (
                math.nan if isinstance(value, bool) or not isinstance(value, int | float) else float(value)
            )
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise self.fail(key, "a finite number")
        return number

    def flag(self, key: str) -> bool:
        value = self.data.get(key)
        if not isinstance(value, bool):
            raise self.fail(key, "true or false")
        return value

    def array(self, key: str) -> list[Any]:
        value = self.data.get(key)
        if not isinstance(value, list):
            raise self.fail(key, "a list")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        value = self.array(key)
        if not all(isinstance(item, str) for item in value):
            raise self.fail(key, "a list of strings")
        return tuple(value)

    def integers(self, key: str) -> tuple[int, ...]:
        value = self.array(key)
        if not all(isinstance(item, int) and not isinstance(item, bool) for item in value):
            raise self.fail(key, "a list of whole numbers")
        return tuple(value)

    def object(self, key: str) -> JsonObject:
        if not isinstance(self.data.get(key), dict):
            raise self.fail(key, "an object")
        return JsonObject(self.data[key], f"{self.where}: {key}", self._error)

    def objects(self, key: str) -> list[JsonObject]:
        return [
            JsonObject(item, f"{self.where}: {key}[{i}]", self._error)
            for i, item in enumerate(self.array(key))
        ]

    def make(self, kind: type[Made], others: Mapping[str, Any]) -> Made:
        """A dataclass: each field is the key of its name, read as its type says; `others` were read."""
        types: dict[str, Any] = {field.name: field.type for field in fields(kind) if field.name not in others}
        return kind(**others, **{name: _READERS[type_](self, name) for name, type_ in types.items()})


# How a field of a dataclass is read, by its type as it is written.
_READERS: dict[str, Callable[[JsonObject, str], Any]] = {
    "str": JsonObject.text,
    "int": JsonObject.integer,
    "float": JsonObject.number,
    "tuple[str, ...]": JsonObject.texts,
    "Mapping[str, Any]": lambda obj, key: obj.object(key).data,
}


def parse(raw: bytes, where: str, error: type[EdgewrightError]) -> JsonObject:
    """Parse bytes as one JSON object; `where` names them in messages.

    Raises:
        error: not UTF-8, not JSON, not an object, or larger than 64 MiB.
    """
    if len(raw) > MAX_BYTES:
        raise error(f"expected at most {MAX_BYTES} bytes of JSON in {where}, got {len(raw)}")
    try:
        text = raw.decode("utf-8")
        data = json.loads(text, object_pairs_hook=_unique)
        if "\\u" in text:  # a lone surrogate is no text: it can be neither printed nor a file name
            json.dumps(data, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as failure:
        raise error(f"expected JSON in {where}, got something else ({failure})") from failure
    return JsonObject(data, where, error)


def read(path: Path, error: type[EdgewrightError]) -> JsonObject:
    """Read a JSON object from `path`. Raises `error` as `parse` does, and when it cannot be read."""
    return parse(outside.read(path, error, MAX_BYTES), str(path), error)


def dump(data: Any, indent: int | None = 2) -> bytes:
    """The one way Edgewright writes JSON: UTF-8, no NaN, a newline at the end."""
    return (json.dumps(data, indent=indent, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object none of whose keys comes twice: readers differ in which of the two they take."""
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {_kind(twice)} comes twice in an object")
    return found


def _kind(value: Any) -> str:
    if value is _MISSING:
        return "nothing"
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "..."
