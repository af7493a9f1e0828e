"""Files changed at random, and files made of random structure: what the readers are attacked with."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Random = np.random.Generator

_EXTREMES = (0, 1, 2, 3, 4, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFFFFE)


def mutated(raw: bytes, random: Random, places: NDArray[np.integer[Any]] | None = None) -> bytes:
    """A few changes of one kind or another, anywhere or at some of `places`: bits, bytes, extreme numbers,
    pieces moved, cut out, put in."""
    changed = bytearray(raw)
    for _ in range(int(random.choice([1, 1, 2, 4, 16]))):
        size = max(len(changed), 1)
        place = int(random.integers(size) if places is None else random.choice(places) % size)
        kind = random.integers(7)
        if kind == 0 and changed:
            changed[place] ^= 1 << int(random.integers(8))
        elif kind == 1 and changed:
            changed[place] = int(random.integers(256))
        elif kind == 2:
            width = int(random.choice([1, 2, 4, 8]))
            value = int(random.choice(_EXTREMES)) & (256**width - 1)
            changed[place : place + width] = value.to_bytes(width, "little")
        elif kind == 3:
            start, size = int(random.integers(len(raw))), int(random.integers(1, 64))
            changed[place : place + size] = raw[start : start + size]
        elif kind == 4:
            start, size = int(random.integers(len(raw))), int(random.integers(1, 64))
            changed[place:place] = raw[start : start + size]
        elif kind == 5:
            del changed[place : place + int(random.integers(1, 16))]
        elif random.integers(8) == 0:
            del changed[place:]
        else:
            changed[place:place] = random.bytes(int(random.integers(1, 8)))
    return bytes(changed)


def varint(value: int, random: Random | None = None) -> bytes:
    """As protobuf writes it; with `random` now and then longer than need be, or with bits beyond the 64th."""
    value &= 2**70 - 1
    found = bytearray()
    while True:
        found.append(value & 0x7F | 0x80)
        value >>= 7
        if not value:
            break
    if random is not None and random.integers(12) == 0:
        found += b"\x80" * int(random.integers(1, 4))
        found[-1] &= 0x7F
    found[-1] &= 0x7F
    return bytes(found)


def _numbers(random: Random) -> int:
    kind = random.integers(5)
    if kind < 3:
        return int(random.integers(0, 24))
    return int(random.choice([2**31, 2**32 + 1, 2**63, 2**64 - 1, 2**64 + 1, 2**32 - 1, 127, 128, 2**66]))


def protobuf(raw: bytes, random: Random) -> bytes:
    """A model whose top-level and nested fields were written anew: doubled, swapped, split, of other wire
    types, with numbers that do not fit."""
    return b"".join(_rewritten(split(raw), random, 0))


def split(raw: bytes) -> list[tuple[int, int, bytes | int]]:
    """Number, wire type and value of each field; raises `ValueError` for what is no protobuf."""
    found: list[tuple[int, int, bytes | int]] = []
    position = 0
    while position < len(raw):
        key, position = _read(raw, position)
        number, wire = key >> 3, key & 7
        if number == 0:
            raise ValueError("field 0")
        if wire == 0:
            value, position = _read(raw, position)
            found.append((number, wire, value))
            continue
        size = {1: 8, 5: 4}.get(wire)
        if wire == 2:
            size, position = _read(raw, position)
        if size is None or position + size > len(raw):
            raise ValueError("no field")
        found.append((number, wire, raw[position : position + size]))
        position += size
    return found


def _read(raw: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while position < len(raw) and shift < 70:
        byte = raw[position]
        position += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, position
    raise ValueError("no number")


def _field(number: int, wire: int, value: bytes | int, random: Random | None) -> bytes:
    key = varint(number << 3 | wire, random)
    if isinstance(value, int):
        return key + varint(value, random)
    return key + (varint(len(value), random) if wire == 2 else b"") + value


def _rewritten(fields: list[tuple[int, int, bytes | int]], random: Random, depth: int) -> list[bytes]:
    """The fields in order, one or two of them changed; where one holds a message, often inside of it."""
    written = [_field(number, wire, value, None) for number, wire, value in fields]
    if not fields:
        return [_field(int(random.integers(1, 27)), 0, _numbers(random), random)]
    for _ in range(int(random.integers(1, 3))):
        place = int(random.integers(len(fields)))
        number, wire, value = fields[place]
        inner = None
        if isinstance(value, bytes) and wire == 2 and depth < 8 and random.integers(4):
            try:
                inner = split(value)
            except ValueError:
                inner = None
        if inner is not None:
            written[place] = _field(number, 2, b"".join(_rewritten(inner, random, depth + 1)), None)
            continue
        kind = random.integers(8)
        if kind == 0:  # twice
            written.insert(place, written[int(random.integers(len(written)))])
        elif kind == 1:  # one that is not there, or another one once more
            written.append(_field(int(random.integers(1, 27)), 0, _numbers(random), random))
        elif kind == 2 and isinstance(value, int):
            written[place] = _field(number, wire, _numbers(random), random)
        elif kind == 3:  # of another wire type
            written[place] = _field(number, int(random.integers(6)), random.bytes(8), random)
        elif kind == 4 and isinstance(value, int):  # packed, or twice as much
            written[place] = _field(number, 2, varint(value, random) + varint(_numbers(random), random), None)
        elif kind == 5 and isinstance(value, bytes) and len(value) > 1:  # in two parts, which merge
            cut = int(random.integers(1, len(value)))
            written[place] = _field(number, 2, value[:cut], None) + _field(number, 2, value[cut:], None)
        elif kind == 6:  # a group around it
            written[place] = varint(number << 3 | 3) + written[place] + varint(number << 3 | 4)
        else:
            random.shuffle(written)
    return written


def flatbuffer(raw: bytes, random: Random) -> bytes:
    """A model whose offsets lead elsewhere: to other tables, vectors and vtables, back, and to their own."""
    words = np.frombuffer(raw[: len(raw) // 4 * 4], "<u4").copy()
    places = np.flatnonzero((words > 0) & (4 * (np.arange(len(words)) + words // 4) < len(raw)))
    for _ in range(int(random.integers(1, 6))):
        at = int(random.choice(places))
        kind = random.integers(5)
        if kind == 0:  # where another one leads
            other = int(random.choice(places))
            words[at] = (4 * other + int(words[other]) - 4 * at) & 0xFFFFFFFF
        elif kind == 1:  # anywhere
            words[at] = int(random.integers(len(raw)))
        elif kind == 2:
            words[at] = int(random.choice(_EXTREMES))
        elif kind == 3:  # to itself, or a little aside
            words[at] = int(random.integers(0, 8))
        else:  # as another vtable has it
            other = int(random.integers(len(words)))
            words[at] = words[other]
    return words.tobytes() + raw[len(words) * 4 :]


_DEEP = "lists in lists"


def json_text(raw: bytes, random: Random) -> bytes:
    """A JSON text of which a value, or several, became another: of another type, extreme, gone or nested."""
    data = json.loads(raw)
    for _ in range(int(random.integers(1, 4))):
        holder: Any = data
        while True:
            keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
            if not keys:
                break
            key = keys[int(random.integers(len(keys)))]
            if not isinstance(holder[key], dict | list) or random.integers(3) == 0:
                if random.integers(5) == 0:
                    del holder[key]
                else:
                    holder[key] = _values(random)
                break
            holder = holder[key]
    text = json.dumps(data, ensure_ascii=bool(random.integers(2))).encode("utf-8", "surrogatepass")
    depth = int(random.choice([10, 900, 100_000]))  # which no encoder would write
    text = text.replace(json.dumps(_DEEP).encode(), b"[" * depth + b"]" * depth)
    return mutated(text, random) if random.integers(4) == 0 else text


def _values(random: Random) -> Any:
    values: list[Any] = [
        *(
            None,
            True,
            False,
            "",
            "x",
            "../../etc/passwd",
            "a\0b",
            "\ud800",
            "x" * 5000,
            [],
            {},
            [[]],
            {"a": 1},
        ),
        *(0, -1, 1, 2**31, 2**53 + 1, 2**64, -(2**63), 10**400, 0.5, 1e308, -1e-320, math.nan, math.inf),
        *([1] * 3000, ["a"] * 3, _DEEP, "softmax", "-0", "1e5"),
    ]
    return values[int(random.integers(len(values)))]
