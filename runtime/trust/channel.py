"""Words with a process that is not believed: frames of fixed binary form, each of bounded length.

A frame is a kind of four bytes, a number that an answer repeats, and the length of what follows. Whatever is
not the answer that was waited for, in kind, number or length, is no answer: the process is ended. Nothing of
it is parsed but by its place.
"""

from __future__ import annotations

import contextlib
import os
import select
import struct
import threading
import time
from collections.abc import Mapping
from typing import TypeAlias

from edgewright.runtime.machine.child import ChildProcess

FRAME = struct.Struct("<4sIQ")
Frame: TypeAlias = tuple[bytes, int, bytes]

_AT_ONCE = 512  # POSIX has pipes take so much in one piece or not at all
_READ_BYTES = 2**16  # at once, of an answer that is longer


class Channel:
    """The parent's end of what is said to a child.

    A question and its answer are two calls of the system, and the wait between them a third: where the system
    can wait for a time (`poll`) no thread is started to watch it.
    """

    def __init__(self, child: ChildProcess) -> None:
        self._child, self._number, self._poll = child, 0, None
        self._out, self._in = child.ends()
        if hasattr(select, "poll"):
            os.set_blocking(self._out, False)  # a child that does not read must not stop this process
            self._poll = select.poll()
            self._poll.register(self._in, select.POLLIN)

    def ask(
        self, kind: bytes, raw: bytes = b"", *, seconds: float, most: Mapping[bytes, int]
    ) -> tuple[bytes, bytes] | None:
        """Send a frame and wait for its answer: the kind of that, and what came with it. None once the child
        is gone, is late and killed, or says what it would not in its right mind.

        Args:
            seconds: for all of it.
            most: the kinds of answers there may be, and the most bytes that may come with each.
        """
        self._number = (self._number + 1) & 0xFFFFFFFF
        header = FRAME.pack(kind, self._number, len(raw))
        try:
            if self._poll is None:
                return self._watched(header, raw, seconds, most)
            deadline = time.monotonic() + seconds
            if len(raw) <= _AT_ONCE:  # which fits, unless the child has left many unread
                os.write(self._out, header + raw)
            else:
                self._send(header, deadline)
                self._send(raw, deadline)
            return self._answer(deadline, most)
        except (OSError, ValueError):
            return None
        except BaseException:  # what it still says would be taken for the answer to the next question
            self.close()
            raise

    def close(self) -> None:
        self._out = self._in = -1  # the numbers may be another file's soon
        self._child.close()

    def _send(self, raw: bytes, deadline: float) -> None:
        rest = memoryview(raw)
        room = select.poll()
        room.register(self._out, select.POLLOUT)
        while rest:
            if not room.poll(_milliseconds(deadline)):
                self._late()
            with contextlib.suppress(BlockingIOError):
                rest = rest[os.write(self._out, rest) :]

    def _answer(self, deadline: float, most: Mapping[bytes, int]) -> tuple[bytes, bytes]:
        kind, number, size = FRAME.unpack(self._receive(FRAME.size, deadline))
        if number != self._number or size > most.get(kind, -1):
            raise ValueError("no answer to what was asked")
        return kind, self._receive(size, deadline) if size else b""

    def _receive(self, size: int, deadline: float) -> bytes:
        parts: list[bytes] = []
        while size:
            if self._poll is not None and not self._poll.poll(_milliseconds(deadline)):
                self._late()
            part = os.read(self._in, min(size, _READ_BYTES))
            if not part:
                raise ValueError("cut off")
            if len(part) == size and not parts:
                return part
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def _watched(
        self, header: bytes, raw: bytes, seconds: float, most: Mapping[bytes, int]
    ) -> tuple[bytes, bytes]:
        """The same where the system cannot wait for a time: a thread ends the child when that is over."""
        timer = threading.Timer(seconds, self._child.end)
        timer.start()
        try:
            for part in (header, raw):
                rest = memoryview(part)
                while rest:
                    rest = rest[os.write(self._out, rest) :]
            return self._answer(0.0, most)
        finally:
            timer.cancel()

    def _late(self) -> None:
        self._child.end()
        raise ValueError("late")


def _milliseconds(deadline: float) -> float:
    return max(0.0, (deadline - time.monotonic()) * 1e3)


def receive(handle: int) -> Frame | None:
    """The child's end: the next frame, None at the end. One that is short comes by one call of the system."""
    raw = os.read(handle, _READ_BYTES)
    while len(raw) < FRAME.size:
        more = os.read(handle, FRAME.size - len(raw)) if raw else b""
        if not more:
            return None
        raw += more
    kind, number, size = FRAME.unpack_from(raw)
    if len(raw) == FRAME.size + size:
        return kind, number, raw[FRAME.size :]
    parts = [raw[FRAME.size :]]
    missing = size - len(parts[0])
    while missing > 0 and (part := os.read(handle, min(missing, _READ_BYTES))):
        parts.append(part)
        missing -= len(part)
    return None if missing else (kind, number, b"".join(parts))


def send(handle: int, kind: bytes, number: int, raw: bytes = b"") -> None:
    """The child's end: answer the frame of that number."""
    frame = FRAME.pack(kind, number, len(raw)) + raw
    sent = os.write(handle, frame)
    while sent < len(frame):
        sent += os.write(handle, memoryview(frame)[sent:])
