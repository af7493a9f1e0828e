"""Events of child processes: each kind comes out of the pipe as it went in, one line each."""

from __future__ import annotations

import io

import pytest

from edgewright.export.network.model import Facts
from edgewright.export.work import events
from edgewright.export.work.events import (
    Began,
    Converted,
    Event,
    Failed,
    ModelLoaded,
    Progressed,
    ReferenceScored,
    Stopped,
    Trained,
    decode,
    encode,
)
from edgewright.runtime.machine.child import receive, send

EVENTS: list[Event] = [
    ModelLoaded(facts=Facts(shape=(28, 28, 1), classes=10, head="softmax", input="in", output="out")),
    ModelLoaded(
        facts=Facts(shape=(8, 8, 3), classes=2, head="logits", input="in", output="out"),
        refused={"onnx": "no such op: Tan"},
    ),
    Began(step="calibrating", of="tflite-int8"),
    ReferenceScored(),
    Converted(variant="tflite-int8", conversion={"tool": "a", "chosen": {"a": [1, None]}}),
    Failed(variant="onnx-int8", reason="two\nlines, “quoted”"),
    Trained(record={"epochs": 3, "validation_loss": 0.25}),
    Progressed(share=0.5, note="step 3"),
    Stopped(reason="nothing can be converted"),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_event_encode_and_decode_survive_the_pipe(event: Event) -> None:
    pipe = io.BytesIO()
    send(pipe, encode(event))
    assert pipe.getvalue().count(b"\n") == 1
    pipe.seek(0)
    message = receive(pipe)
    assert message is not None
    assert decode(message[0]) == event


def test_event_kinds_are_all_tried() -> None:
    assert {type(event).__name__ for event in EVENTS} == set(events._KINDS)
