"""How large a saved model is: its weights and its graph, and nothing that only training needs.

A model that was saved as it was trained also holds its optimizer's variables, with Adam twice as many as it
has weights, and what its metrics have counted. They are left out, so that a file is held against what the
model needs to run. Needs no TensorFlow.
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from edgewright.runtime.backends import DamagedError
from edgewright.runtime.backends.ort.protobuf import Message, Schema

_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"  # names of variables
# LevelDB's table format: https://github.com/google/leveldb/blob/main/doc/table_format.md
_FOOTER, _MAGIC, _TRAILER = 48, 0xDB4775248B80FB57, 5
# Of tensorflow/core/protobuf/tensor_bundle.proto what is read, and the rest as bytes.
_CHECKPOINT = Schema(
    {
        "Header": "1:int32 2:int32 3:bytes",
        "Entry": "1:int32 2:bytes 3:int32 4:int64 5:int64 6:fixed32 7:*bytes",
    }
)
_MOST = 2**10  # bytes that may become of one that is stored


class _OtherError(Exception):
    """Another kind of file than those that are taken apart here."""


def of(path: Path) -> tuple[int, int]:
    """Bytes of the weights and the graph of a .keras or .h5 file or a SavedModel folder, as they are and
    compressed with gzip; those of its files where they cannot be told apart."""
    try:
        return measured(_parts(path))
    except (_OtherError, DamagedError, OSError, KeyError, ValueError, zipfile.BadZipFile):
        files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
        return measured(file.read_bytes() for file in files)


def measured(parts: Iterator[bytes]) -> tuple[int, int]:
    """Bytes of the parts, as they are and compressed with gzip."""
    size = gzipped = 0
    gzip = zlib.compressobj(wbits=31)
    for part in parts:
        size += len(part)
        gzipped += len(gzip.compress(part))
    return size, gzipped + len(gzip.flush())


def _parts(path: Path) -> Iterator[bytes]:
    if path.is_dir():
        return _of_saved_model(path)
    return _of_archive(path) if zipfile.is_zipfile(path) else _of_h5(path)


def _of_archive(path: Path) -> Iterator[bytes]:
    """Of a .keras file: its weights are one HDF5 file, or several."""
    import h5py

    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            raw = archive.read(name)
            if name == "config.json":
                yield _graph(raw)
            elif name.endswith(".h5"):
                with h5py.File(io.BytesIO(raw), "r") as weights:
                    yield from _variables(weights)
            elif name != "metadata.json":
                yield raw


def _of_h5(path: Path) -> Iterator[bytes]:
    import h5py

    with h5py.File(path, "r") as file:
        yield _graph(file.attrs["model_config"])
        yield from _variables(file["model_weights"])


def _graph(raw: Any) -> bytes:
    """A model's configuration without how it was compiled, its own and that of models in it."""

    def bare(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: bare(entry) for key, entry in value.items() if key != "compile_config"}
        return [bare(entry) for entry in value] if isinstance(value, list) else value

    try:
        return json.dumps(bare(json.loads(raw)), separators=(",", ":")).encode()
    except RecursionError as failure:
        raise _OtherError from failure


def _variables(group: Any) -> Iterator[bytes]:
    """The bytes of each variable in an HDF5 group but the optimizer's, that of models in it too."""
    import h5py

    found: list[Any] = []

    def look(name: str, item: Any) -> None:
        groups = ["", *name.split("/")]
        optimizer = any(b == "optimizer" and a != "layers" for a, b in pairwise(groups))
        if isinstance(item, h5py.Dataset) and (in_h5 or not optimizer):
            found.append(item)

    in_h5 = group.name != "/"  # layers are groups by their own names there
    group.visititems(look)
    for dataset in found:
        if dataset.nbytes > _MOST * max(dataset.id.get_storage_size(), 1) or dataset.dtype.hasobject:
            raise _OtherError
        yield dataset[()].tobytes()


def _of_saved_model(folder: Path) -> Iterator[bytes]:
    variables = folder / "variables"
    for file in sorted(folder.rglob("*")):
        if file.is_file() and variables not in file.parents:
            yield file.read_bytes()
    if not variables.exists():
        return  # a model without weights
    index = (variables / "variables.index").read_bytes()
    entries = dict(_table(index))
    shards = Message.of(entries.pop(b""), _CHECKPOINT, "Header").integer(1, 1)
    for key, value in entries.items():
        name = key.decode("utf-8", "replace")
        groups = name.split("/")
        training = groups[:2] == ["keras_api", "metrics"] or {"optimizer", ".OPTIMIZER_SLOT"} & set(groups)
        if name == _GRAPH or training:
            continue
        entry = Message.of(value, _CHECKPOINT, "Entry")
        shard, offset, size = (entry.integer(number) for number in (3, 4, 5))
        if entry.messages(7):
            raise _OtherError  # a part of a variable
        with (variables / f"variables.data-{shard:05d}-of-{shards:05d}").open("rb") as data:
            data.seek(offset)
            yield data.read(size)


def _table(raw: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of an uncompressed table, as TensorFlow writes the index of a checkpoint."""
    if len(raw) < _FOOTER or int.from_bytes(raw[-8:], "little") != _MAGIC:
        raise _OtherError
    position = len(raw) - _FOOTER
    for _ in range(2):  # where the block of meta data is; nothing is in it
        _, position = _varint(raw, position)
    offset, position = _varint(raw, position)
    size, _ = _varint(raw, position)
    for _, handle in _block(raw, offset, size):
        offset, position = _varint(handle, 0)
        yield from _block(raw, offset, _varint(handle, position)[0])


def _block(raw: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    if offset + size + _TRAILER > len(raw) or raw[offset + size] != 0:
        raise _OtherError  # cut off, or compressed
    block = raw[offset : offset + size]
    end = size - 4 - 4 * int.from_bytes(block[-4:], "little")  # before the places of restarts
    position, key = 0, b""
    while position < end:
        shared, position = _varint(block, position)
        rest, position = _varint(block, position)
        length, position = _varint(block, position)
        key = key[:shared] + block[position : position + rest]
        position += rest
        yield key, block[position : position + length]
        position += length


def _varint(raw: bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(raw):
            break
        byte = raw[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise _OtherError
