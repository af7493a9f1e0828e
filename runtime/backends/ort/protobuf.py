"""A protobuf wire reader just large enough for .onnx files, with every length checked.

It lets a device read labels and shapes before any interpreter has seen the file, without the onnx
package. Wire format: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from collections import defaultdict
from typing import TypeAlias

from edgewright.runtime.backends import DamagedError

Span: TypeAlias = tuple[int, int]  # where a length-delimited field starts and ends


class Message:
    """The fields of one message in `raw[start:end]`, by field number; nested ones are read on demand."""

    __slots__ = ("_integers", "_raw", "_spans", "size")

    def __init__(self, raw: bytes, start: int = 0, end: int | None = None) -> None:
        self._raw = raw
        self._integers: defaultdict[int, list[int]] = defaultdict(list)
        self._spans: defaultdict[int, list[Span]] = defaultdict(list)
        position, stop = start, len(raw) if end is None else end
        self.size = stop - start  # bytes
        while position < stop:
            key, position = self._varint(position, stop)
            number, wire = key >> 3, key & 7
            if number == 0:
                raise DamagedError(f"no field has number 0 (byte {position})")
            if wire == 0:
                value, position = self._varint(position, stop)
                self._integers[number].append(value)
                continue
            if wire == 2:
                size, position = self._varint(position, stop)
                self._spans[number].append((position, position + size))
            elif wire in (1, 5):
                size = 8 if wire == 1 else 4
            else:
                raise DamagedError(f"wire type {wire} at byte {position}")
            position += size
            if position > stop:
                raise DamagedError(f"field {number} ends at byte {position}, outside its message")

    def _varint(self, position: int, stop: int) -> tuple[int, int]:
        value = 0
        for shift in range(0, 70, 7):
            if position >= stop:
                raise DamagedError(f"the message ends inside a number at byte {position}")
            byte = self._raw[position]
            position += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, position
        raise DamagedError(f"a number of over ten bytes at byte {position}")

    def integer(self, number: int, default: int = 0) -> int:
        values = self._integers.get(number)
        return values[-1] if values else default

    def integers(self, number: int) -> tuple[int, ...]:
        """A repeated int64, packed or not."""
        found = list(self._integers.get(number, ()))
        for position, stop in self._spans.get(number, ()):
            while position < stop:
                value, position = self._varint(position, stop)
                found.append(value)
        return tuple(value - 2**64 if value >= 2**63 else value for value in found)

    def data(self, number: int) -> bytes:
        spans = self._spans.get(number)
        return self._raw[spans[-1][0] : spans[-1][1]] if spans else b""

    def text(self, number: int) -> str:
        return self.data(number).decode("utf-8", "replace")

    def texts(self, number: int) -> list[str]:
        return [
            self._raw[start:stop].decode("utf-8", "replace") for start, stop in self._spans.get(number, ())
        ]

    def message(self, number: int) -> Message:
        """The nested message `number`; an empty one if it is absent."""
        spans = self._spans.get(number)
        return Message(self._raw, *spans[-1]) if spans else Message(b"")

    def messages(self, number: int) -> list[Message]:
        return [Message(self._raw, *span) for span in self._spans.get(number, [])]
