"""What the process apart may not do, tried out in one: by its first thread and by one that was there."""

from __future__ import annotations

import errno
import json
import os
import platform
import socket
import struct
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from edgewright.runtime.machine.child import send, standard_pipes
from edgewright.runtime.trust import known, process, sandbox, syscalls, trial

Run = Callable[..., tuple[int, str, str]]

linux = pytest.mark.skipif(sys.platform != "linux", reason="Landlock and seccomp are Linux's")


@pytest.fixture(scope="module")
def held() -> dict[str, bool]:
    return dict(trial.holds())


@linux
@pytest.mark.parametrize("what", [key for key in trial.TITLES if key != "list"])
def test_process_apart_is_refused(held: dict[str, bool], what: str) -> None:
    assert held[what]


def test_trial_attempts_succeed_where_nothing_is_restricted(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        name = "\0edgewright-test" if sys.platform == "linux" else str(tmp_path / "s")
        listening.bind(name)
        listening.listen()
        for key, attempt in trial._ATTEMPTS.items():
            if key not in ("memory", "programs"):  # this process has threads: it should not fork
                attempt(name, tempfile.gettempdir())


def test_trial_says_what_does_not_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    found = trial.holds()
    assert not any(found[key] for key in found if key != "list")


def test_doctor_says_row_by_row_what_holds(run: Run) -> None:
    status, out, _ = run("doctor")
    assert status == 0
    assert all(title in out for title in trial.TITLES.values())
    told = json.loads(run("doctor", "--json")[1])
    assert set(told["isolation"]) == set(trial.TITLES) == set(trial.MEANS)


ATTEMPTS: dict[str, Callable[[], object]] = {
    "execve": lambda: os.execv(sys.executable, [sys.executable, "-c", ""]),
    "fork": lambda: os.fork(),
    "udp": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
    "tcp": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM),
    "unix": lambda: socket.socket(socket.AF_UNIX),
    "netlink": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW),
    "socketpair": lambda: socket.socketpair(),
    "read /etc/passwd": lambda: Path("/etc/passwd").read_bytes(),
    "read the home": lambda: os.listdir(os.path.expanduser("~")),  # noqa: PTH111, PTH208
    "read its environment": lambda: Path("/proc/self/environ").read_bytes(),
    "write": lambda: Path("/tmp/edgewright-test").write_bytes(b"x"),
    "write to a device": lambda: Path("/dev/null").write_bytes(b"x"),
    "unlink": lambda: os.unlink("/tmp/edgewright-none"),  # noqa: PTH108
    "rename": lambda: os.rename("/tmp/edgewright-a", "/tmp/edgewright-b"),  # noqa: PTH104
    "mkdir": lambda: os.mkdir("/tmp/edgewright-folder"),  # noqa: PTH102
    "chmod": lambda: os.chmod("/tmp/edgewright-none", 0o777),  # noqa: PTH101
    "truncate": lambda: os.truncate("/tmp/edgewright-none", 0),
    "kill": lambda: os.kill(os.getppid(), 0),
    "memfd": lambda: os.memfd_create("x"),
    "pidfd": lambda: os.pidfd_open(os.getppid()),
    "setuid": lambda: os.setuid(os.getuid()),
    "ptrace": lambda: sandbox._call("ptrace", 16, os.getppid(), None, None),
    "process_vm_readv": lambda: sandbox._call("process_vm_readv", os.getppid(), None, 0, None, 0, 0),
    "prctl": lambda: sandbox._call("prctl", 1, 0, 0, 0, 0),  # no longer ends with its parent
    "io_uring": lambda: sandbox._call("syscall", 425, 1, None),
    "bpf": lambda: sandbox._call("syscall", 321 if platform.machine() == "x86_64" else 280, 0, None, 0),
    "another filter": lambda: sandbox.restrict_calls(),
    "more memory": lambda: __import__("resource").setrlimit(9, (-1, -1)),
}


def attempts(early: bool) -> None:
    """In the process apart: the error numbers of all attempts, from the thread that is asked for."""
    questions, answers = standard_pipes()
    go, done = threading.Event(), threading.Event()
    found: dict[str, int] = {}

    def attempt() -> None:
        go.wait()
        for name, one in ATTEMPTS.items():
            try:
                one()
                found[name] = 0
            except OSError as failure:
                found[name] = failure.errno or -1
            except ValueError:  # setrlimit's word for it
                found[name] = errno.EPERM
        done.set()

    thread = threading.Thread(target=attempt)
    thread.start()
    import numpy  # noqa: F401  (whose BLAS has threads)

    questions.readline()
    sandbox.seal(2**30)
    if early:
        go.set()
    else:
        threading.Thread(target=attempt).start()
        go.set()
    done.wait()
    send(answers, found)


@linux
@pytest.mark.parametrize("early", [False, True], ids=["a thread started after", "a thread started early"])
def test_process_apart_can_do_none_of_these(early: bool) -> None:
    here = Path(__file__)
    code = (
        f"import sys; sys.path.insert(0, {str(here.parent)!r}); import {here.stem} as t; t.attempts({early})"
    )
    with process.start("builtins:exec", [code], reads=[str(here.parent)]) as child:
        answer = child.ask({}, seconds=60, most=0)
    assert answer is not None
    assert set(answer[0]) == set(ATTEMPTS)
    refusals = {errno.EACCES, errno.EPERM, errno.ENOSYS}
    assert {name: code for name, code in answer[0].items() if code not in refusals} == {}


def test_sandbox_imports_neither_numpy_nor_an_interpreter(fresh: Callable[..., object]) -> None:
    code = """
from edgewright.runtime.trust import sandbox
found = sys.modules.keys() & {"numpy", "PIL", "onnxruntime", "ai_edge_litert"}
print(sorted(found), file=sys.stderr)
status = 0
"""
    done = fresh(code=code)
    assert "[]" in done.stderr  # type: ignore[attr-defined]


def test_syscalls_program_is_whole_for_both_machines() -> None:
    for machine in ("x86_64", "aarch64"):
        program = syscalls.program(machine, 4711)
        steps = [struct.unpack_from("<HBBI", program, place) for place in range(0, len(program), 8)]
        assert 100 < len(steps) < 4096  # BPF_MAXINSNS
        for place, (operation, then, otherwise, _) in enumerate(steps):
            if operation & 7 == 5:  # a jump leads to a step
                assert place + 1 + max(then, otherwise) < len(steps)
        assert steps[-1][0] == 6
    with pytest.raises(KeyError):
        syscalls.program("m68k", 1)


def interpret(program: bytes, number: int, *arguments: int, arch: int = 0xC000003E) -> int:
    """What a filter returns of a call: classic BPF, as far as the filter uses it."""
    data = struct.pack("<IIQ6Q", number, arch, 0, *arguments, *[0] * (6 - len(arguments)))
    place, a = 0, 0
    while True:
        operation, then, otherwise, value = struct.unpack_from("<HBBI", program, 8 * place)
        place += 1
        if operation == 0x20:
            (a,) = struct.unpack_from("<I", data, value)
        elif operation == 0x06:
            return int(value)
        else:
            hit = {0x15: a == value, 0x35: a >= value, 0x45: bool(a & value)}[operation]
            place += then if hit else otherwise


PASS, KILL = 0x7FFF0000, 0x80000000


@pytest.mark.parametrize(
    ("machine", "call", "passes"),
    [
        ("x86_64", (0,), True),  # read
        ("x86_64", (257, 0, 0, 0o2000000), True),  # openat to read
        ("x86_64", (257, 0, 0, 0o1), False),
        ("x86_64", (257, 0, 0, 0o100), False),
        ("x86_64", (2, 0, 0), True),
        ("x86_64", (2, 0, 0o1001), False),
        ("x86_64", (56, 0x3D0F00), True),  # clone of a thread
        ("x86_64", (56, 17), False),  # fork
        ("x86_64", (57,), False),
        ("x86_64", (59,), False),
        ("x86_64", (41,), False),
        ("x86_64", (101,), False),
        ("x86_64", (302, 0, 9, 0, 1), True),  # prlimit64 that reads
        ("x86_64", (302, 0, 9, 1), False),
        ("x86_64", (302, 0, 9, 1 << 32), False),
        ("x86_64", (302, 99, 9, 0), False),
        ("x86_64", (234, 4711, 1, 6), True),  # tgkill of itself
        ("x86_64", (234, 1, 1, 9), False),
        ("x86_64", (157, 15), True),
        ("x86_64", (157, 1), False),
        ("x86_64", (72, 3, 1030), True),
        ("x86_64", (72, 3, 4), False),
        ("x86_64", (0x40000000,), False),  # x32
        ("aarch64", (63,), True),
        ("aarch64", (56, 0, 0, 0), True),
        ("aarch64", (56, 0, 0, 0o102), False),
        ("aarch64", (220, 0x3D0F00), True),
        ("aarch64", (220, 17), False),
        ("aarch64", (198,), False),  # socket
        ("aarch64", (221,), False),  # execve
        ("aarch64", (117,), False),  # ptrace
    ],
)
def test_syscalls_program_says_of_a_call(machine: str, call: tuple[int, ...], passes: bool) -> None:
    arch = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}[machine]
    assert (interpret(syscalls.program(machine, 4711), *call, arch=arch) == PASS) is passes
    assert interpret(syscalls.program(machine, 4711), *call, arch=0x40000003) == KILL  # 32-bit


def test_sandbox_does_what_a_system_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Landlock and seccomp, as where a container or another system refuses both."""

    def refused(name: str, *arguments: object) -> int:
        raise OSError(errno.ENOSYS, name)

    monkeypatch.setattr(sandbox, "_call", refused)
    monkeypatch.setattr(known, "_apart", False)
    sandbox.seal(None)
    assert known.opens_here("0" * 64, None)  # type: ignore[arg-type]
