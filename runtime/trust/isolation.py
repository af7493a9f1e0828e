"""A model in a process of its own: what a hostile file does to its interpreter, it does there.

The process is started afresh, not forked: a fork of a process with threads (numpy's, the app's) may
hang in a lock that another thread held, Windows has none, and it is paid once a file and machine (see
`trust`). It takes no more memory than `memory_bytes` says, and ends when this one does, as its standard
input ends then. Both sides send a line of JSON, then the bytes that it announces.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgewright.runtime import backends
from edgewright.runtime.backends import ModelFile, Pixels, Scores, Session, wrong_pixels
from edgewright.runtime.contract import TensorSpec
from edgewright.runtime.disk import jsonio
from edgewright.runtime.errors import EdgewrightError, InputError, ModelFileError
from edgewright.runtime.machine.child import ChildProcess, receive, send, standard_pipes

SECONDS = 10.0  # to open a file and run it once, or for a later run; a second more for each 10 MB
_LEAST_SECONDS = 1.0  # for the first run after an opening that took nearly all
MAX_ANSWER_BYTES = 2**28  # whoever took the process over could fill this one's memory
_COMMAND = ("-P", "-m", "edgewright.runtime.trust.isolation")


def memory_bytes(file_bytes: int) -> int:
    """What a file may take, besides what its interpreter takes without one."""
    return max(2**30, 8 * file_bytes)


class IsolatedSession:
    """A `Session` whose interpreter is in another process. A run takes about 0.1 ms longer there.

    Raises:
        ModelFileError: the interpreter refuses the file, crashes on it, takes too long, or too much memory;
            or no process can be started.
    """

    def __init__(self, file: ModelFile, threads: int, backend: str | None = None) -> None:
        self._path, self._patience = file.path, SECONDS + len(file.raw) / 1e7
        self._left = self._patience
        start = time.monotonic()
        try:
            # BLAS would start a thread a core, each of which counts as memory.
            environment = {"OPENBLAS_NUM_THREADS": "1"}
            self._child = ChildProcess([sys.executable, *_COMMAND], environment=environment)
        except (OSError, TypeError, ValueError) as failure:
            raise ModelFileError(
                f"cannot start a process to open {file.path} in ({failure}); if you trust the file, "
                "call edgewright.runtime.trust.remember on it"
            ) from failure
        try:
            told, _ = self._ask({"path": str(file.path), "backend": backend, "threads": threads}, file.raw)
            obj = jsonio.JsonObject(told, "the answer of a process", ModelFileError)
            self.input = TensorSpec.from_json(obj.object("input"))
            self.output = TensorSpec.from_json(obj.object("output"))
            self.kernels = obj.text("kernels")
            self._left = max(self._patience - (time.monotonic() - start), _LEAST_SECONDS)
        except BaseException:
            self.close()
            raise

    def run(self, pixels: Pixels) -> Scores:
        if not isinstance(pixels, np.ndarray):
            raise wrong_pixels(pixels, self.input)
        _, raw = self._ask({"shape": pixels.shape, "dtype": str(pixels.dtype)}, pixels.tobytes())
        self._left = self._patience
        scores = np.frombuffer(bytearray(raw), np.float32)
        count = self.output.shape[1]  # below 0 if the file leaves it open
        if scores.size % len(pixels) or (count >= 0 and scores.size != len(pixels) * count):
            raise ModelFileError(f"expected scores {self.output.shape} of {self._path}, got {scores.size}")
        return scores.reshape(len(pixels), -1)

    def _ask(self, question: Mapping[str, Any], raw: bytes) -> tuple[dict[str, Any], bytes]:
        answer = self._child.ask(question, raw, seconds=self._left, most=MAX_ANSWER_BYTES)
        if answer is None:
            self._child.close()
            raise ModelFileError(f"{self._path} {self._death()}; it was not opened here")
        told, body = answer
        if "error" in told:
            kind = InputError if told.get("kind") == "InputError" else ModelFileError
            raise kind(str(told["error"])[:1000])
        return told, body

    def _death(self) -> str:
        if self._child.late:
            return f"keeps its interpreter busy for more than {self._patience:.0f} s"
        status = self._child.status()
        with contextlib.suppress(ValueError):
            return f"crashes its interpreter ({signal.Signals(-status).name})"
        return f"ends its interpreter (status {status})"

    def close(self) -> None:
        self._child.close()

    def __del__(self) -> None:
        if hasattr(self, "_child"):
            self.close()


def main() -> None:
    """The process: open a file and run what comes, until another file comes or nothing more."""
    questions, answers = standard_pipes()
    session: Session | None = None
    while (question := receive(questions)) is not None:
        told, raw = question
        body = b""
        try:
            if "path" in told:
                session = None  # the one before goes first
                session = _open(told, raw)
                answer: dict[str, Any] = {
                    "input": session.input.to_json(),
                    "output": session.output.to_json(),
                    "kernels": session.kernels,
                }
            elif session is not None:
                pixels: Any = np.frombuffer(raw, np.dtype(told["dtype"])).reshape(told["shape"])
                scores = session.run(pixels)
                answer, body = {}, scores.tobytes()
            else:
                answer = {"error": "no file is open"}
        except InputError as failure:
            answer = {"error": str(failure), "kind": "InputError"}
        except EdgewrightError as failure:
            answer = {"error": str(failure)}
        except MemoryError:
            answer = {
                "error": f"{told.get('path', 'the model')} takes too much memory; it was not opened here"
            }
        send(answers, answer, body)


def _open(told: Mapping[str, Any], raw: bytes) -> Session:
    path = Path(told["path"])
    backend = backends.for_path(path, told["backend"])
    with contextlib.suppress(ImportError):  # `open` says it better
        __import__(backend.module)
    _limit(memory_bytes(len(raw)))
    return backend.open(backend.parse(path, raw), told["threads"])


def _limit(size: int) -> None:
    """Let this process take `size` bytes more than it has, and leave no dump if it crashes."""
    try:
        import resource

        now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except (ImportError, OSError):  # neither Windows nor macOS limits memory
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(ValueError, OSError):  # there may be a lower limit already
        resource.setrlimit(resource.RLIMIT_AS, (now + size, resource.getrlimit(resource.RLIMIT_AS)[1]))


if __name__ == "__main__":
    main()
