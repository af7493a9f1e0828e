"""What the process apart can do on this system, tried out: each thing that it should not is attempted there.

By the thread that restricted itself and by one that was there before the filter, as interpreters have some.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from edgewright.runtime.machine.child import send, standard_pipes
from edgewright.runtime.trust import known, process, sandbox

_SECONDS = 30.0
_MEMORY_BYTES = 2**28
_READ = "/etc/passwd"

# What is attempted, and how it is called where it is refused.
TITLES = {
    "read": "reads no file but libraries",
    "write": "writes no file",
    "tcp": "no TCP",
    "udp": "no UDP",
    "unix": "no Unix sockets, abstract ones included",
    "programs": "starts no program",
    "processes": "reaches no other process",
    "memory": "takes no more memory than it may",
    "time": "is ended when an answer takes too long",
    "orphan": "ends with the process that started it",
    "list": "files to trust are listed where only this user writes",
}
MEANS = {
    "read": "Landlock (Linux 5.13)",
    "write": "Landlock or seccomp",
    "tcp": "Landlock (Linux 6.7) or seccomp",
    "udp": "seccomp",
    "unix": "Landlock (Linux 6.12) or seccomp",
    "programs": "Landlock or seccomp",
    "processes": "Landlock (Linux 6.12) or seccomp",
    "memory": "Linux: RLIMIT_AS",
    "time": "this process watches it",
    "orphan": "a watch on a pipe, and Linux's PDEATHSIG",
    "list": "owner and mode of the cache folder",
}


def holds() -> Mapping[str, bool]:
    """Which of `TITLES` holds on this system. Takes about 0.2 s."""
    found = dict.fromkeys(TITLES, False)
    found["list"] = known.distrust() is None or not known.place().exists()
    name = f"\0edgewright-{secrets.token_hex(8)}"
    with contextlib.ExitStack() as stack, contextlib.suppress(OSError, TypeError, ValueError):
        if sys.platform == "linux":
            listening = stack.enter_context(socket.socket(socket.AF_UNIX))
            listening.bind(name)
            listening.listen()
        child = stack.enter_context(process.start(f"{__name__}:main", [name, tempfile.gettempdir()]))
        if (answer := child.ask({}, seconds=_SECONDS, most=0)) is not None:
            refused = answer[0]
            found |= {key: refused.get(key) is True for key in _ATTEMPTS}
            found["orphan"] = refused.get("orphan") is True
            found["time"] = True
    return found


def main(name: str, folder: str) -> None:
    """The process: what came of each attempt, once it is asked."""
    asked, go = threading.Event(), threading.Event()
    early: dict[str, bool] = {}

    def attempt() -> None:
        go.wait()
        early.update(_refusals(name, folder))
        asked.set()

    threading.Thread(target=attempt, daemon=True).start()
    questions, answers = standard_pipes()
    questions.readline()
    sandbox.seal(_MEMORY_BYTES)
    go.set()
    asked.wait()
    found = {key: refused and early[key] for key, refused in _refusals(name, folder).items()}
    send(answers, found | {"orphan": any(thread.name == "watch" for thread in threading.enumerate())})


def _refusals(name: str, folder: str) -> dict[str, bool]:
    found = {}
    for key, attempt in _ATTEMPTS.items():
        try:
            attempt(name, folder)
            found[key] = False
        except (OSError, MemoryError, AttributeError) as failure:
            # What fails for another reason would not have been refused; what a system lacks nobody can do.
            kept = (errno.EACCES, errno.EPERM, errno.ENOSYS)
            found[key] = not isinstance(failure, OSError) or failure.errno in kept
    return found


def _read(name: str, folder: str) -> None:
    Path(_READ if sys.platform != "win32" else __file__).read_bytes()


def _write(name: str, folder: str) -> None:
    place = os.path.join(folder, f"edgewright-{secrets.token_hex(8)}")  # noqa: PTH118
    os.close(os.open(place, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    os.unlink(place)  # noqa: PTH108


def _tcp(name: str, folder: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as one:
        one.bind(("127.0.0.1", 0))


def _udp(name: str, folder: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.sendto(b"", ("127.0.0.1", 9))


def _unix(name: str, folder: str) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.connect(name)


def _programs(name: str, folder: str) -> None:
    """A process that becomes another program."""
    if not hasattr(os, "fork"):
        subprocess.run([sys.executable, "-I", "-S", "-c", ""], check=True)
        return
    child = os.fork()
    if child == 0:
        with contextlib.suppress(OSError):
            os.execv(sys.executable, [sys.executable, "-I", "-S", "-c", ""])
        os._exit(1)
    if os.waitpid(child, 0)[1] != 0:
        raise PermissionError(errno.EACCES, "exec")


def _processes(name: str, folder: str) -> None:
    os.kill(os.getppid(), 0)


def _memory(name: str, folder: str) -> None:
    bytearray(8 * _MEMORY_BYTES)


_ATTEMPTS: Mapping[str, Callable[[str, str], None]] = {
    "read": _read,
    "write": _write,
    "tcp": _tcp,
    "udp": _udp,
    "unix": _unix,
    "programs": _programs,
    "processes": _processes,
    "memory": _memory,
}
