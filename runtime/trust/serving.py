"""What runs in the process apart: opens the file that comes, and runs what comes after it.

    (started by `process.py`; see `sandbox.py` for what it may do)

Pixels and scores lie in memory that both processes have, if they fit; else they come in the frames.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import mmap
import struct
from pathlib import Path
from typing import Any

import numpy as np

from edgewright.runtime import backends
from edgewright.runtime.backends import Session
from edgewright.runtime.errors import EdgewrightError, InputError
from edgewright.runtime.machine.child import standard_pipes
from edgewright.runtime.trust import channel, sandbox

MOST_ERROR_BYTES = 4000
# Kinds of questions: open a file, run shared pixels, run those that come along, which operators are left.
OPEN, SHARED, INLINE, LEFT = b"open", b"shrd", b"inln", b"left"
# Kinds of answers: done, scores that come along, none to tell, wrong input, another error.
DONE, SCORES, NONE, INPUT, ERROR = b"done", b"scor", b"none", b"inpt", b"fail"
IMAGES = struct.Struct("<16s4q")  # dtype and shape of pixels
DTYPES = ("|u1", "|i1", "<i2", "<i4", "<i8", "<f2", "<f4", "<f8")


def main() -> None:
    """Serve one file until standard input ends."""
    pipes = standard_pipes()
    questions, answers = (pipe.fileno() for pipe in pipes)
    model: _Model | None = None
    while (question := channel.receive(questions)) is not None:
        kind, number, raw = question
        try:
            if kind == OPEN:
                model = _Model(raw)
                answer = DONE, model.session.kernels.encode()
            elif model is None:
                answer = ERROR, b"no file is open"
            else:
                answer = model.answer(kind, raw)
        except InputError as failure:
            answer = INPUT, _told(str(failure))
        except EdgewrightError as failure:
            answer = ERROR, _told(str(failure))
        except MemoryError:
            answer = ERROR, b"the model takes too much memory; it was not opened here"
        channel.send(answers, answer[0], number, answer[1])


class _Model:
    """The open file. What of `raw` is told comes first: it is the parent's, the file's own bytes follow."""

    session: Session

    def __init__(self, raw: bytes) -> None:
        line, _, content = raw.partition(b"\n")
        told: dict[str, Any] = json.loads(line)
        path = Path(told["path"])
        self._backend = backends.for_path(path, told["backend"])
        with contextlib.suppress(ImportError):  # `open` says it better
            self._backend.load()
        self._area: Any = None
        if told["area"] is not None:
            self._area = mmap.mmap(told["area"], told["area_bytes"])
            self._scores = np.frombuffer(self._area, np.float32, offset=told["scores_offset"])
        sandbox.seal(told["memory_bytes"])
        self._file = self._backend.parse(path, content)
        if told["copy"] is not None:
            self._file = dataclasses.replace(self._file, copy=Path(told["copy"]))
        self.session = self._backend.open(self._file, told["threads"])
        self._images, self._pixels = b"", np.empty(0, np.uint8)

    def answer(self, kind: bytes, raw: bytes) -> tuple[bytes, bytes]:
        if kind == LEFT:
            left = self._backend.undelegated(self._file)
            return (NONE, b"") if left is None else (DONE, np.array(left, "<u4").tobytes())
        if kind == INLINE:
            dtype, shape = _images(raw[: IMAGES.size])
            pixels = np.frombuffer(raw, dtype, offset=IMAGES.size).reshape(shape)
            return SCORES, self.session.run(pixels).tobytes()
        if raw != self._images:
            dtype, shape = _images(raw)
            self._pixels = np.frombuffer(self._area, dtype, int(np.prod(shape))).reshape(shape)
            self._images = raw
        scores = self.session.run(self._pixels)
        self._scores[: scores.size] = scores.ravel()
        return DONE, b""


def _images(raw: bytes) -> tuple[np.dtype[Any], tuple[int, ...]]:
    name, *shape = IMAGES.unpack(raw)
    return np.dtype(name.rstrip(b"\0").decode()), tuple(shape)


def _told(text: str) -> bytes:
    return text.encode("utf-8", "replace")[:MOST_ERROR_BYTES]
