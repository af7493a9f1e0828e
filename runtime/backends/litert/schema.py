"""What a .tflite file says of itself, read by the schema's numbers with no interpreter.

Field slots: https://github.com/google-ai-edge/LiteRT/blob/main/tflite/converter/schema/schema.fbs
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgewright.runtime.backends import DamagedError, ModelFile
from edgewright.runtime.backends.litert.flatbuffer import Table
from edgewright.runtime.contract import TensorSpec
from edgewright.runtime.errors import ModelFileError

# TensorType of the schema
DTYPES = dict(
    enumerate(
        """
        float32 float16 int32 uint8 int64 string bool int16 complex64 int8 float64 complex128 uint64
        resource variant uint32 uint16 int4 bfloat16 int2 uint4 float8_e4m3fn float8_e5m2
        """.split()  # noqa: SIM905 - in the order of their numbers
    )
)


def read(path: Path, raw: bytes) -> ModelFile:
    """Inputs, outputs and metadata of the main graph. Raises `ModelFileError`, `DamagedError`."""
    if raw[4:8] != b"TFL3":
        raise ModelFileError(
            f"expected a TFLite model (FlatBuffer 'TFL3'), got {path}, which starts with {raw[:8]!r}"
        )
    model = Table.root(raw)
    if model.count(8, 4) or model.count(9, 4):  # groups of buffers in other files, and these buffers
        raise ModelFileError(
            f"expected all weights inside {path}, got references to other files; export it whole"
        )
    graphs = model.tables(2)
    if len(graphs) < 1:
        raise ModelFileError(f"expected at least one subgraph in {path}, got none")
    graph, tensors, buffers = graphs[0], graphs[0].tables(0), model.tables(4)

    def specs(slot: int) -> tuple[TensorSpec, ...]:
        indices = graph.integers(slot)
        _few(indices, "inputs or outputs")
        return tuple(_spec(_item(tensors, index, "tensor")) for index in indices)

    found = model.tables(6)
    _few(found, "metadata entries")
    entries = {entry.text(0): _buffer(_item(buffers, entry.scalar(1, "<I"), "buffer")) for entry in found}
    if len(entries) < len(found):
        raise DamagedError("two metadata entries of one name")
    return ModelFile(
        path=path,
        raw=raw,
        inputs=specs(1),
        outputs=specs(2),
        facts={"format": f"TFLite schema {model.scalar(0, '<I')}", "producer": model.text(3)},
        metadata=entries,
    )


def _few(items: Sequence[Any], what: str) -> None:
    """Items may share what they refer to: many of them in a small file would fill the memory."""
    if len(items) > 100:
        raise DamagedError(f"{len(items)} {what}")


def _item(items: list[Any], index: int, what: str) -> Any:
    if not 0 <= index < len(items):
        raise DamagedError(f"{what} {index} of {len(items)}")
    return items[index]


def _spec(tensor: Table) -> TensorSpec:
    quantization = tensor.table(4)
    scales = quantization.numbers(2, "<f4")[:1].tolist() if quantization else []
    zero_points = quantization.numbers(3, "<i8")[:1].tolist() if quantization else []
    shape = tensor.integers(7) or tensor.integers(0)  # the signature keeps -1 where a size is free
    return TensorSpec(
        name=tensor.text(3),
        shape=shape,
        dtype=DTYPES.get(tensor.scalar(1, "<b"), "other"),
        scale=scales[0] if scales else 0.0,
        zero_point=zero_points[0] if zero_points else 0,
    )


def _buffer(buffer: Table) -> bytes:
    start, size = buffer.scalar(1, "<Q"), buffer.scalar(2, "<Q")
    if start > 1:  # large constants may stand behind the FlatBuffer
        return buffer.part(start, size)
    return buffer.data(0)
