"""The protobuf reader agrees with the onnx package, and a length that lies is called damage."""

from __future__ import annotations

import onnx
import pytest
from onnx import TensorProto, helper

from edgewright.runtime.backends import DamagedError
from edgewright.runtime.backends.ort.protobuf import Message

RAW = helper.make_model(
    helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"], name="größe")],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, "n"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 300])],
    ),
    ir_version=8,
).SerializeToString()


def read_all(raw: bytes) -> list[object]:
    model = Message(raw)
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
    model = Message(RAW)
    assert model.integer(99, 42) == 42
    assert (model.text(99), model.data(99), model.messages(99)) == ("", b"", [])
    assert model.message(99).message(99).integer(1) == 0


def test_protobuf_fixed_width_fields_are_stepped_over() -> None:
    assert Message(b"\x09" + bytes(8) + b"\x15" + bytes(4) + b"\x18\x07").integer(3) == 7


def test_protobuf_of_a_repeated_number_the_last_counts() -> None:
    assert Message(b"\x08\x01\x08\xac\x02").integer(1) == 300


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"\x08", "ends inside a number"),
        (b"\x08\x80", "ends inside a number"),
        (b"\x08" + b"\xff" * 11, "over ten bytes"),
        (b"\x0a\x05abcd", "outside its message"),
        (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7fab", "outside its message"),
        (b"\x09abc", "outside its message"),
        (b"\x0b", "wire type 3"),
        (b"\x0f", "wire type 7"),
        (b"\x00\x01", "no field has number 0"),
    ],
)
def test_protobuf_message_that_lies_about_itself_is_damaged(raw: bytes, reason: str) -> None:
    with pytest.raises(DamagedError, match=reason):
        Message(raw)


@pytest.mark.parametrize("inner", [b"\x0a\x05", b"\x08\x80", b"\x8a\x80"], ids=["field", "number", "key"])
def test_protobuf_nested_message_may_not_reach_beyond_its_own_end(inner: bytes) -> None:
    outer = Message(b"\x0a\x02" + inner + b"\x12\x03xyz")
    with pytest.raises(DamagedError):
        outer.message(1)


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
