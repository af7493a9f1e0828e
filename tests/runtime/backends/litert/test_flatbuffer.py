"""The FlatBuffer reader agrees with the flatbuffers package, and points outside the buffer nowhere."""

from __future__ import annotations

import flatbuffers
import pytest

from edgewright.runtime.backends import DamagedError
from edgewright.runtime.backends.litert.flatbuffer import Table, read_int


@pytest.fixture(scope="module")
def raw() -> bytes:
    """A table: 0 a string, 1 an int32, 2 two tables with a byte each, 3 int32s, 4 floats, 5 absent."""
    b = flatbuffers.Builder(64)
    text = b.CreateString("größe")
    tables = []
    for number in (7, -8):
        b.StartObject(1)
        b.PrependInt8Slot(0, number, 0)
        tables.append(b.EndObject())
    b.StartVector(4, 2, 4)
    for table in reversed(tables):
        b.PrependUOffsetTRelative(table)
    vector = b.EndVector()
    b.StartVector(4, 3, 4)
    for value in (3, 2, -1):
        b.PrependInt32(value)
    integers = b.EndVector()
    b.StartVector(4, 1, 4)
    b.PrependFloat32(0.5)
    floats = b.EndVector()
    b.StartObject(6)
    b.PrependUOffsetTRelativeSlot(0, text, 0)
    b.PrependInt32Slot(1, -123456, 0)
    for slot, offset in ((2, vector), (3, integers), (4, floats)):
        b.PrependUOffsetTRelativeSlot(slot, offset, 0)
    b.Finish(b.EndObject(), file_identifier=b"TEST")
    return bytes(b.Output())


def read_all(raw: bytes) -> list[object]:
    root = Table.root(raw)
    return [
        root.text(0),
        root.scalar(1, "<i"),
        [table.scalar(0, "<b") for table in root.tables(2)],
        root.integers(3),
        root.floats(4),
    ]


def test_flatbuffer_table_reads_every_kind_of_field(raw: bytes) -> None:
    assert read_all(raw) == ["größe", -123456, [7, -8], (-1, 2, 3), (0.5,)]


def test_flatbuffer_absent_fields_are_empty_or_the_default(raw: bytes) -> None:
    root = Table.root(raw)
    for slot in (5, 6, 1000):
        assert root.scalar(slot, "<i", 42) == 42
        assert root.table(slot) is None
        assert (root.text(slot), root.tables(slot), root.integers(slot), root.floats(slot)) == (
            "",
            [],
            (),
            (),
        )


def test_flatbuffer_cut_off_anywhere_is_read_right_or_called_damaged(raw: bytes) -> None:
    whole = read_all(raw)
    outcomes = set()
    for length in range(len(raw)):
        try:
            outcomes.add(str(read_all(raw[:length])))
        except DamagedError:
            outcomes.add("damaged")
    assert outcomes <= {"damaged", str(whole)}


def test_flatbuffer_with_any_byte_changed_raises_damaged_at_worst(raw: bytes) -> None:
    damaged = 0
    for position in range(len(raw)):
        for value in (0, 1, 0x7F, 0x80, 0xFF):
            changed = bytearray(raw)
            changed[position] = value
            try:
                read_all(bytes(changed))
            except DamagedError:
                damaged += 1
    assert damaged > 0


@pytest.mark.parametrize("size", [0, 3, 13])
def test_flatbuffer_vtable_that_ends_inside_a_field_is_damage(raw: bytes, size: int) -> None:
    """Other readers round its end up."""
    table = read_int(raw, 0, "<I")
    place = table - read_int(raw, table, "<i")
    changed = raw[:place] + size.to_bytes(2, "little") + raw[place + 2 :]
    with pytest.raises(DamagedError, match=f"a vtable of {size} bytes"):
        Table.root(changed)


@pytest.mark.parametrize("position", [-1, -4, 5, 8, 2**40])
def test_flatbuffer_read_int_outside_the_buffer_is_damage(position: int) -> None:
    with pytest.raises(DamagedError, match=f"byte {position} lies outside the file of 8 bytes"):
        read_int(bytes(8), position, "<I")
