"""A protocol fixture, never Android: Debian's adbd on loopback in a network namespace of its own, with shell
scripts that print what a phone and LiteRT's benchmark_model print."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from edgewright.benchmarks.targets.adb import phone as phones

# What both tools of that name log; words in the file `mood` decide how this one behaves.
MODEL = """\
#!/bin/sh
for word in "$@"; do case "$word" in
  --graph=*) graph="${word#--graph=}";;
  --use_gpu=true) gpu=1;;
  --num_threads=*) threads="${word#--num_threads=}";;
esac; done
echo "$@" >> FOLDER/called
echo "INFO: STARTING!"
[ -s "$graph" ] || { echo "ERROR: Failed to load model $graph"; exit 1; }
if [ -n "$gpu" ]; then
  if grep -q no-gpu FOLDER/mood; then
    echo "INFO: Though GPU delegate is explicitly applied, the model graph will not be executed by the delegate."
    echo "ERROR: Failed to apply GPU delegate."
    exit 1
  fi
  echo "INFO: Explicitly applied GPU delegate, and the model graph will be completely executed by the delegate."
fi
echo "INFO: The input model file size (MB): 4.2761"
echo "INFO: Initialized session in 12.345ms."
echo "INFO: Running benchmark for at least 1 iterations and at least 0.5 seconds but terminate if exceeding 150 seconds."
echo "INFO: count=5 first=2125 curr=1537 min=1517 max=2125 avg=1644 std=49 p5=1517 median=1529 p95=2125"
echo
if grep -q slow FOLDER/mood; then echo $$ > FOLDER/running; exec sleep 60; fi
echo "INFO: Running benchmark for at least 50 iterations and at least 1 seconds but terminate if exceeding 150 seconds."
echo "INFO: count=1050 first=1419 curr=1489 min=1418 max=1996 avg=1.5246e+03 std=13 p5=1421 median=1502 p95=1766"
echo
echo "INFO: Inference timings in us: Init: 12345, First inference: 2125, Warmup (avg): 1644, Inference (avg): 1524.6"
echo "INFO: Memory footprint delta from the start of the tool (MB): init=1.5 overall=2.25"
"""  # noqa: E501 - as it prints them
# A stand-in for adb, whose phone is a shell here.
_ADB = """\
#!/bin/sh
echo "$@" >> FOLDER/adb-called
[ "$1" = devices ] && { printf 'List of devices attached\\nX1\\tdevice\\n\\n'; exit; }
shift 2
case "$1" in
  shell) export PATH="FOLDER/phone:$PATH"; exec sh -c "$2";;
  push) exec cp "$2" "$3";;
  reverse) exit 0;;
esac
"""
_PORT = 6555  # not 5555, where adb looks for emulators by itself
_PROPERTIES = {
    "ro.product.manufacturer": "Fixture",
    "ro.product.model": "of a protocol",
    "ro.product.cpu.abi": "arm64-v8a",
    "ro.build.version.release": "0",
}


@dataclass(frozen=True, kw_only=True)
class Fixture:
    """`mood` is a file that decides how the stand-in for benchmark_model behaves, `called` what it was called
    with; `pid` is that of adbd, 0 where there is none."""

    serial: str
    folder: Path
    tool: Path
    pid: int = 0

    @property
    def mood(self) -> Path:
        return self.folder / "mood"

    def called(self, what: str = "called") -> list[str]:
        file = self.folder / what
        return file.read_text().splitlines() if file.exists() else []


@pytest.fixture
def phone(programs: Callable[[str, str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fixture:
    """What the stand-in for adb reaches."""
    programs("adb", _ADB.replace("FOLDER", str(tmp_path)))
    return _with_programs(tmp_path, monkeypatch, "X1")


def _with_programs(folder: Path, monkeypatch: pytest.MonkeyPatch, serial: str, pid: int = 0) -> Fixture:
    """The phone's own programs, and benchmark_model."""
    own = folder / "phone"
    own.mkdir(exist_ok=True)
    cases = "".join(f"  {key}) echo '{value}';;\n" for key, value in _PROPERTIES.items())
    for name, script in {
        "getprop": f'case "$1" in\n{cases}esac\n',
        "am": f'echo "$@" >> {folder}/opened\n',
    }.items():
        (own / name).write_text(f"#!/bin/sh\n{script}")
        (own / name).chmod(0o755)
    tool = folder / "benchmark_model"
    tool.write_text(MODEL.replace("FOLDER", str(folder)))
    (folder / "mood").write_text("")
    monkeypatch.setattr(phones, "ROOM", str(folder / "room"))
    monkeypatch.delenv("ANDROID_SERIAL", raising=False)
    return Fixture(serial=serial, folder=folder, tool=tool, pid=pid)


@pytest.fixture
def adbd(
    programs: Callable[[str, str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Fixture]:
    """A real adbd, and adb, in a network namespace of their own: they listen on every address they see."""
    found = {name: shutil.which(name) for name in ("adb", "adbd", "unshare", "nsenter", "ip")}
    if None in found.values() or os.geteuid() != 0:
        pytest.skip("adb, adbd and a network namespace for them are not here")
    environment = {**os.environ, "PATH": f"{tmp_path}/phone:{os.environ['PATH']}", "ADBD_PORT": str(_PORT)}
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([str(found["unshare"]), "-n", "sleep", "infinity"]) as network:  # outlives adbd
        inside = [str(found["nsenter"]), f"--net=/proc/{network.pid}/ns/net"]
        _until_apart(network.pid)
        subprocess.run([*inside, str(found["ip"]), "link", "set", "lo", "up"], check=True)
        daemon = subprocess.Popen([*inside, str(found["adbd"])], env=environment, **quiet)
        programs("adb", f'#!/bin/sh\nHOME={tmp_path} exec {" ".join(inside)} {found["adb"]} "$@"\n')
        serial = f"127.0.0.1:{_PORT}"
        try:
            end = time.monotonic() + 20
            while f"{serial}\tdevice" not in _said("devices") and time.monotonic() < end:
                _said("connect", serial)
                time.sleep(0.1)
            yield _with_programs(tmp_path, monkeypatch, serial, daemon.pid)
        finally:
            _said("kill-server")
            daemon.kill()
            daemon.wait()
            network.kill()


def _until_apart(pid: int) -> None:
    """Until a process has a network namespace of its own."""
    own, end = Path("/proc/self/ns/net").readlink(), time.monotonic() + 10
    while Path(f"/proc/{pid}/ns/net").readlink() == own and time.monotonic() < end:
        time.sleep(0.01)


def _said(*words: str) -> str:
    done = subprocess.run(["adb", *words], capture_output=True, text=True, check=False, timeout=30)
    return done.stdout
