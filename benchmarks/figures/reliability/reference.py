"""Whether our readers read a file as those do that its formats' own projects wrote: onnx and flatbuffers.

A file that both take has to have the same fields by both; what theirs refuses, ours has to refuse.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from edgewright.runtime.backends import ModelFile
from edgewright.runtime.backends.litert import graph as tflite_graph
from edgewright.runtime.backends.litert.schema import DTYPES
from edgewright.runtime.backends.ort import schema as onnx_schema
from edgewright.runtime.backends.ort.protobuf import Message


def onnx_differs(file: ModelFile) -> str:
    """Where a file that was read differs by onnx's own parser; empty if nowhere."""
    import onnx

    try:
        proto = onnx.ModelProto.FromString(file.raw)
    except Exception as failure:  # google.protobuf.message.DecodeError
        return f"refused by onnx: {failure}"
    constants = {tensor.name for tensor in proto.graph.initializer}
    given = [_value(value) for value in proto.graph.input if value.name not in constants]
    if [_spec(spec) for spec in file.inputs] != given:
        return f"inputs {given}"
    if [_spec(spec) for spec in file.outputs] != [_value(value) for value in proto.graph.output]:
        return "outputs"
    return _message_differs(onnx_schema.parsed(file.raw), proto, "model")


def _spec(spec: Any) -> tuple[str, tuple[int, ...], str]:
    return spec.name, spec.shape, spec.dtype


def _value(value: Any) -> tuple[str, tuple[int, ...], str]:
    kind = value.type.tensor_type
    sizes = (d.dim_value if d.HasField("dim_value") else -1 for d in kind.shape.dim)
    return (
        value.name,
        tuple(max(size, -1) for size in sizes),
        onnx_schema.DTYPES.get(kind.elem_type, "other"),
    )


def _message_differs(ours: Message, theirs: Any, place: str) -> str:
    """The first field, of all that the schema has, that is not the same in both."""
    for field in theirs.DESCRIPTOR.fields:
        number, where = field.number, f"{place}.{field.name}"
        many = field.is_repeated
        found = list(getattr(theirs, field.name)) if many else [getattr(theirs, field.name)]
        if not many and theirs.HasField(field.name) != ours.has(number):
            return f"{where} is there in one"
        if not many and not ours.has(number):
            continue
        if field.type == field.TYPE_MESSAGE:
            nested = ours.messages(number)
            if len(nested) != len(found):
                return f"{where}: {len(nested)} and {len(found)}"
            for i, (one, other) in enumerate(zip(nested, found, strict=True)):
                if said := _message_differs(one, other, f"{where}[{i}]"):
                    return said
        elif not _same(ours, number, found, field):
            return where
    return ""


def _same(ours: Message, number: int, found: list[Any], field: Any) -> bool:
    if field.type in (field.TYPE_FLOAT, field.TYPE_DOUBLE):
        dtype = "<f4" if field.type == field.TYPE_FLOAT else "<f8"
        read = np.frombuffer(b"".join(ours.parts(number)), dtype)
        return read.shape == (len(found),) and np.array_equal(read, np.array(found, dtype), equal_nan=True)
    if field.type in (field.TYPE_STRING, field.TYPE_BYTES):
        return ours.parts(number) == [v.encode() if isinstance(v, str) else v for v in found]
    numbers = ours.integers(number)
    if field.type == field.TYPE_UINT64:  # of no use to us: compared as what they are in memory
        found = [value - 2**64 if value >= 2**63 else value for value in found]
    return numbers == tuple(found)


def tflite_differs(file: ModelFile) -> str:
    """Where a file that was read differs by the flatbuffers package and the schema LiteRT comes with."""
    from ai_edge_litert import schema_py_generated as schema

    try:
        model = schema.Model.GetRootAs(file.raw, 0)
        return _tflite_differs(file, model)
    except (struct.error, IndexError, TypeError, ValueError, AttributeError) as failure:
        return f"refused by flatbuffers: {failure!r}"


def _tflite_differs(file: ModelFile, model: Any) -> str:
    main = model.Subgraphs(0)
    for name, specs, count, at in (
        ("inputs", file.inputs, main.InputsLength(), main.Inputs),
        ("outputs", file.outputs, main.OutputsLength(), main.Outputs),
    ):
        if [_tensor_of(spec) for spec in specs] != [_tensor(main.Tensors(at(i))) for i in range(count)]:
            return name
    entries = [model.Metadata(i) for i in range(model.MetadataLength())]
    for entry in entries:
        buffer = model.Buffers(entry.Buffer())
        start, size = buffer.Offset(), buffer.Size()
        data = buffer.DataAsNumpy() if buffer.DataLength() else np.zeros(0, np.uint8)
        content = file.raw[start : start + size] if start > 1 else np.asarray(data).tobytes()
        if file.metadata.get(_text(entry.Name())) != content:
            return "metadata"
    return _graph_differs(file, model, main) if len(entries) == len(file.metadata) else "metadata"


def _graph_differs(file: ModelFile, model: Any, main: Any) -> str:
    ours = tflite_graph.read(file.raw)  # an error of ours is for the caller
    if len(ours.tensors) != main.TensorsLength() or len(ours.nodes) != main.OperatorsLength():
        return "number of tensors or operators"
    for i in range(main.TensorsLength()):
        theirs, tensor = main.Tensors(i), ours.tensors[i]
        shape = tuple(abs(int(theirs.Shape(j))) for j in range(theirs.ShapeLength()))
        if (tensor.name, tensor.shape, tensor.dtype) != (_text(theirs.Name()), shape, DTYPES[theirs.Type()]):
            return f"tensor {i}"
    for i, node in enumerate(ours.nodes):
        theirs = main.Operators(i)
        inputs = tuple(int(theirs.Inputs(j)) for j in range(theirs.InputsLength()))
        outputs = tuple(int(theirs.Outputs(j)) for j in range(theirs.OutputsLength()))
        code = model.OperatorCodes(theirs.OpcodeIndex())
        number = max(code.DeprecatedBuiltinCode(), code.BuiltinCode())
        known = (
            tflite_graph.OPERATORS[number]
            if 0 <= number < len(tflite_graph.OPERATORS)
            else f"builtin-{number}"
        )
        operator = _text(code.CustomCode()) or known
        if (node.operator, node.inputs, node.outputs) != (
            operator,
            tuple(j for j in inputs if j != -1),
            outputs,
        ):
            return f"operator {i}"
    return ""


def _tensor_of(spec: Any) -> tuple[Any, ...]:
    return spec.name, tuple(spec.shape), spec.dtype, np.float32(spec.scale).tobytes(), spec.zero_point


def _tensor(tensor: Any) -> tuple[Any, ...]:
    signature = tuple(int(tensor.ShapeSignature(i)) for i in range(tensor.ShapeSignatureLength()))
    shape = signature or tuple(int(tensor.Shape(i)) for i in range(tensor.ShapeLength()))
    quantization = tensor.Quantization()
    scale = quantization.Scale(0) if quantization and quantization.ScaleLength() else 0.0
    zero_point = quantization.ZeroPoint(0) if quantization and quantization.ZeroPointLength() else 0
    return (
        _text(tensor.Name()),
        shape,
        DTYPES.get(tensor.Type(), "other"),
        np.float32(scale).tobytes(),
        int(zero_point),
    )


def _text(raw: bytes | None) -> str:
    return (raw or b"").decode("utf-8", "replace")
