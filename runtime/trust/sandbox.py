"""The process apart takes away from itself what running a model does not need: `enter` first, then `seal`.

`enter` is the first thing it does, before numpy or an interpreter is imported: Landlock restricts the thread
that asks and those it starts, and both libraries start some when they are imported. From then on only what
Python and its packages are made of can be read, and what the system says of the processor: LiteRT that cannot
read /proc/cpuinfo runs without XNNPACK, and says nothing. `seal` comes after the imports and before the first
byte of the file: no more memory than the file may take, and a seccomp filter for all threads (`syscalls.py`).

Each of them does what the system has; `trial.py` finds out what holds. Imports neither numpy nor a package.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import struct
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from edgewright.runtime.trust import known, syscalls

MOST_LOG_BYTES = 2**16  # in one file, such as a log that was given as standard error
EXIT_ORPHANED = 4

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same numbers on all machines
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
_TCP, _SCOPES = 0b11, 0b11  # bind and connect; abstract Unix sockets and signals
_PATH_BENEATH, _VERSION = 1, 1
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_SET_MODE_FILTER, _TSYNC = 1, 1

_SYSTEM = (
    *("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache"),
    *("/nix/store", "/gnu/store"),
    *("/dev/null", "/dev/zero", "/dev/urandom"),
    *("/sys/devices/system/cpu", "/sys/devices/system/node", "/sys/kernel/mm/transparent_hugepage"),
    *("/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/loadavg", "/proc/version"),
    *("/proc/sys/vm/overcommit_memory", "/proc/sys/kernel/osrelease"),
    *(f"/proc/self/{name}" for name in ("auxv", "maps", "stat", "statm", "status", "task")),
    *("/proc/pressure", "/proc/interrupts"),
)


def enter(job: Mapping[str, Any]) -> None:
    """Become the process apart, and call `job["function"]`, as `package.module:name`, with `job["words"]`.

    Args:
        job: also `reads`, files and folders it may read besides those, `parent`,
            the process it ends with, and `with_thread`: that one's thread lives as long as itself.
    """
    if job["with_thread"]:
        with contextlib.suppress(OSError, AttributeError):
            _call("prctl", _PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if hasattr(os, "getppid") and os.getppid() != job["parent"]:
        os._exit(EXIT_ORPHANED)  # it ended before it could be said that this one should, too
    _limit()
    prefixes = (os.path.join(prefix, "lib") for prefix in (sys.prefix, sys.base_prefix))  # noqa: PTH118
    libraries = os.environ.get("LD_LIBRARY_PATH", "").split(":")
    places = (*sys.path, *prefixes, os.path.realpath(sys.executable), *libraries, *_SYSTEM, *job["reads"])
    with contextlib.suppress(OSError, AttributeError):  # a system without Landlock
        restrict_files(place for place in places if place.startswith("/"))
    # Not before: it would not be restricted.
    threading.Thread(target=_watch, name="watch", daemon=True).start()
    module, _, name = job["function"].partition(":")
    getattr(import_module(module), name)(*job["words"])


def seal(memory_bytes: int | None = None) -> None:
    """Take away all else, in every thread, before anything is read that is not trusted. Files are opened in
    this process from now on.

    Args:
        memory_bytes: what may be taken besides what is taken already; None sets no limit.
    """
    if memory_bytes is not None:
        with contextlib.suppress(ImportError, OSError, ValueError):  # there may be a lower limit already
            import resource

            now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (now + memory_bytes,) * 2)
    with contextlib.suppress(OSError, AttributeError, KeyError):
        restrict_calls()
    known.stand_apart()


def restrict_files(places: Iterable[str]) -> None:
    """Landlock: this thread and those it starts read beneath `places`, and write, bind and connect nowhere.

    Raises:
        OSError: the system has no Landlock, or refuses it.
    """
    version = _syscall(_CREATE_RULESET, None, 0, _VERSION)
    bits = 13 + (version >= 2) + (version >= 3) + (version >= 5)  # refer, truncate, ioctl of devices
    attributes = struct.pack(
        "<QQQ", (1 << bits) - 1, _TCP if version >= 4 else 0, _SCOPES if version >= 6 else 0
    )
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    ruleset = _syscall(_CREATE_RULESET, attributes, size, 0)
    try:
        for handle in _opened(places):
            folder = _is_folder(handle)
            rule = struct.pack("<Qi", _READ_FILE | (_READ_DIR if folder else 0), handle)
            _syscall(_ADD_RULE, ruleset, _PATH_BENEATH, rule, 0)
        _no_new_privileges()
        _syscall(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def restrict_calls() -> None:
    """Seccomp: the filter of `syscalls.py` for all threads of this process.

    Raises:
        OSError: the system has no seccomp, or refuses it.
        KeyError: no table for this machine.
        AttributeError: no system that has one.
    """
    program = syscalls.program(os.uname().machine, os.getpid())
    kept = ctypes.create_string_buffer(program, len(program))
    pointer = struct.pack("<HxxxxxxQ", len(program) // 8, ctypes.addressof(kept))  # struct sock_fprog
    _no_new_privileges()
    _syscall(syscalls.SECCOMP[syscalls.column(os.uname().machine) or 0], _SET_MODE_FILTER, _TSYNC, pointer)


def _watch() -> None:
    """End when nobody holds the other end of standard input any more.

    Two ways of ending with the parent, as each has a hole: the kernel's signal comes when the thread that
    started this process ends, which may be long before its process does, so it is asked for by the main
    thread alone; this one waits for a lock that an interpreter may hold.
    """
    with contextlib.suppress(ImportError, AttributeError, OSError):
        import select

        poll = select.poll()
        poll.register(0, 0)
        while not poll.poll():
            pass
        os._exit(EXIT_ORPHANED)


def _limit() -> None:
    """No dump if it crashes, and no file grows by it."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (MOST_LOG_BYTES, MOST_LOG_BYTES))


def _opened(places: Iterable[str]) -> Iterator[int]:
    for place in dict.fromkeys(places):
        try:
            handle = os.open(place, os.O_PATH | os.O_CLOEXEC)
        except OSError:  # not on this system
            continue
        try:
            yield handle
        finally:
            os.close(handle)


def _is_folder(handle: int) -> bool:
    return os.fstat(handle).st_mode & 0o170000 == 0o040000


def _no_new_privileges() -> None:
    _call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def _syscall(number: int, *arguments: int | bytes | None) -> int:
    return _call("syscall", number, *arguments)


def _call(name: str, *arguments: int | bytes | None) -> int:
    """A call of the C library. Raises `OSError`; `AttributeError` on other systems than Linux."""
    if sys.platform != "linux":
        raise AttributeError(name)
    function = getattr(ctypes.CDLL(None, use_errno=True), name)
    function.restype = ctypes.c_long if name == "syscall" else ctypes.c_int
    words = [ctypes.c_ulong(a) if isinstance(a, int) else ctypes.c_char_p(a) for a in arguments]
    found: int = function(*words)
    if found < 0:
        raise OSError(ctypes.get_errno(), f"{name} {arguments[0]!r}")
    return found
