"""A .tflite file as a tree of objects that can be changed and written again.

Needs flatbuffers, which comes with LiteRT, and is for tools: what a device runs is read by `flatbuffer.py`,
which checks each offset; this reads only what that has read before, or what was made here.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np


def read(raw: bytes) -> Any:
    """The file's `ModelT` of the schema LiteRT installs, all constants inside.

    `ai_edge_litert.tools.flatbuffer_utils` reads it too, in twice the time, and leaves empty buffers out: a
    file would not be written with the bytes it was read from.
    """
    from ai_edge_litert import schema_py_generated as schema

    tree = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(bytearray(raw), 0))
    for buffer in tree.buffers:  # constants behind the FlatBuffer would be lost on writing
        if buffer.offset > 1:
            buffer.data = np.frombuffer(raw, np.uint8, buffer.size, buffer.offset)
            buffer.offset = buffer.size = 0
    return tree


def write(tree: Any) -> bytes:
    import flatbuffers

    for code in tree.operatorCodes:
        # The schema's older field holds up to 127; ai-edge-quantizer leaves its own operators' at 0, which is
        # ADD to those who read it: OpenVINO, LiteRT of before 2020.
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
    aligned = copy.copy(tree)
    aligned.buffers = [_Aligned(buffer) for buffer in tree.buffers]
    builder = flatbuffers.Builder(4096)
    builder.Finish(aligned.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


class _Aligned:
    """A buffer whose data begins at a multiple of 16 bytes: the schema demands it (`force_align`), kernels
    for small devices rely on it, and the schema's generated Python forgets it."""

    def __init__(self, buffer: Any) -> None:
        self._buffer = buffer

    def Pack(self, builder: Any) -> int:  # noqa: N802  (the generated code's own name)
        if self._buffer.data is not None:
            builder.Prep(16, len(self._buffer.data))
        offset: int = self._buffer.Pack(builder)
        return offset
