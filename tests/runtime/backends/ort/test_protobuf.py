"""The protobuf reader agrees with the onnx package; what has two readings, or lies, is called damage."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from google.protobuf.descriptor import FieldDescriptor as Field
from onnx import TensorProto, helper

from edgewright.runtime.backends import DamagedError
from edgewright.runtime.backends.ort.fields import ONNX
from edgewright.runtime.backends.ort.protobuf import Message, Schema

RAW = helper.make_model(
    helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"], name="größe")],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, "n"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 300])],
    ),
    ir_version=8,
).SerializeToString()


KINDS = {
    Field.TYPE_INT64: "int64",
    Field.TYPE_INT32: "int32",
    Field.TYPE_UINT64: "uint64",
    Field.TYPE_FLOAT: "float",
    Field.TYPE_DOUBLE: "double",
    Field.TYPE_STRING: "string",
    Field.TYPE_BYTES: "bytes",
}
WIRES = {
    **dict.fromkeys((Field.TYPE_INT64, Field.TYPE_INT32, Field.TYPE_UINT64, Field.TYPE_ENUM), 0),
    Field.TYPE_FLOAT: 5,
    Field.TYPE_DOUBLE: 1,
}
SMALL = Schema(
    {
        "A": "1:int64 2:int32 3:*int64 4:bytes 5:A 6:Colour 7:fixed32 8:double 9:*A 10:*float 11:uint64 12:A "
        "13:string 14:*int32"
    },
    enums={"Colour": range(3)},
    either={"A": {5, 12}},
)


def small(raw: bytes) -> Message:
    return Message.of(raw, SMALL, "A")


def read_all(raw: bytes) -> list[object]:
    model = Message.of(raw, ONNX, "Model")
    graph = model.message(7)
    shape = graph.message(12).message(2).message(1).message(2)
    return [
        model.integer(1),
        graph.text(2),
        [(node.text(4), node.text(3), node.text(1)) for node in graph.messages(1)],
        [dimension.integer(1, -1) for dimension in shape.messages(1)],
    ]


def test_protobuf_message_reads_every_kind_of_field() -> None:
    assert read_all(RAW) == [8, "graph", [("Relu", "größe", "x")], [1, 300]]
    assert onnx.load_from_string(RAW).graph.node[0].name == "größe"


def test_protobuf_absent_fields_are_empty_or_the_default() -> None:
    model = small(b"")
    assert model.integer(1, 42) == 42
    assert (model.text(4), model.data(4), model.messages(9)) == ("", b"", [])
    assert model.message(5).message(5).integer(1) == 0


def test_protobuf_numbers_of_every_kind() -> None:
    read = small(b"\x3d\x01\x00\x00\x00\x41" + bytes(8) + b"\x08\xac\x02\x10" + b"\xff" * 9 + b"\x01")
    assert (read.integer(1), read.integer(2), read.parts(7)) == (300, -1, [b"\x01\0\0\0"])
    assert small(b"\x18\x01\x18\x02").integers(3) == (1, 2)
    assert small(b"\x1a\x03\x01\xac\x02").integers(3) == (1, 300)
    assert small(b"\x1a\x01\x01\x1a\x01\x02").integers(3) == (1, 2)


OVERLONG, BEYOND = b"\x81\x00", b"\xff" * 9 + b"\x02"


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"\x08", "ends inside a number"),
        (b"\x08\x80", "ends inside a number"),
        (b"\x08" + b"\xff" * 11, "over ten bytes"),
        (b"\x22\x05abcd", "outside its message"),
        (b"\x22\xff\xff\xff\xff\xff\xff\xff\xff\x7fab", "outside its message"),
        (b"\x41abc", "outside its message"),
        (b"\x0b", "wire type 3"),
        (b"\x2b\x2c", "wire type 3"),
        (b"\x0f", "wire type 7"),
        (b"\x00\x01", "A has no field 0"),
        (b"\x98\x06\x01", "A has no field 99"),
        (b"\x08\x01\x08\x01", "field 1 of A given twice"),
        (b"\x2a\x00\x2a\x00", "field 5 of A given twice"),
        (b"\x2a\x00\x62\x00", "more than one kind of A"),
        (b"\x18\x01\x1a\x01\x01", "both packed and not"),
        (b"\x08" + OVERLONG, "more bytes than it needs"),
        (b"\x88\x00\x01", "more bytes than it needs"),
        (b"\x08" + BEYOND, "or 64 bits"),
        (b"\x10\xff\xff\xff\xff\x0f", "more than 32 bits"),
        (b"\x10\x81\x80\x80\x80\x10", "more than 32 bits"),
        (b"\x30\x03", "no Colour"),
        (b"\x30\x81\x80\x80\x80\x10", "no Colour"),
        (b"\x22\x81\x00a", "more bytes than it needs"),
        (b"\x0a\x01\x01", "wire type 2 of field 1"),
        (b"\x20\x01", "wire type 0 of field 4"),
        (b"\x1a\x01\x80", "packed numbers"),
        (b"\x1a\x02" + OVERLONG, "packed numbers"),
        (b"\x1a\x0a" + BEYOND, "packed numbers"),
        (b"\x52\x03abc", "packed numbers end"),
        (b"\x72\x05\x80\x80\x80\x80\x08", "need more than 32 bits"),
        (b"\x72\x06\x01\xff\xff\xff\xff\x0f", "need more than 32 bits"),
        (b"\x72\x0a\x80\x80\x80\x80\xf0" + b"\xff" * 4 + b"\x01", "need more than 32 bits"),
        (b"\x72\x0a\x80\x80\x80\x80\xf8\xff\xff\xff\x7f\x01", "need more than 32 bits"),
    ],
)
def test_protobuf_message_that_lies_about_itself_or_has_two_readings_is_damaged(
    raw: bytes, reason: str
) -> None:
    with pytest.raises(DamagedError, match=reason):
        small(raw)


def test_protobuf_packed_numbers_of_32_bits_are_read_as_protobuf_reads_them() -> None:
    ends = [0, 1, -1, 127, 128, -128, 2**28 - 1, 2**28, -(2**28), 2**31 - 1, -(2**31), -(2**31) + 1]
    random = np.random.default_rng(0).integers(-(2**31), 2**31, 500).tolist()
    packed = onnx.TensorProto(int32_data=[*ends, *random]).SerializeToString()
    assert packed[0] == 5 << 3 | 2
    assert list(small(b"\x72" + packed[1:]).integers(14)) == [*ends, *random]


@pytest.mark.parametrize("inner", [b"\x22\x05", b"\x08\x80", b"\xa2\x80"], ids=["field", "number", "key"])
def test_protobuf_nested_message_may_not_reach_beyond_its_own_end(inner: bytes) -> None:
    with pytest.raises(DamagedError):
        small(b"\x2a\x02" + inner + b"\x22\x03xyz")


def test_protobuf_text_that_is_no_utf_8_is_damaged() -> None:
    with pytest.raises(DamagedError, match="no UTF-8"):
        small(b"\x6a\x01\xff").text(13)


def test_protobuf_fields_are_those_of_the_onnx_package() -> None:
    found: dict[str, dict[int, tuple[int, bool, str]]] = {}
    enums = {}

    def look(message: Any) -> str:
        name = message.full_name.removeprefix("onnx.").replace("Proto", "")
        if name in found:
            return name
        found[name] = {}
        for field in message.fields:
            kind = KINDS.get(field.type)
            if kind is None and field.enum_type:
                kind, enums[field.enum_type.name] = (
                    field.enum_type.name,
                    {v.number for v in field.enum_type.values},
                )
            found[name][field.number] = (
                WIRES.get(field.type, 2),
                field.is_repeated,
                kind or look(field.message_type),
            )
        either = {field.number for group in message.oneofs for field in group.fields}
        assert either == ONNX.either.get(name, set())
        return name

    look(onnx.ModelProto.DESCRIPTOR)
    assert found == ONNX.fields
    assert enums == {name: set(numbers) for name, numbers in ONNX.enums.items()}


def test_protobuf_message_cut_off_or_changed_anywhere_raises_damaged_at_worst() -> None:
    damaged = 0
    for position in range(len(RAW)):
        for value in (0, 1, 0x7F, 0x80, 0xFF):
            for changed in (RAW[:position], RAW[:position] + bytes([value]) + RAW[position + 1 :]):
                try:
                    read_all(changed)
                except DamagedError:
                    damaged += 1
    assert damaged > 0
