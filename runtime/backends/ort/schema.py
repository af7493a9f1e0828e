"""What an .onnx file says of itself, read by the schema's numbers with no interpreter.

Field numbers: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from edgewright.runtime.backends import ModelFile
from edgewright.runtime.backends.ort.protobuf import DamagedError, Message
from edgewright.runtime.contract import TensorSpec
from edgewright.runtime.errors import ModelFileError

# TensorProto.DataType
DTYPES = {
    1: "float32",
    2: "uint8",
    3: "int8",
    4: "uint16",
    5: "int16",
    6: "int32",
    7: "int64",
    8: "string",
    9: "bool",
    10: "float16",
    11: "float64",
    12: "uint32",
    13: "uint64",
    16: "bfloat16",
    21: "uint4",
    22: "int4",
}
_EXTERNAL = 1  # TensorProto.DataLocation


def read(path: Path, raw: bytes) -> ModelFile:
    """Inputs, outputs and metadata of the main graph. Raises `ModelFileError`."""
    with damage_named(path):
        return _read(path, raw)


def _read(path: Path, raw: bytes) -> ModelFile:
    model = Message(raw)
    graph = model.message(7)
    initializers = graph.messages(5)
    if not model.integer(1) or not graph.messages(1):
        raise ModelFileError(f"expected an ONNX model, got {path}, which has no IR version or no nodes")
    if any(tensor.integer(14) == _EXTERNAL for tensor in _tensors(model)):
        raise ModelFileError(
            f"expected all weights inside {path}, got references to other files; export it whole"
        )
    constants = {tensor.text(8) for tensor in initializers}
    opsets = [f"{entry.text(1) or 'ai.onnx'} {entry.integer(2)}" for entry in model.messages(8)]
    return ModelFile(
        path=path,
        raw=raw,
        inputs=tuple(spec for spec in map(_spec, graph.messages(11)) if spec.name not in constants),
        outputs=tuple(_spec(value) for value in graph.messages(12)),
        facts={
            "format": f"ONNX IR {model.integer(1)}, opset {', '.join(opsets)}",
            "producer": f"{model.text(2)} {model.text(3)}".strip(),
        },
        metadata={entry.text(1): entry.data(2) for entry in model.messages(14)},
    )


def _tensors(model: Message) -> Iterator[Message]:
    """Every tensor in the file: constants of graphs, sparse ones, attributes of nodes and functions."""
    graphs, nodes = [model.message(7)], [n for f in model.messages(25) for n in f.messages(7)]
    while graphs or nodes:
        if graphs:
            graph = graphs.pop()
            yield from graph.messages(5)
            sparse = graph.messages(15)
            nodes += graph.messages(1)
        else:
            attributes = nodes.pop().messages(5)
            yield from (t for a in attributes for number in (5, 10) for t in a.messages(number))
            graphs += [g for a in attributes for number in (6, 11) for g in a.messages(number)]
            sparse = [s for a in attributes for number in (22, 23) for s in a.messages(number)]
        yield from (t for s in sparse for number in (1, 2) for t in s.messages(number))


def _spec(value: Message) -> TensorSpec:
    tensor = value.message(2).message(1)
    dimensions = tensor.message(2).messages(1)
    return TensorSpec(
        name=value.text(1),
        shape=tuple(dimension.integer(1, -1) for dimension in dimensions),  # -1: free
        dtype=DTYPES.get(tensor.integer(1), "other"),
    )


@contextlib.contextmanager
def damage_named(path: Path) -> Iterator[None]:
    """Turn what a damaged file makes readers raise into `ModelFileError`."""
    try:
        yield
    except DamagedError as failure:
        raise ModelFileError(f"{path} is no ONNX model, or damaged or cut off: {failure}") from failure
