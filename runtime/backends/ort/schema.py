"""What an .onnx file says of itself, read by the schema's numbers with no interpreter.

Field numbers: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

from __future__ import annotations

from pathlib import Path

from edgewright.runtime.backends import DamagedError, ModelFile, damage_as
from edgewright.runtime.backends.ort.fields import ONNX
from edgewright.runtime.backends.ort.protobuf import Message
from edgewright.runtime.contract import TensorSpec
from edgewright.runtime.errors import ModelFileError

# TensorProto.DataType
_FIRST = "float32 uint8 int8 uint16 int16 int32 int64 string bool float16 float64 uint32 uint64"
DTYPES = dict(enumerate(_FIRST.split(), 1)) | {16: "bfloat16", 21: "uint4", 22: "int4"}
DAMAGED = "is no ONNX model, or damaged or cut off: {}"
_EXTERNAL = 1  # TensorProto.DataLocation
_ORT_FORMAT = b"ORTM"  # where onnxruntime finds this, it reads a FlatBuffer instead


def read(path: Path, raw: bytes) -> ModelFile:
    """Inputs, outputs and metadata of the main graph. Raises `ModelFileError`, `DamagedError`."""
    model = parsed(raw)
    graph = model.message(7)
    initializers = graph.messages(5)
    if not model.integer(1) or not graph.messages(1):
        raise ModelFileError(f"expected an ONNX model, got {path}, which has no IR version or no nodes")
    tensors = model.everywhere("Tensor")
    if any(tensor.integer(14) == _EXTERNAL or tensor.messages(13) for tensor in tensors):
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
        metadata=_metadata(model),
    )


def parsed(raw: bytes) -> Message:
    """The file's ModelProto, wholly checked. Raises `DamagedError`."""
    if raw[4:8] == _ORT_FORMAT:
        raise DamagedError("it is in ORT format, or says so to onnxruntime; convert it to .onnx")
    return Message.of(raw, ONNX, "Model")


def _metadata(model: Message) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for entry in model.messages(14):
        key, value = entry.text(1), entry.data(2)
        if found.setdefault(key, value) != value:
            raise DamagedError(f"two values of '{key}' in its metadata")
    return found


def external_files(path: Path, raw: bytes) -> tuple[str, ...]:
    """The files that hold weights of the model, as it names them. Raises `ModelFileError`."""
    with damage_as(path, DAMAGED):
        said = [
            entry
            for tensor in parsed(raw).everywhere("Tensor")
            if tensor.integer(14) == _EXTERNAL
            for entry in tensor.messages(13)
        ]
        return tuple(sorted({entry.text(2) for entry in said if entry.text(1) == "location"}))


def _spec(value: Message) -> TensorSpec:
    tensor = value.message(2).message(1)
    dimensions = tensor.message(2).messages(1)
    return TensorSpec(
        name=value.text(1),
        shape=tuple(max(dimension.integer(1, -1), -1) for dimension in dimensions),  # -1: free
        dtype=DTYPES.get(tensor.integer(1), "other"),
    )
