"""A FlatBuffer reader just large enough for .tflite files, with every offset checked.

A device reads labels and shapes from a model file before any interpreter has seen it; this does so
without another package. Tables may share what they refer to, so what is decoded is counted, see
`edgewright.runtime.backends.Budget`. Layout: https://flatbuffers.dev/internals/
"""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

from edgewright.runtime.backends import Budget, DamagedError

MAX_NAME_BYTES = 4096


class Table:
    """A FlatBuffer table at `position`; fields are asked for by their slot number in the schema."""

    __slots__ = ("_budget", "_raw", "_vtable", "_vtable_bytes", "position")

    def __init__(self, raw: bytes, position: int, budget: Budget) -> None:
        budget.spend()
        self._raw, self.position, self._budget = raw, position, budget
        self._vtable = position - read_int(raw, position, "<i")
        self._vtable_bytes = read_int(raw, self._vtable, "<H")
        if self._vtable_bytes < 4 or self._vtable_bytes % 2:  # an end that readers round up or down
            raise DamagedError(f"a vtable of {self._vtable_bytes} bytes at byte {self._vtable}")

    @classmethod
    def root(cls, raw: bytes) -> Table:
        return cls(raw, read_int(raw, 0, "<I"), Budget(len(raw)))

    def _field(self, slot: int) -> int:
        offset = 4 + 2 * slot
        if offset + 2 > self._vtable_bytes:
            return 0
        relative = read_int(self._raw, self._vtable + offset, "<H")
        return self.position + relative if relative else 0

    def _target(self, slot: int) -> int:
        field = self._field(slot)
        if not field:
            return 0
        self._budget.spend()
        return field + read_int(self._raw, field, "<I")

    def scalar(self, slot: int, layout: str, default: int = 0) -> int:
        """An integer field, `layout` as in `struct`, such as "<i"."""
        field = self._field(slot)
        return read_int(self._raw, field, layout) if field else default

    def real(self, slot: int, default: float = 0.0) -> float:
        """A float field of 32 bits."""
        field = self._field(slot)
        if not field:
            return default
        read_int(self._raw, field, "<I")  # which sees that it lies inside
        value: float = struct.unpack_from("<f", self._raw, field)[0]
        return value

    def table(self, slot: int) -> Table | None:
        target = self._target(slot)
        return Table(self._raw, target, self._budget) if target else None

    def data(self, slot: int) -> bytes:
        """The bytes of a vector of bytes, or of a string."""
        start, count = self._vector(slot, 1)
        return self.part(start, count)

    def part(self, start: int, count: int) -> bytes:
        """Bytes of the file. Raises `DamagedError` where they would lie outside, `BudgetError`."""
        if start + count > len(self._raw):
            raise DamagedError(f"{count} bytes at byte {start} end outside the file")
        self._budget.copy(count)
        return self._raw[start : start + count]

    def count(self, slot: int, item_bytes: int = 1) -> int:
        """How many items of `item_bytes` a vector has, none of which is read."""
        return self._vector(slot, item_bytes)[1]

    def text(self, slot: int) -> str:
        """A name. Names are short; long ones that many tables share would fill the memory."""
        start, count = self._vector(slot, 1)
        if count > MAX_NAME_BYTES:
            raise DamagedError(f"a name of {count} bytes")
        return self.part(start, count).decode("utf-8", "replace")

    def integers(self, slot: int) -> tuple[int, ...]:
        """A vector of int32, such as a shape or places of tensors."""
        self._budget.spend(self.count(slot, 4))
        return tuple(self.numbers(slot, "<i4").tolist())

    def numbers(self, slot: int, dtype: str) -> NDArray[np.generic]:
        """A vector of numbers of the numpy `dtype`, such as "<f4", as an array over the file's own bytes."""
        item_bytes = np.dtype(dtype).itemsize
        start, count = self._vector(slot, item_bytes)
        self._budget.copy(count * item_bytes)
        return np.frombuffer(self._raw, dtype, count, start) if count else np.zeros(0, dtype)

    def floats(self, slot: int) -> tuple[float, ...]:
        """A short vector of float32."""
        self._budget.spend(self.count(slot, 4))
        return tuple(self.numbers(slot, "<f4").tolist())

    def tables(self, slot: int) -> list[Table]:
        start, count = self._vector(slot, 4)
        places = range(start, start + 4 * count, 4)
        return [Table(self._raw, place + read_int(self._raw, place, "<I"), self._budget) for place in places]

    def _vector(self, slot: int, item_bytes: int) -> tuple[int, int]:
        target = self._target(slot)
        if not target:
            return 0, 0
        count = read_int(self._raw, target, "<I")
        if target + 4 + count * item_bytes > len(self._raw):
            raise DamagedError(f"a vector of {count} items at byte {target} ends outside the file")
        return target + 4, count


def read_int(raw: bytes, position: int, layout: str) -> int:
    """One integer at `position`. Raises `DamagedError` where it would lie outside `raw`."""
    if position < 0 or position + struct.calcsize(layout) > len(raw):
        raise DamagedError(f"byte {position} lies outside the file of {len(raw)} bytes")
    value: int = struct.unpack_from(layout, raw, position)[0]
    return value
