"""Starts children of exports with their slow imports done: a process that has imported them forks.

TensorFlow, the converters and the interpreters take seconds to import, and an export starts three processes.
`Starter` stands where `ChildProcess` finds `subprocess.Popen`. For each module that it knows it starts this
file as a program,

    python -P tests/warm.py FD NUMBER

which imports what PRELOADS says of the module of that number and waits on the socket FD, which listens, for
all processes of a run of tests: the first that wants it starts it, and it ends when none is connected any
more. It greets with the environment that it was started in, and takes tasks: a module to run as
`python -P -m` would, environment, folder, and the files for standard input, output and error. A keeper,
forked first, tells the process id and how it ended: who asked is not its parent.
"""

from __future__ import annotations

import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from filelock import FileLock

_RUNTIMES = """
use("edgewright.export.work.score", "edgewright.runtime.backends.litert.session")
use("edgewright.runtime.backends.ort.session", "ai_edge_litert.interpreter", "onnxruntime")
"""
_CONVERTERS = f"""
from edgewright.export import formats
from edgewright.train.stack import import_keras
import_keras()
{_RUNTIMES}
for name in formats.names():
    formats.get(name)
use("edgewright.export.work.convert", "edgewright.export.network.network", "tensorflow.lite.python.lite")
use("tf2onnx", "onnx.version_converter", "onnxslim", "sympy", "onnxruntime.quantization.shape_inference")
use("onnxruntime.transformers.float16", "ai_edge_quantizer.quantizer", "ai_edge_quantizer.recipe", "h5py")
"""
_PASSES = """
from edgewright.train.stack import import_tfmot
import_tfmot()
use("edgewright.export.finetuning.child")
"""
PRELOADS = {
    "edgewright.export.work.score": _RUNTIMES,
    "edgewright.export.work.convert": _CONVERTERS,
    "edgewright.export.finetuning.child": _PASSES,
}
_DECIDING = ("PYTHON", "LD_", "OMP_", "TF_NUM_", "TF_ENABLE_", "CUDA_")  # read as libraries are loaded
_started: list[subprocess.Popen[bytes]] = []  # kept, as one that is lost sight of warns


class Starter:
    """Called as `subprocess.Popen`; forks what it can while `forks`, and starts all else."""

    def __init__(self, folder: Path) -> None:
        self.forks = hasattr(os, "fork") and hasattr(socket, "send_fds")
        self._folder = folder  # of the whole run
        self._warm: dict[str, _Warm] = {}

    def __call__(self, command: Sequence[str], **how: Any) -> Any:
        *python, module = command
        known = python == [sys.executable, "-P", "-m"] and module in PRELOADS and not how["pass_fds"]
        if self.forks and known:
            if module in self._warm and not self._warm[module].is_running():
                self._warm.pop(module).close()
            if module not in self._warm:
                self._warm[module] = _Warm(module, self._folder)
            if self._warm[module].suits(how["env"]):
                return _Forked(self._warm[module], module, how["env"], how["stderr"])
        return subprocess.Popen(command, **how)

    def close(self) -> None:
        for warm in self._warm.values():
            warm.close()


class _Warm:
    """A connection to the process that forks."""

    def __init__(self, module: str, folder: Path) -> None:
        number = [*PRELOADS].index(module)  # not its name: some tests look for processes by that
        path = folder / f"warm-{number}"
        with FileLock(f"{path}.lock"):
            found = _connected(path)
            if found is None:
                path.unlink(missing_ok=True)
                _start(path, number)
                found = _connected(path)
        assert found, f"the process that forks children has failed: run tests/warm.py {number} by hand"
        self._asked, self._environment = found

    def is_running(self) -> bool:
        """It says nothing after its greeting: what can be read is its end."""
        return not select.select([self._asked], [], [], 0)[0]

    def suits(self, environment: Mapping[str, str]) -> bool:
        """True if a fresh process would have loaded its libraries as this one has."""
        ours, theirs = (
            {name: value for name, value in each.items() if name.startswith(_DECIDING)}
            for each in (self._environment, environment)
        )
        return ours == theirs

    def start(self, module: str, environment: Mapping[str, str], files: Sequence[int]) -> None:
        task = {"module": module, "environment": dict(environment), "folder": str(Path.cwd())}
        socket.send_fds(self._asked, [json.dumps(task).encode()], list(files))

    def close(self) -> None:
        with suppress(OSError):
            self._asked.shutdown(socket.SHUT_RDWR)
        self._asked.close()


def _start(path: Path, number: int) -> None:
    """A process that others than its parent use: it is told by what it says, and never waited for."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
        listening.bind(os.fspath(path))
        listening.listen()
        command = [sys.executable, "-P", __file__, str(listening.fileno()), str(number)]
        null = subprocess.DEVNULL
        _started.append(
            subprocess.Popen(command, pass_fds=[listening.fileno()], stdin=null, stdout=null, stderr=null)
        )


def _connected(path: Path) -> tuple[socket.socket, dict[str, str]] | None:
    """A connection that was greeted, and the environment of who greets; None if nobody is there."""
    asking = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        asking.connect(os.fspath(path))
        return asking, json.loads(asking.recv(2**20))
    except (OSError, ValueError):  # it has just ended, or never was
        asking.close()
        return None


class _Forked:
    """As much of a `subprocess.Popen` as `ChildProcess` asks for."""

    def __init__(self, warm: _Warm, module: str, environment: Mapping[str, str], log: Any) -> None:
        (theirs_in, ours_in), (ours_out, theirs_out), (self._told, tell) = (os.pipe() for _ in range(3))
        errors = os.open(os.devnull, os.O_WRONLY) if log == subprocess.DEVNULL else os.dup(log.fileno())
        files = (theirs_in, theirs_out, errors, tell)
        warm.start(module, environment, files)
        for file in files:
            os.close(file)
        self.stdin, self.stdout = os.fdopen(ours_in, "wb"), os.fdopen(ours_out, "rb")
        self.returncode: int | None = None
        self._said = b""
        self.pid = self._next(None)

    def _next(self, timeout: float | None) -> int:
        while b"\n" not in self._said:
            if not select.select([self._told], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("a fork", timeout or 0)
            found = os.read(self._told, 100)
            assert found, "the process that forks children has failed: run tests/warm.py by hand"
            self._said += found
        word, _, self._said = self._said.partition(b"\n")
        return int(word)

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            self.returncode = self._next(timeout)
            os.close(self._told)
        return self.returncode

    def kill(self) -> None:
        if self.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)


def main(asking: str, number: str) -> None:
    """The process that forks, until nobody can ask any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who asks
    greeting = json.dumps({key: value for key, value in os.environ.items() if key.startswith(_DECIDING)})
    exec([*PRELOADS.values()][int(number)], {"use": _use})
    gc.collect()
    gc.freeze()  # a collection in a fork would copy all pages
    _serve(socket.socket(fileno=int(asking)), greeting)


def _serve(listening: socket.socket, greeting: str) -> None:
    asking: list[socket.socket] = []
    while True:
        for ready in select.select([listening, *asking], [], [])[0]:
            if ready is listening:
                asking.append(listening.accept()[0])
                asking[-1].sendall(greeting.encode())
                continue
            raw, files, _, _ = socket.recv_fds(ready, 2**20, 4)
            if not raw:
                ready.close()
                asking.remove(ready)
            elif os.fork() == 0:
                for each in (listening, *asking):
                    each.close()
                _keep(json.loads(raw), files)
            for file in files:
                os.close(file)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if not asking:
            return


def _use(*names: str) -> None:
    for name in names:
        with suppress(ImportError):
            import_module(name)


def _keep(task: dict[str, Any], files: list[int]) -> None:
    """The keeper: never returns."""
    *standard, told = files
    child = os.fork()
    if child == 0:
        os.close(told)
        _run(task, standard)
    for file in (*standard, 0, 1, 2):
        with suppress(OSError):
            os.close(file)
    os.write(told, f"{child}\n".encode())
    _, status = os.waitpid(child, 0)
    with suppress(OSError):
        os.write(told, f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def _run(task: dict[str, Any], standard: list[int]) -> None:
    """The child: never returns."""
    status = 1
    try:
        for place, file in enumerate(standard):
            os.dup2(file, place)
        for file in standard:
            os.close(file)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.environ.clear()
        os.environ.update(task["environment"])
        os.chdir(task["folder"])
        sys.argv = [task["module"]]
        sys.modules.pop(task["module"], None)  # imported for what it imports
        runpy.run_module(task["module"], run_name="__main__", alter_sys=True)
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    main(*sys.argv[1:])
