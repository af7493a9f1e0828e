"""Frames come whole, in whatever pieces the pipe gives them, or not at all."""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Iterator

import pytest

from edgewright.runtime.trust import channel, serving

LONG = os.urandom(300_000)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def test_frames_are_what_both_ends_say() -> None:
    assert channel.FRAME.size == struct.calcsize("<4sIQ") == 16
    assert len({serving.OPEN, serving.SHARED, serving.INLINE, serving.LEFT}) == 4


@pytest.mark.parametrize("raw", [b"", b"x" * 48, LONG], ids=["empty", "short", "long"])
def test_frame_that_is_sent_is_received(pipe: tuple[int, int], raw: bytes) -> None:
    sender = threading.Thread(target=channel.send, args=(pipe[1], b"open", 7, raw))
    sender.start()
    assert channel.receive(pipe[0]) == (b"open", 7, raw)
    sender.join()


def test_frame_in_pieces_is_received_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = channel.FRAME.pack(b"inln", 1, 5) + b"abcde"
    pieces = [frame[:3], frame[3:16], frame[16:18], frame[18:]]
    monkeypatch.setattr(channel.os, "read", lambda handle, most: pieces.pop(0))
    assert channel.receive(0) == (b"inln", 1, b"abcde")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"inl",
        channel.FRAME.pack(b"inln", 1, 5) + b"abcd",
        channel.FRAME.pack(b"inln", 1, 5) + b"abcdef",  # nobody asks before he was answered
        channel.FRAME.pack(b"inln", 1, 2**63),
    ],
)
def test_frame_that_is_cut_off_or_goes_on_is_none(raw: bytes) -> None:
    reading, writing = os.pipe()
    os.write(writing, raw)
    os.close(writing)
    try:
        assert channel.receive(reading) is None
    finally:
        os.close(reading)


def test_frame_that_is_written_in_pieces_is_sent_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = bytearray()

    def write(handle: int, raw: bytes) -> int:
        sent.extend(raw[:7])
        return min(7, len(raw))

    monkeypatch.setattr(channel.os, "write", write)
    channel.send(0, b"scor", 3, b"0123456789")
    assert bytes(sent) == channel.FRAME.pack(b"scor", 3, 10) + b"0123456789"
