"""Files that are small and cost much: refused while they are read, in seconds and little memory."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import flatbuffers
import pytest

from edgewright.runtime import backends
from edgewright.runtime.backends import FIELDS_VARIABLE, Budget, damage_as
from edgewright.runtime.errors import InputError, ModelFileError

SIZE = 8 * 2**20

# Reads and looks through a file, limited to the processor time and the memory that are promised.
PROGRAM = """
import resource, sys
from pathlib import Path
from edgewright.runtime import backends
from edgewright.runtime.errors import ModelFileError
path = Path(sys.argv[1])
backend = backends.for_path(path)
import edgewright.runtime.backends.ort.graph, edgewright.runtime.backends.litert.graph
def used(): return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024
Path("/proc/self/clear_refs").write_text("5")
before, start = used(), resource.getrusage(resource.RUSAGE_SELF)
said = "accepted"
try:
    backend.graph(backend.read(path))
except ModelFileError as failure:
    said = str(failure)
end = resource.getrusage(resource.RUSAGE_SELF)
print(end.ru_utime + end.ru_stime - start.ru_utime - start.ru_stime, used() - before, said)
"""


def varint(value: int) -> bytes:
    found = b""
    while value >= 0x80:
        found, value = found + bytes([value & 0x7F | 0x80]), value >> 7
    return found + bytes([value])


def inside(*path: int, content: bytes) -> bytes:
    """Content as the field 7 of a field 1 ..., the innermost last."""
    for number in reversed(path):
        content = varint(number << 3 | 2) + varint(len(content)) + content
    return content


def two_byte_fields() -> bytes:
    """Nodes' names of inputs, empty."""
    return b"\x08\x08" + inside(7, 1, content=b"\x0a\x00" * (SIZE // 2))


def empty_messages() -> bytes:
    return b"\x08\x08" + inside(7, content=b"\x0a\x00" * (SIZE // 2))


def packed_numbers() -> bytes:
    """The dimensions of one constant."""
    return b"\x08\x08" + inside(7, content=inside(1, content=b"") + inside(5, 1, content=b"\x01" * SIZE))


def deep_messages() -> bytes:
    content = b""
    while len(content) < SIZE // 8:  # graphs in attributes of nodes of graphs
        for number in (6, 5, 1):
            content = varint(number << 3 | 2) + varint(len(content)) + content
        content += b"\x52\x7f" + bytes(127)
    return b"\x08\x08" + inside(7, content=content)


def same_tensors() -> bytes:
    """A vector of two million offsets that all lead to one tensor."""
    return _model(lambda builder, tensor: _alike(builder, tensor, SIZE // 4))


def same_names() -> bytes:
    return _model(lambda builder, tensor: _alike(builder, tensor, 100_000), name=b"n" * 4000)


def same_graphs() -> bytes:
    return _model(lambda builder, tensor: _alike(builder, tensor, 2000), graphs=SIZE // 8)


def long_shape() -> bytes:
    return _model(lambda builder, tensor: _alike(builder, tensor, 1), shape=SIZE // 4)


def _alike(builder: flatbuffers.Builder, item: int, count: int) -> int:
    builder.StartVector(4, count, 4)
    last = builder.Offset() + 4 * count
    builder.head -= 4 * count  # written whole: offset by offset would take the longest of the test
    at = builder.Offset()
    assert at == last
    offsets = b"".join((last - item - 4 * i).to_bytes(4, "little") for i in range(count))
    builder.Bytes[builder.head : builder.head + 4 * count] = offsets
    return int(builder.EndVector())


def _model(
    vector: Callable[[flatbuffers.Builder, int], int], *, name: bytes = b"n", graphs: int = 1, shape: int = 0
) -> bytes:
    builder = flatbuffers.Builder(4 * SIZE)
    text = builder.CreateString(name)
    builder.StartVector(4, shape, 4)
    builder.head -= 4 * shape
    sizes = builder.EndVector()
    builder.StartObject(4)
    builder.PrependUOffsetTRelativeSlot(0, sizes, 0)
    builder.PrependUOffsetTRelativeSlot(3, text, 0)
    tensors = vector(builder, builder.EndObject())
    builder.StartVector(4, 0, 4)
    none = builder.EndVector()
    builder.StartObject(4)
    for slot, offset in ((0, tensors), (1, none), (2, none), (3, none)):
        builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
    parts = _alike(builder, builder.EndObject(), graphs)
    builder.StartObject(1)
    buffers = _alike(builder, builder.EndObject(), 1)
    builder.StartObject(5)
    builder.PrependInt32Slot(0, 3, 0)
    builder.PrependUOffsetTRelativeSlot(2, parts, 0)
    builder.PrependUOffsetTRelativeSlot(4, buffers, 0)
    builder.Finish(builder.EndObject(), file_identifier=b"TFL3")
    return bytes(builder.Output())


@pytest.mark.parametrize(
    "make",
    [
        *(two_byte_fields, empty_messages, packed_numbers, deep_messages),
        *(same_tensors, same_names, same_graphs, long_shape),
    ],
)
def test_file_that_costs_much_is_refused_within_two_seconds_and_little_memory(
    tmp_path: Path, make: Callable[[], bytes]
) -> None:
    raw = make()
    path = tmp_path / ("file.tflite" if raw[4:8] == b"TFL3" else "file.onnx")
    path.write_bytes(raw)
    done = subprocess.run([sys.executable, "-c", PROGRAM, path], capture_output=True, text=True, check=True)
    seconds, size, said = done.stdout.split(maxsplit=2)
    assert float(seconds) < 2
    assert int(size) <= 64 * 2**20 + 4 * len(raw)
    deep, wrong = make is deep_messages, make is long_shape
    assert ("messages in messages" if deep else "dimensions" if wrong else "expected less in") in said


def test_budget_is_raised_by_the_variable_that_the_message_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "many.onnx"
    names = b"\x0a\x00" * 200_000
    path.write_bytes(b"\x08\x08" + inside(7, content=inside(1, content=names + b"\x22\x04Relu")))
    backend = backends.for_path(path)
    with pytest.raises(ModelFileError, match=f"more than 200,000 fields.*set {FIELDS_VARIABLE}"):
        backend.read(path)
    monkeypatch.setenv(FIELDS_VARIABLE, "300000")
    backend.graph(backend.read(path))
    monkeypatch.setenv(FIELDS_VARIABLE, "many")
    with pytest.raises(InputError, match=f"expected {FIELDS_VARIABLE} to be a whole number, got 'many'"):
        Budget(1)


@pytest.mark.parametrize(
    "failure",
    [
        *(
            IndexError("x"),
            RecursionError(),
            OverflowError("x"),
            MemoryError(),
            ZeroDivisionError(),
            KeyError(1),
        ),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad\nbyte"),
    ],
)
def test_whatever_a_reader_raises_is_a_model_file_error_of_one_line(failure: Exception) -> None:
    with (
        pytest.raises(ModelFileError, match=type(failure).__name__) as told,
        damage_as(Path("a"), "is so: {}"),
    ):
        raise failure
    assert "\n" not in str(told.value)
