"""A process apart that is asked and answers in arrays, restricted as the one for unknown model files is.

The child's side is `serve`: each question and answer is a JSON object and arrays. What it says is checked for
its size and for what arrays can be, nothing else of it is believed.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgewright.benchmarks.agreement import EngineError
from edgewright.runtime.machine.child import ChildProcess, receive, send, standard_pipes

Arrays: TypeAlias = Sequence[NDArray[Any]]
Handle: TypeAlias = Callable[[dict[str, Any], list[NDArray[Any]]], tuple[Mapping[str, Any], Arrays]]

MOST_BYTES = 2**31  # of an answer
_SECONDS = 120.0  # to start, to open a file or to run it, on a busy machine
_MOST_TEXT = 300
_DTYPES = frozenset(("|u1", "|i1", "<u2", "<i2", "<u4", "<i4", "<u8", "<i8", "<f2", "<f4", "<f8", "|b1"))


class Apart:
    """The parent's end; it ends with `close`. `answers` is false once it has died or been ended.

    Args:
        function: the child's, as `package.module:name`, called with `words`; it calls `serve`.
        what: to call it in messages.
        reads: files and folders it may read besides Python and its packages.
    """

    def __init__(
        self, function: str, what: str, words: Sequence[str] = (), reads: Sequence[str] = ()
    ) -> None:
        from edgewright.runtime.trust import process

        self._what, self.answers = what, True
        try:
            self._child: ChildProcess = process.start(function, words, reads=reads, log=True)
        except (OSError, TypeError, ValueError) as failure:
            raise EngineError(f"no process can be started for {what}: {failure}") from failure

    def ask(
        self, told: Mapping[str, Any], arrays: Arrays = (), seconds: float = _SECONDS
    ) -> tuple[dict[str, Any], list[NDArray[Any]]]:
        """What it answers.

        Raises:
            EngineError: it refuses, has died, or takes too long.
        """
        specs, raw = packed(arrays)
        answer = self._child.ask({**told, "arrays": specs}, raw, seconds=seconds, most=MOST_BYTES)
        if answer is None:
            self.answers = False
            raise EngineError(self._death(seconds))
        said, content = answer
        if "error" in said:
            raise EngineError(_line(str(said["error"])))
        try:
            return said, unpacked(said.pop("arrays", None), content)
        except (ValueError, TypeError) as failure:
            self.answers = False
            raise EngineError(f"{self._what} answers what is no answer: {failure}") from failure

    def _death(self, seconds: float) -> str:
        if self._child.late:
            return f"{self._what} takes more than {seconds:.0f} s"
        status = self._child.status()
        with contextlib.suppress(ValueError):
            return f"{self._what} crashes ({signal.Signals(-status).name})"
        return f"{self._what} ends with status {status}: {_line(self._child.last_line())}"

    def close(self) -> None:
        self._child.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()


def serve(handle: Handle) -> None:
    """The child: answer what comes until the parent is gone."""
    questions, answers = standard_pipes()
    while (question := receive(questions)) is not None:
        told, raw = question
        try:
            said, arrays = handle(told, unpacked(told.pop("arrays"), raw))
            specs, content = packed(arrays)
            answer = {**said, "arrays": specs}
        except Exception as failure:  # whatever a file brings an interpreter to
            answer, content = {"error": _line(str(failure)) or type(failure).__name__}, b""
        send(answers, answer, content)


def written() -> list[str]:
    """The child: what it, and the libraries in it, have written to standard error so far, a line each."""
    with contextlib.suppress(OSError):
        text = os.pread(2, 2**16, 0).decode("utf-8", "replace")
        return [_line(line) for line in text.splitlines() if line.strip()]
    return []


def packed(arrays: Arrays) -> tuple[list[Any], bytes]:
    """Arrays as their dtypes and shapes, and their bytes."""
    whole = [np.ascontiguousarray(array).reshape(array.shape) for array in arrays]
    return [[a.dtype.str, list(a.shape)] for a in whole], b"".join(a.tobytes() for a in whole)


def unpacked(specs: Any, raw: bytes) -> list[NDArray[Any]]:
    """Raises `ValueError`, `TypeError`: the bytes are not such arrays."""
    found, start = [], 0
    for name, shape in specs:
        sizes = [int(size) for size in shape]
        if name not in _DTYPES or len(sizes) > 16 or min(sizes, default=0) < 0:
            raise ValueError(f"an array of {str(name)[:20]}")
        dtype = np.dtype(name)
        end = start + math.prod(sizes) * dtype.itemsize
        if end > len(raw):
            raise ValueError(f"{len(raw)} bytes")
        found.append(np.frombuffer(raw[start:end], dtype).reshape(sizes))
        start = end
    return found


def _line(text: str) -> str:
    """One line, for a terminal."""
    plain = "".join(c if c.isprintable() else " " for c in text[: 4 * _MOST_TEXT])
    return " ".join(plain.split())[:_MOST_TEXT]
