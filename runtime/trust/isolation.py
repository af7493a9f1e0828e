"""A model in a process of its own: what a hostile file does to its interpreter, it does there.

The process may do little (see `sandbox.py`), ends with this one, and is given so long for each answer, so
much memory for the file, and no more time of a processor than it was waited for. Nothing that it says is
believed: shapes are those that the file declared when it was read here; an answer comes as a frame of bounded
length (see `channel.py`). Pixels and scores lie in shared memory that cannot be made smaller under this
process.
"""

from __future__ import annotations

import contextlib
import json
import math
import mmap
import os
import re
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgewright.runtime import backends
from edgewright.runtime.backends import ModelFile, Pixels, Scores, scores_spec, wrong_pixels
from edgewright.runtime.errors import InputError, ModelFileError
from edgewright.runtime.trust import process, serving
from edgewright.runtime.trust.channel import Channel

SECONDS = 10.0  # to open a file and run it once, or for a later run; a second more for each 10 MB
_LEAST_SECONDS = 1.0  # for the first run after an opening that took nearly all
MAX_ANSWER_BYTES = 2**28  # whoever took the process over could fill this one's memory
_SERVING = "edgewright.runtime.trust.serving:main"
_ERRORS = {serving.INPUT: serving.MOST_ERROR_BYTES, serving.ERROR: serving.MOST_ERROR_BYTES}
_DONE = {serving.DONE: 0} | _ERRORS
_KERNELS = re.compile(rb"[a-z0-9][a-z0-9 .+-]{0,39}")
_SEALS = 0x1 | 0x2 | 0x4  # F_SEAL_SEAL, _SHRINK, _GROW


def memory_bytes(file_bytes: int, threads: int = 1) -> int:
    """What a file may take, besides what its interpreter takes without one. A thread keeps addresses for its
    stack and its heap."""
    return max(2**30, 8 * file_bytes) + 2**27 * min(threads, 64)


class IsolatedSession:
    """A `Session` whose interpreter is in another process. What a run costs more there, `docs/on-a-device.md`
    says.

    Raises:
        ModelFileError: the interpreter refuses the file, crashes on it, takes too long, or too much memory;
            or no process can be started.
    """

    def __init__(self, file: ModelFile, threads: int, backend: str | None = None) -> None:
        self._path, self._patience = file.path, SECONDS + len(file.raw) / 1e7
        self.input, self.output = file.inputs[0], scores_spec(file.outputs[0])
        self._left, start = self._patience, time.monotonic()
        self._cpu = _ProcessorTime(self._patience * threads, threads)
        self._beside = _Beside() if threads == 1 else None
        self._area = _Area.of(self.input.shape, self.input.dtype, self.output.shape)
        by_name = backends.for_path(file.path, backend).by_name
        with backends.copied(file) if by_name else contextlib.nullcontext() as copy:
            self._start(file, copy)
            try:
                self._open(file, threads, backend, copy)
                self._left = max(self._patience - (time.monotonic() - start), _LEAST_SECONDS)
            except BaseException:
                self.close()
                raise

    def _start(self, file: ModelFile, copy: Path | None) -> None:
        try:
            handles = () if self._area is None else (self._area.handle,)
            reads = () if copy is None else (str(copy),)
            self._child = process.start(_SERVING, handles=handles, reads=reads)
        except (OSError, TypeError, ValueError) as failure:
            raise ModelFileError(
                f"cannot start a process to open {file.path} in ({failure}); if you trust the file, "
                f"edgewright trust {file.path} opens it directly"
            ) from failure
        finally:
            if self._area is not None:
                self._area.close_handle()
        self._channel = Channel(self._child)

    def _open(self, file: ModelFile, threads: int, backend: str | None, copy: Path | None) -> None:
        told = {
            "path": str(file.path),
            "copy": None if copy is None else str(copy),
            "backend": backend,
            "threads": threads,
            "memory_bytes": memory_bytes(len(file.raw), threads),
            "area": None if self._area is None else self._area.handle,
            "area_bytes": 0 if self._area is None else self._area.size,
            "scores_offset": 0 if self._area is None else self._area.scores_offset,
        }
        self._cpu.grant(self._child.pid)
        question = json.dumps(told).encode() + b"\n" + file.raw
        _, said = self._ask(serving.OPEN, question, {serving.DONE: 40} | _ERRORS)
        if not _KERNELS.fullmatch(said):
            raise self._dead("does not name its kernels")
        self.kernels = said.decode()

    def run(self, pixels: Pixels) -> Scores:
        start = time.monotonic()
        if self._beside is not None:
            self._beside.bring(self._child.pid)
        told = None if self._area is None else self._area.give(pixels)
        if self._area is not None and told is not None:
            self._ask(serving.SHARED, told, _DONE)
            scores = self._area.scores(len(pixels))
        else:
            scores = self._run_inline(pixels)
        self._left = self._patience
        self._cpu.add(time.monotonic() - start, self._child.pid)
        return scores

    def _run_inline(self, pixels: Pixels) -> Scores:
        if not _is_images(pixels):
            raise wrong_pixels(pixels, self.input)
        batch, count = len(pixels), self.output.shape[1]  # below 0 if the file leaves it open
        most = 4 * batch * count if count >= 0 else MAX_ANSWER_BYTES
        question = _images(pixels) + pixels.tobytes()
        _, raw = self._ask(serving.INLINE, question, {serving.SCORES: most} | _ERRORS)
        if len(raw) % (4 * batch) or not raw or (count >= 0 and len(raw) != most):
            raise self._dead(f"gives {len(raw)} bytes of scores for {batch} images")
        return np.frombuffer(bytearray(raw), np.float32).reshape(batch, -1)

    def undelegated(self, nodes: int) -> list[int] | None:
        """As `Backend.undelegated`, of a graph of so many nodes."""
        kind, raw = self._ask(serving.LEFT, b"", {serving.DONE: 4 * nodes, serving.NONE: 0} | _ERRORS)
        if kind == serving.NONE:
            return None
        found: list[int] = np.frombuffer(raw[: len(raw) // 4 * 4], "<u4").tolist()
        if len(raw) % 4 or found != sorted({place for place in found if place < nodes}):
            raise self._dead("names operators that the file does not have")
        return found

    def _ask(self, kind: bytes, raw: bytes, most: dict[bytes, int]) -> tuple[bytes, bytes]:
        if not self._child.is_own():
            raise ModelFileError(
                f"{self._path} was opened before this process was forked; load it again in this one"
            )
        answer = self._channel.ask(kind, raw, seconds=self._left, most=most)
        if answer is None:
            raise self._dead(self._death())
        found, said = answer
        if found in _ERRORS:
            text = "".join(c if c.isprintable() else " " for c in said.decode("utf-8", "replace")[:1000])
            raise (InputError if found == serving.INPUT else ModelFileError)(text)
        return answer

    def _dead(self, how: str) -> ModelFileError:
        self.close()
        return ModelFileError(f"{self._path} {how}; it was not opened here")

    def _death(self) -> str:
        if self._child.late:
            return f"keeps its interpreter busy for more than {self._patience:.0f} s"
        if self._child.is_running():
            return "makes its interpreter say what none says"
        status = self._child.status()
        with contextlib.suppress(ValueError):
            return f"crashes its interpreter ({signal.Signals(-status).name})"
        return f"ends its interpreter (status {status})"

    def close(self) -> None:
        self._area = None  # a mapping keeps a file open
        if hasattr(self, "_channel"):
            self._channel.close()

    def __del__(self) -> None:
        self.close()


class _Area:
    """Memory that two processes have: pixels of the usual size, then scores.

    A `memfd` with seals (Linux 3.17), so that the other process cannot shrink it, which would end this one.
    """

    def __init__(self, pixels_bytes: int, batch: int, count: int) -> None:
        import fcntl

        self.scores_offset = -(-pixels_bytes // 64) * 64
        self.size = self.scores_offset + 4 * batch * count
        self._pixels_bytes, self._batch, self._count = pixels_bytes, batch, count
        self.handle = os.memfd_create("edgewright", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(self.handle, self.size)
            fcntl.fcntl(self.handle, fcntl.F_ADD_SEALS, _SEALS)
            memory = mmap.mmap(self.handle, self.size)
        except BaseException:
            os.close(self.handle)
            raise
        self._pixels = np.frombuffer(memory, np.uint8, pixels_bytes)
        self._given: Any = self._pixels  # as they were given last
        self._told = b""
        self._scores = np.frombuffer(memory, np.float32, batch * count, self.scores_offset)

    @classmethod
    def of(cls, given: Sequence[int], dtype: str, scores: Sequence[int]) -> _Area | None:
        """For a file that takes and gives such arrays; None if their size is free, or the system has none."""
        batch, count = max(given[0], 1), scores[1]
        if min(given[1:]) < 1 or count < 1:
            return None
        size = batch * math.prod(given[1:]) * np.dtype(dtype).itemsize
        if size + 4 * batch * count > MAX_ANSWER_BYTES:
            return None
        with contextlib.suppress(AttributeError, ImportError, OSError):
            return cls(size, batch, count)
        return None

    def give(self, pixels: Any) -> bytes | None:
        """Put pixels there; what the other process is told of them. None if they do not fit, or are none."""
        given = self._given
        if type(pixels) is not np.ndarray or pixels.shape != given.shape or pixels.dtype != given.dtype:
            fits = _is_images(pixels) and len(pixels) <= self._batch and pixels.nbytes <= self._pixels_bytes
            if not fits:
                return None
            self._given = given = self._pixels[: pixels.nbytes].view(pixels.dtype).reshape(pixels.shape)
            self._told = _images(pixels)
        given[...] = pixels
        return self._told

    def scores(self, batch: int) -> Scores:
        """A copy: what is used twice must not change in between."""
        return self._scores[: batch * self._count].reshape(batch, self._count).copy()

    def close_handle(self) -> None:
        os.close(self.handle)


def _is_images(pixels: Any) -> bool:
    return (
        isinstance(pixels, np.ndarray)
        and pixels.ndim == 4
        and pixels.size > 0
        and pixels.dtype.str in serving.DTYPES
    )


def _images(pixels: Any) -> bytes:
    return serving.IMAGES.pack(pixels.dtype.str.encode(), *pixels.shape)


class _Beside:
    """Has the process work where its caller waits meanwhile (Linux): woken on another core, which sleeps if
    nothing else runs, it begins up to .2 ms later on a virtual machine. For one that works in one thread."""

    def __init__(self) -> None:
        import ctypes

        self._core = -1
        self._of_caller = getattr(ctypes.PyDLL(None), "sched_getcpu", None) if os.name == "posix" else None

    def bring(self, pid: int) -> None:
        core = -1 if self._of_caller is None else self._of_caller()
        if core != self._core:
            self._core = core
            with contextlib.suppress(AttributeError, OSError, ValueError):
                os.sched_setaffinity(pid, {core})


class _ProcessorTime:
    """How much of a processor's time the process may take: about what it was waited for, so that one which
    works on when it should wait is ended (Linux's RLIMIT_CPU)."""

    def __init__(self, call: float, threads: int) -> None:
        self._call, self._threads = call + 5 * threads, threads
        self._spent, self._granted = 0.0, 0.0

    def add(self, seconds: float, pid: int) -> None:
        self._spent += seconds * (self._threads + 1)
        if self._granted - self._spent < self._call:
            self.grant(pid)

    def grant(self, pid: int) -> None:
        """Enough for a call that takes all the time it may, and for some more."""
        self._granted = self._spent + 10 * self._call
        with contextlib.suppress(ImportError, AttributeError, OSError, ValueError):
            import resource

            most = resource.getrlimit(resource.RLIMIT_CPU)[1]
            resource.prlimit(pid, resource.RLIMIT_CPU, (math.ceil(self._granted), most))
