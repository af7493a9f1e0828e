"""A child process that is told things and answers: JSON objects, a line each, and bytes behind a line that
says how many.

Plain subprocesses: a ProcessPoolExecutor can hang for ever when one of its workers is killed, and it runs
the caller's own script again in each of them. The child's standard input closes when its parent is gone.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO, Self, TypeAlias

Message: TypeAlias = tuple[dict[str, Any], bytes]  # what is said, and the bytes that come with it

MAX_LINE_BYTES = 2**20  # of a child that is not trusted: it could fill this process's memory


class ChildProcess:
    """The parent's end. Close it, or use it in `with`: the child ends with that at the latest.

    `late` tells whether it was killed because an answer took too long.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        inherit: bool = True,
        handles: Sequence[int] = (),
        log: bool = False,
    ) -> None:
        """Start `command`, with `environment` added to this process's, or with `inherit` false in its place.

        Args:
            handles: open files that it has under the same numbers.
            log: keep what it writes to standard error, for `last_line` and `said`; else it is thrown away.

        Raises:
            OSError, TypeError, ValueError: no process can be started.
        """
        self.late = False
        self._log: Any = None
        if log:
            import tempfile

            self._log = tempfile.TemporaryFile()  # noqa: SIM115  (closed with the child)
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log or subprocess.DEVNULL,
                env={**(os.environ if inherit else {}), **(environment or {})},
                pass_fds=handles,
            )
        except BaseException:
            if self._log is not None:
                self._log.close()
            raise
        self._owner = os.getpid()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._questions, self._answers = self._process.stdin, self._process.stdout

    def tell(self, told: Mapping[str, Any], raw: bytes = b"") -> None:
        """Send a message. If the child is gone, the next `hear` shows it."""
        with contextlib.suppress(OSError, ValueError):
            send(self._questions, told, raw)

    def hear(
        self, *, seconds: float | None = None, most: int | None = None, line: int = MAX_LINE_BYTES
    ) -> Message | None:
        """The next message; None once the child is gone, or says what it would not in its right mind.

        Args:
            seconds: after which it is killed.
            most: the most bytes that may come with the message, of a child that is not trusted.
            line: the most bytes of the message itself, of such a child.
        """
        with self.limited(seconds):
            return self._receive(most, line)

    def ask(
        self,
        told: Mapping[str, Any],
        raw: bytes = b"",
        *,
        seconds: float | None = None,
        most: int | None = None,
    ) -> Message | None:
        """Send a message and wait for the answer, as `hear`; the time runs from before it is sent."""
        with self.limited(seconds):
            self.tell(told, raw)
            return self._receive(most)

    def _receive(self, most: int | None, line: int = MAX_LINE_BYTES) -> Message | None:
        with contextlib.suppress(OSError, ValueError, RecursionError):
            return receive(self._answers, most, line)
        return None

    @contextlib.contextmanager
    def limited(self, seconds: float | None) -> Iterator[None]:
        """Kill the child if the block takes longer."""
        timer = threading.Timer(seconds, self.end) if seconds is not None else None
        if timer is not None:
            timer.start()
        try:
            yield
        except BaseException:  # what it still says would be taken for the answer to the next question
            self.close()
            raise
        finally:
            if timer is not None:
                timer.cancel()

    def ends(self) -> tuple[int, int]:
        """The files to write questions to and to read answers from, for words of another kind."""
        return self._questions.fileno(), self._answers.fileno()

    def end(self) -> None:
        """Kill it because an answer took too long."""
        self.late = True
        self._process.kill()

    @property
    def pid(self) -> int:
        return self._process.pid

    def is_own(self) -> bool:
        """False in a fork of the process that started it: two would read each other's answers."""
        return os.getpid() == self._owner

    def is_running(self) -> bool:
        """False once it has ended, seen right after its answers did."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(0.2)
        return self._process.returncode is None

    def status(self) -> int:
        """The exit status of a child that said nothing more, negative for a signal; waits for it."""
        return self._process.wait()

    def said(self, most: int = MAX_LINE_BYTES) -> str:
        """What it wrote to its log so far, the first `most` bytes of it; it may be running."""
        # Not by `read`: both processes have one place in the file, and it would write on from there.
        return os.pread(self._log.fileno(), most, 0).decode("utf-8", "replace")

    def last_line(self) -> str:
        """The last line that a child which has ended wrote to its log; empty if there is none."""
        self._log.seek(0)
        lines = self._log.read().decode("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else ""

    def close(self) -> None:
        if self.is_own():  # a fork of that process lets go of its ends, and ends nothing
            self._process.kill()
            self._process.wait()
        for pipe in (self._questions, self._answers, self._log):
            if pipe is not None:
                with contextlib.suppress(OSError):  # what was not sent need not be
                    pipe.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()


def standard_pipes() -> tuple[BinaryIO, BinaryIO]:
    """The child's end: where questions come from and answers go to.

    What anything else prints goes to standard error from then on. Ctrl-C reaches all processes; the
    parent is the one to answer it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A descriptor of its own: Python closes sys.stdin as it ends, and aborts if a thread still reads from it.
    questions, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return questions, answers


def send(pipe: BinaryIO | Any, told: Mapping[str, Any], raw: bytes = b"") -> None:
    pipe.write(json.dumps({**told, "bytes": len(raw)} if raw else told).encode() + b"\n")
    pipe.write(raw)
    pipe.flush()


def receive(pipe: BinaryIO | Any, most: int | None = None, longest: int = MAX_LINE_BYTES) -> Message | None:
    """The next message; None at the end, or for what is none (see `ChildProcess.hear`).

    Raises:
        ValueError, RecursionError: not JSON, or more nested than any that is meant.
    """
    line = pipe.readline(-1 if most is None else longest)
    if not line.endswith(b"\n"):
        return None
    told = json.loads(line)
    size = told.get("bytes", 0) if isinstance(told, dict) else None
    if not isinstance(size, int) or size < 0 or (most is not None and size > most):
        return None
    raw = pipe.read(size)
    return (told, raw) if len(raw) == size else None


def call(
    words: Sequence[str], folder: os.PathLike[str] | None = None, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command, in that folder and environment if given, and wait for it; what it says is kept."""
    return subprocess.run(
        words,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
