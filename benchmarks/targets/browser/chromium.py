"""A Chromium without a window that opens the page, in a profile of its own.

It listens to a pipe for commands, of which none comes, and ends when the pipe does: whatever ends this
process, no browser is left.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from edgewright.runtime.errors import TargetError

_PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
# Its end of the pipe has to be the file 3, and 4 for what it answers.
_ON_PIPES = """
import fcntl, os, sys
ends = [fcntl.fcntl(int(word), fcntl.F_DUPFD, 10) for word in sys.argv[1:3]]
os.dup2(ends[0], 3)
os.dup2(ends[1], 4)
os.execvp(sys.argv[3], sys.argv[3:])
"""
_WORDS = (
    *(
        "--headless=new",
        "--no-first-run",
        "--no-default-browser-check",
        "--disable-extensions",
        "--mute-audio",
    ),
    *(
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-breakpad",
    ),
    # nothing here waits for a window to be seen
    *("--disable-background-timer-throttling", "--disable-renderer-backgrounding"),
    *("--disable-backgrounding-occluded-windows", "--disable-dev-shm-usage", "--password-store=basic"),
    "--window-size=1280,900",
)
# Without a window it takes its GPU, or the software one that it comes with, only if it is told to.
ON_GPU = ("--enable-unsafe-webgpu", "--enable-features=Vulkan")
IN_SOFTWARE = ("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader")


def missing() -> str:
    """What to do where there is none; empty if there is one."""
    return (
        "" if _program() else "Chromium for --headless, on PATH (install chromium), or leave --headless out"
    )


@contextlib.contextmanager
def opened(url: str, more: Sequence[str] = ()) -> Iterator[Callable[[], None]]:
    """Open the page until the block ends; what is given raises `TargetError` if the browser has ended.

    Raises:
        TargetError: there is none, or it cannot be started.
    """
    program = _program()
    if program is None:
        raise TargetError(f"target browser needs {missing()}")
    with tempfile.TemporaryDirectory(prefix="edgewright-chromium-", ignore_cleanup_errors=True) as profile:
        words = [program, *_WORDS, *more, f"--user-data-dir={profile}"]
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            words.append("--no-sandbox")  # its sandbox does not take root
        with (Path(profile) / "stderr").open("w+b") as said, _pipe() as (prefix, ends):
            try:
                child = subprocess.Popen(
                    [*prefix, *words, *(["--remote-debugging-pipe"] if ends else []), url],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=said,
                    pass_fds=ends,
                    start_new_session=True,
                )
            except OSError as failure:
                raise TargetError(f"cannot run {program}: {failure.strerror}") from failure
            for end in ends:
                os.close(end)

            def alive() -> None:
                status = child.poll()
                if status is not None:
                    said.seek(0)
                    lines = said.read(2**16).decode("utf-8", "replace").splitlines()
                    told = next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
                    raise TargetError(
                        f"{program} ended with status {status} before the page was done: {told}"
                    )

            try:
                yield alive
            finally:
                _end(child)


@contextlib.contextmanager
def _pipe() -> Iterator[tuple[list[str], tuple[int, ...]]]:
    """What starts a program with a pipe, and the ends that it gets; ours stay open until the block ends."""
    if os.name != "posix":
        yield [], ()
        return
    (theirs, ours), (answers, answering) = os.pipe(), os.pipe()
    try:
        words = [sys.executable, "-I", "-c", _ON_PIPES, str(theirs), str(answering)]
        yield words, (theirs, answering)
    finally:
        for end in (ours, answers):
            os.close(end)


def _program() -> str | None:
    return next(filter(None, map(shutil.which, _PROGRAMS)), None)


def _end(child: subprocess.Popen[bytes]) -> None:
    """End it and all its processes."""
    for number, seconds in (
        (signal.SIGTERM, 3),
        (signal.SIGKILL if os.name == "posix" else signal.SIGTERM, 10),
    ):
        with contextlib.suppress(OSError):
            if os.name == "posix":
                os.killpg(child.pid, number)
            else:
                child.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(seconds)
            if number != signal.SIGTERM:
                return
