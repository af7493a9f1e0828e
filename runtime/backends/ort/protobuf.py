"""A protobuf wire reader just large enough for .onnx files: a file has one reading here, or it is refused.

It lets a device read labels and shapes before any interpreter has seen the file, without the onnx package.
What protobuf would merge, truncate, step over or let the last of win, another reader may read otherwise, and
who makes a file can make two readers differ. So no such file is read: with a field that the schema lacks or
has with another wire type; with a singular field, or two that exclude each other, given twice; with numbers
that do not fit their type or are written longer than need be; with enumerators of no name, or groups.
Protobuf's own writers make nothing of the kind. Wire format:
https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

import re
import struct
from collections.abc import Collection, Mapping
from typing import Any, TypeAlias

from edgewright.runtime.backends import Budget, DamagedError

Span: TypeAlias = tuple[int, int]  # where a length-delimited field starts and ends

MAX_DEPTH = 100  # of messages in messages, as protobuf's own parsers have it
_MAX_SIZE = 2**31 - 1
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_WIRES = {
    **dict.fromkeys(("int32", "int64", "uint64"), _VARINT),
    **dict.fromkeys(("float", "fixed32"), _FIXED32),
    "double": _FIXED64,
}
_BYTES = {_FIXED64: 8, _FIXED32: 4}
# Packed numbers that protobuf refuses, or that are written longer than need be.
_NO_VARINT = re.compile(rb"[\x80-\xff](?:\x00|[\x80-\xff]{8}[\x02-\xff])")
# Of those in order one that has no 32 bits: below 2^31 the fifth byte is the last, negatives go on in ones.
_NO_INT32 = re.compile(rb"(?<![\x80-\xff])[\x80-\xff]{4}(?![\x00-\x07]|[\xf8-\xff]\xff{4}\x01)")


class Schema:
    """Which fields messages have.

    Args:
        messages: by name, the fields as `number:kind`, with `*` before a kind that repeats.
        enums: the numbers of each.
        either: by message, fields of which there is one at most.
        listed: messages that `Message.everywhere` gives.
    """

    def __init__(
        self,
        messages: Mapping[str, str],
        enums: Mapping[str, Collection[int]] | None = None,
        either: Mapping[str, set[int]] | None = None,
        listed: Collection[str] = (),
    ) -> None:
        self.enums, self.either, self.listed = enums or {}, either or {}, listed
        wires = {**_WIRES, **dict.fromkeys(self.enums, _VARINT)}
        self.fields: dict[str, dict[int, tuple[int, bool, str]]] = {}
        for name, kinds in messages.items():
            self.fields[name] = {}
            for number, _, kind in (field.partition(":") for field in kinds.split()):
                plain = kind.lstrip("*")
                self.fields[name][int(number)] = (wires.get(plain, _LENGTH), plain != kind, plain)


class _Scan:
    """One pass over a file, by which all of it is checked; the tree of its messages comes of it."""

    def __init__(self, raw: bytes, schema: Schema) -> None:
        self.raw, self.schema = raw, schema
        self.budget = Budget(len(raw))
        self.listed: dict[str, list[Message]] = {name: [] for name in schema.listed}

    def message(self, name: str, start: int, stop: int, depth: int) -> Message:
        if depth > MAX_DEPTH:
            raise DamagedError(f"messages in messages, {depth} deep, at byte {start}")
        raw, fields, spend = self.raw, self.schema.fields[name], self.budget.spend
        found: dict[int, list[Any]] = {}
        position = start
        while position < stop:
            spend()
            at = position
            key = raw[position]
            if key < 0x80:
                position += 1
            else:
                key, position = self.varint(position, stop)
            number = key >> 3
            if (field := fields.get(number)) is None:
                raise DamagedError(f"{name} has no field {number} (byte {at})")
            wire, repeats, kind = field
            if key & 7 != wire:
                if not repeats or key & 7 != _LENGTH:
                    raise DamagedError(f"wire type {key & 7} of field {number} of {name} at byte {at}")
                size, position = self.varint(position, stop)
                end = self._end(number, position, size, stop)
                self._check_packed(wire, kind, position, end)
                value: Any = (position, end)
                position = end
            elif wire == _VARINT:
                value, position = self.varint(position, stop)
                value = self._fit(value, kind, at)
            elif wire == _LENGTH:
                size, position = self.varint(position, stop)
                end = self._end(number, position, size, stop)
                value = (
                    self.message(kind, position, end, depth + 1)
                    if kind in self.schema.fields
                    else (position, end)
                )
                position = end
            else:
                end = self._end(number, position, _BYTES[wire], stop)
                value = raw[position:end]
                position = end
            known = found.get(number)
            if known is None:
                found[number] = [value]
            elif not repeats:
                raise DamagedError(f"field {number} of {name} given twice (byte {at})")
            elif type(known[0]) is not type(value):
                raise DamagedError(f"field {number} of {name} both packed and not (byte {at})")
            else:
                known.append(value)
        if len(found.keys() & self.schema.either.get(name, set())) > 1:
            raise DamagedError(f"more than one kind of {name} at byte {start}")
        made = Message(self, found, stop - start)
        if name in self.listed:
            self.listed[name].append(made)
        return made

    def _end(self, number: int, position: int, size: int, stop: int) -> int:
        if size > _MAX_SIZE or position + size > stop:
            raise DamagedError(f"field {number} ends at byte {position + size}, outside its message")
        return position + size

    def _fit(self, value: int, kind: str, at: int) -> int:
        signed = value - 2**64 if value >= 2**63 and kind != "uint64" else value
        known = self.schema.enums.get(kind)
        if known is not None and signed not in known:
            raise DamagedError(f"{signed} at byte {at}, which is no {kind}")
        if kind == "int32" and not -(2**31) <= signed < 2**31:
            raise DamagedError(f"{signed} at byte {at}, which needs more than 32 bits")
        return signed

    def _check_packed(self, wire: int, kind: str, start: int, stop: int) -> None:
        if wire != _VARINT:
            if (stop - start) % _BYTES[wire]:
                raise DamagedError(f"packed numbers end at byte {stop}, inside of one")
        elif start < stop and (self.raw[stop - 1] >= 0x80 or _NO_VARINT.search(self.raw, start, stop)):
            raise DamagedError(f"packed numbers before byte {stop} that are none, or longer than need be")
        elif kind == "int32" and _NO_INT32.search(self.raw, start, stop):
            raise DamagedError(f"packed numbers before byte {stop} that need more than 32 bits")

    def varint(self, position: int, stop: int) -> tuple[int, int]:
        value, begin = 0, position
        for shift in range(0, 70, 7):
            if position >= stop:
                raise DamagedError(f"the message ends inside a number at byte {position}")
            byte = self.raw[position]
            position += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                if (byte == 0 and shift) or value >= 2**64:
                    raise DamagedError(f"a number at byte {begin} of more bytes than it needs, or 64 bits")
                return value, position
        raise DamagedError(f"a number of over ten bytes at byte {begin}")


class Message:
    """The fields of one message, by number; absent ones are empty or the default."""

    __slots__ = ("_found", "_scan", "size")

    def __init__(self, scan: _Scan, found: dict[int, list[Any]], size: int) -> None:
        self._scan, self._found, self.size = scan, found, size  # size: bytes

    @staticmethod
    def of(raw: bytes, schema: Schema, name: str) -> Message:
        """Read `raw` as the message of that name, all that is in it checked.

        Raises:
            DamagedError: it has no reading, or more than one, or takes more than `Budget` allows.
        """
        return _Scan(raw, schema).message(name, 0, len(raw), 0)

    def integer(self, number: int, default: int = 0) -> int:
        values = self._found.get(number)
        value: int = values[0] if values else default
        return value

    def integers(self, number: int) -> tuple[int, ...]:
        """A repeated int32 or int64, packed or not; a single one, or none, too."""
        found: list[int] = []
        for value in self._found.get(number, ()):
            if isinstance(value, int):
                found.append(value)
                continue
            position, stop = value
            while position < stop:
                self._scan.budget.spend()
                number_, position = self._scan.varint(position, stop)
                found.append(number_ - 2**64 if number_ >= 2**63 else number_)
        return tuple(found)

    def real(self, number: int, default: float = 0.0) -> float:
        """A float of 32 bits."""
        values = self._found.get(number)
        value: float = struct.unpack("<f", values[0])[0] if values else default
        return value

    def data(self, number: int) -> bytes:
        """The bytes of a single field, or of packed numbers; none if there are several."""
        values = self._found.get(number, ())
        return self.parts(number)[0] if len(values) == 1 and not isinstance(values[0], int) else b""

    def text(self, number: int) -> str:
        return _text(self.data(number))

    def texts(self, number: int) -> list[str]:
        return [_text(part) for part in self.parts(number)]

    def parts(self, number: int) -> list[bytes]:
        """The bytes of each: of a text, of bytes, of a number of fixed width, of packed numbers."""
        values, raw = self._found.get(number, ()), self._scan.raw
        return [value if isinstance(value, bytes) else raw[value[0] : value[1]] for value in values]

    def has(self, number: int) -> bool:
        return number in self._found

    def message(self, number: int) -> Message:
        """The nested message `number`; an empty one if it is absent."""
        values = self._found.get(number)
        found: Message = values[0] if values else Message(self._scan, {}, 0)
        return found

    def messages(self, number: int) -> list[Message]:
        return self._found.get(number, [])

    def everywhere(self, name: str) -> list[Message]:
        """All messages of that name in the file, wherever they stand; one that the schema has `listed`."""
        return self._scan.listed[name]


def _text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as failure:  # two such names would be read as one
        raise DamagedError(f"a text that is no UTF-8: {raw[:20]!r}") from failure
