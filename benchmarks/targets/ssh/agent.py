"""What runs on the device beside a measurement: it keeps files by their hash, makes the environment, starts
programs and watches heat and clock meanwhile.

It comes over the line as text and is run by the device's own Python, 3.11 or newer: it takes nothing but the
standard library. It is told things on its standard input, JSON objects a line each with bytes behind them as
in `runtime/machine/child.py`, and answers in the same way. Its input ends with the line, wherever that
breaks: then it ends what it has started and takes its run folder away. What is kept lies in `ROOT`.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import importlib.util
import json
import os
import platform
import select
import shutil
import signal
import struct
import subprocess
import sys
import sysconfig
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

ROOT = "~/.cache/edgewright/ssh"
_IDLE_SECONDS = 3600.0  # that it waits to be told something: a line that hangs is no end of it
_KEPT_SECONDS = 30 * 86400.0  # that a file or an environment is kept after it was of use
_CHUNK = 2**20
_SAID = 4000  # bytes of what a program wrote to standard error last
_LOOK_SECONDS = 1.0  # between two looks at heat and clock
_HEAT = ("cpu", "soc", "pkg", "core", "tdie")  # in the names of sensors that are the processor's
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


class LineEndedError(Exception):
    """Nobody is there any more."""


class Agent:
    def __init__(self, questions: int, answers: BinaryIO) -> None:
        self._questions, self._answers, self._ahead = questions, answers, b""
        self._root = Path(os.path.expanduser(ROOT))  # noqa: PTH111  (Path.expanduser raises without a home)
        if not self._root.is_absolute():
            raise OSError("the user has no home directory to keep files in")
        for name in ("files", "venvs"):
            (self._root / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._locked(self._root):
            for left in self._root.glob("run-*"):  # of an agent that was killed
                with contextlib.suppress(OSError), self._locked(left, wait=False):
                    shutil.rmtree(left, ignore_errors=True)
            self._run = Path(tempfile.mkdtemp(prefix="run-", dir=self._root))
            self._lock = os.open(self._run, os.O_RDONLY)
            _lock(self._lock)
            self._prune()
        self._venv = Path()

    def serve(self) -> None:
        """Until the line ends."""
        does: dict[str, Callable[[dict[str, Any]], tuple[dict[str, Any], bytes]]] = {
            "look": self._look,
            "have": self._have,
            "put": self._put,
            "make": self._make,
            "lay": self._lay,
            "run": self._run_program,
        }
        try:
            while True:
                told = json.loads(self._line())
                try:
                    answer, raw = does[told["do"]](told)
                except LineEndedError:
                    raise
                except Exception as failure:  # whatever it was, who asked is told
                    answer, raw = {"error": str(failure) or type(failure).__name__}, b""
                self._answers.write(json.dumps({**answer, "bytes": len(raw)}).encode() + b"\n" + raw)
                self._answers.flush()
        except (LineEndedError, BrokenPipeError):
            pass
        finally:
            shutil.rmtree(self._run, ignore_errors=True)

    def _look(self, told: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        """What the device is."""
        name, version = platform.libc_ver()
        return {
            "python": platform.python_version(),
            "system": sys.platform,
            "platform": sysconfig.get_platform(),
            "bits": 8 * struct.calcsize("P"),
            "libc": f"{name} {version}".strip(),
            "model": _text("/proc/device-tree/model").strip("\0 \n"),
            "venv": importlib.util.find_spec("venv") is not None,
            "boot": _text("/proc/sys/kernel/random/boot_id").strip(),
            "free": shutil.disk_usage(self._root).free,
        }, b""

    def _have(self, told: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        """Which of the files `sha256` are not here, and whether the environment `venv` is."""
        for sha256 in told["sha256"]:
            with contextlib.suppress(OSError):
                os.utime(self._file(sha256))
        lacking = [sha256 for sha256 in told["sha256"] if not self._file(sha256).exists()]
        self._venv = self._root / "venvs" / told["venv"]
        with contextlib.suppress(OSError):
            os.utime(self._venv)
        return {"lacking": lacking, "venv": self._venv.is_dir()}, b""

    def _put(self, told: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        """Keep the bytes that follow, if they are those of their hash."""
        left, digest, failure = told["bytes"], hashlib.sha256(), None
        handle, name = tempfile.mkstemp(dir=self._run)
        with os.fdopen(handle, "wb", buffering=0) as file:
            while left:  # to the end in any case: what follows is the next question
                chunk = self._read(min(left, _CHUNK))
                left -= len(chunk)
                digest.update(chunk)
                try:
                    if failure is None:
                        file.write(chunk)
                except OSError as full:
                    failure = full
        if failure is None and digest.hexdigest() != told["sha256"]:
            failure = OSError("a file came with other bytes than it was sent with")
        if failure is not None:
            Path(name).unlink()
            raise failure
        Path(name).replace(self._file(told["sha256"]))
        return {}, b""

    def _make(self, told: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        """Make the environment out of `archives`, without pip, which Debian keeps apart; keep it if the
        program `trial` runs in it."""
        import venv

        new = Path(tempfile.mkdtemp(dir=self._run)) / "venv"
        venv.EnvBuilder(symlinks=True).create(new)
        site = new / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
        for sha256 in told["archives"]:
            with zipfile.ZipFile(self._file(sha256)) as archive:
                archive.extractall(site)
        words = [str(new / "bin/python"), "-c", told["trial"]]
        tried = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        if tried.returncode != 0:
            return {"status": tried.returncode, "said": _last(tried.stderr)}, b""
        with contextlib.suppress(OSError):  # another run was faster
            new.replace(self._venv)
        return {"status": 0, "said": ""}, b""

    def _lay(self, told: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        """Put files into the run folder, each under its name."""
        for name, sha256 in told["files"].items():
            place = self._run / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.unlink(missing_ok=True)
            try:
                os.link(self._file(sha256), place)
            except OSError:  # a file system without links
                shutil.copyfile(self._file(sha256), place)
        return {}, b""

    def _run_program(self, told: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        """Run a program of the run folder in the environment; what it writes comes back as bytes."""
        seen = Watch()
        with tempfile.TemporaryFile(dir=self._run) as out, tempfile.TemporaryFile(dir=self._run) as err:
            child = subprocess.Popen(
                [str(self._venv / "bin/python"), "-P", *told["words"]],
                cwd=self._run,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=self._environment(),
                start_new_session=True,
                preexec_fn=_end_with_parent,
            )
            try:
                late = self._wait(child, time.monotonic() + told["seconds"], seen)
            finally:
                with contextlib.suppress(OSError):  # and all that it has started
                    os.killpg(child.pid, signal.SIGKILL)
                child.wait()
            err.seek(max(0, err.seek(0, os.SEEK_END) - _SAID))
            said = "it took too long" if late else _last(err.read())
            size = out.seek(0, os.SEEK_END)
            out.seek(0)
            raw = out.read() if size <= told["most"] else b""
        return {"status": child.returncode, "said": said, **seen.told()}, raw

    def _wait(self, child: subprocess.Popen[bytes], end: float, seen: Watch) -> bool:
        """Until the program ends, or the time is up, which is True. Nobody speaks meanwhile: who does, or
        stops listening, is gone."""
        look = 0.0
        ended = os.pidfd_open(child.pid) if hasattr(os, "pidfd_open") else None
        try:
            while child.poll() is None:
                now = time.monotonic()
                if now > end:
                    return True
                if now >= look:
                    seen.look()
                    look = now + _LOOK_SECONDS
                watched = [self._questions, *([] if ended is None else [ended])]
                if self._questions in select.select(watched, [], [], min(look - now, 0.5))[0]:
                    raise LineEndedError
        finally:
            if ended is not None:
                os.close(ended)
        return False

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "USER")}
        own = {"EDGEWRIGHT_CACHE": str(self._run / "cache"), "TMPDIR": str(self._run), "PYTHONUTF8": "1"}
        return {**kept, **own}

    def _file(self, sha256: str) -> Path:
        return self._root / "files" / sha256

    def _prune(self) -> None:
        """Take away what was of no use for long."""
        oldest = time.time() - _KEPT_SECONDS
        for entry in (*(self._root / "files").iterdir(), *(self._root / "venvs").iterdir()):
            with contextlib.suppress(OSError):
                if entry.stat().st_mtime < oldest:
                    shutil.rmtree(entry) if entry.is_dir() else entry.unlink()

    @contextlib.contextmanager
    def _locked(self, folder: Path, wait: bool = True) -> Iterator[None]:
        handle = os.open(folder, os.O_RDONLY)
        try:
            _lock(handle, wait)
            yield
        finally:
            os.close(handle)

    def _line(self) -> bytes:
        while b"\n" not in self._ahead:
            self._ahead += self._more()
        line, _, self._ahead = self._ahead.partition(b"\n")
        return line

    def _read(self, most: int) -> bytes:
        found = self._ahead or self._more()
        self._ahead = found[most:]
        return found[:most]

    def _more(self) -> bytes:
        if not select.select([self._questions], [], [], _IDLE_SECONDS)[0]:
            raise LineEndedError
        found = os.read(self._questions, _CHUNK)
        if not found:
            raise LineEndedError
        return found


class Watch:
    """Heat and clock while a program runs, as far as Linux tells; a Raspberry Pi tells more."""

    def __init__(self) -> None:
        self._celsius: list[float] = []
        self._mhz: list[float] = []
        zones = [
            (zone, _text(f"{zone}/type").lower()) for zone in Path("/sys/class/thermal").glob("thermal_zone*")
        ]
        own = [zone for zone, kind in zones if any(word in kind for word in _HEAT)]
        self._zones = own or [zone for zone, _ in zones]
        self._clocks = list(Path("/sys/devices/system/cpu/cpufreq").glob("policy*/scaling_cur_freq"))
        self._before = _throttled()

    def look(self) -> None:
        heat = [_number(zone / "temp") / 1000 for zone in self._zones]
        clocks = [_number(clock) / 1000 for clock in self._clocks]
        if any(0 < each < 150 for each in heat):
            self._celsius.append(max(each for each in heat if each < 150))
        if any(clocks):
            self._mhz.append(max(clocks))

    def told(self) -> dict[str, Any]:
        """`throttled` has two numbers, before and after, as vcgencmd tells them; none elsewhere."""
        self.look()
        after = _throttled()
        flags = [] if self._before is None or after is None else [self._before, after]
        return {"celsius": self._celsius, "mhz": self._mhz, "throttled": flags}


def _throttled() -> int | None:
    """The bits of https://www.raspberrypi.com/documentation/computers/os.html#get_throttled"""
    if not shutil.which("vcgencmd"):
        return None
    try:
        said = subprocess.run(
            ["vcgencmd", "get_throttled"], capture_output=True, timeout=5, check=False
        ).stdout
        return int(said.decode().partition("=")[2].strip(), 16)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _number(path: Path) -> float:
    try:
        return float(_text(str(path)))
    except ValueError:
        return 0.0


def _last(said: bytes) -> str:
    """The last line of it."""
    lines = said[-_SAID:].decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else ""


def _lock(handle: int, wait: bool = True) -> None:
    import fcntl  # here, as Windows, from where a device may be measured, has none

    fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)


def _end_with_parent() -> None:
    """A program whose agent is killed does not go on by itself."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def main() -> None:
    def leave(*unused: object) -> None:
        raise LineEndedError

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, leave)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what anything else prints is no answer
    agent, told = None, {}
    try:
        agent = Agent(0, answers)
    except OSError as failure:
        told = {"error": str(failure)}
    answers.write(json.dumps(told).encode() + b"\n")  # nobody asks before: it would be read with this text
    answers.flush()
    if agent is not None:
        agent.serve()


if __name__ == "__main__":
    main()
