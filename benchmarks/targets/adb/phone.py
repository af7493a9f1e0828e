"""A phone behind the system's adb: which one, what it is, files by their hash, programs in its shell.

Whatever it says is hostile until it was checked: limited in size and time here, read in `told.py`.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgewright.benchmarks.targets.adb import told
from edgewright.runtime.disk import files
from edgewright.runtime.errors import InputError, TargetError
from edgewright.runtime.machine.child import ChildProcess

ROOM = "/data/local/tmp/edgewright"  # where Android lets the shell's user run programs
SERIAL = re.compile(r"[\w.:\[\]%-]{1,128}")
_SECONDS = 60.0
_PUSH_SECONDS = 1800.0
_MOST = 2**20  # bytes that a command may print
_LIST = "List of devices attached"
_END = "edgewright-end"  # what the shell prints last, with the exit status
_REMEDIES = {
    "unauthorized": "confirm on its screen that this computer may debug it",
    "authorizing": "confirm on its screen that this computer may debug it",
    "offline": "take its cable out and in again, or run: adb reconnect offline",
    "no permissions": "let udev give you the USB device: see developer.android.com/tools/device",
    "recovery": "start Android on it",
    "sideload": "start Android on it",
    "bootloader": "start Android on it",
}


@dataclass(frozen=True, kw_only=True)
class Phone:
    serial: str

    def shell(self, script: str, doing: str, *, seconds: float = _SECONDS) -> tuple[int, str]:
        """Run a script in its shell: the exit status, and what it printed. Raises `TargetError`."""
        words = ["-s", self.serial, "shell", f"{script}\necho {_END} $?"]
        _, said, complaint = _adb(words, seconds + 10)
        text, mark, status = said.rpartition(f"{_END} ")
        if not mark or not status.strip().isdecimal():  # adb itself may end well when its line breaks
            raise TargetError(
                f"the line to {self.serial} broke while {doing}: {complaint or 'adb does not say why'}; no "
                "half result is kept. Run it again: what has arrived is not sent again"
            )
        return int(status), text

    def put(self, path: Path, doing: str) -> str:
        """Where a file is on the phone, under its hash; it is sent there if it is not yet.

        Raises:
            TargetError: it cannot be, or other bytes arrived.
        """
        sha256 = files.sha256_of(path)
        place = f"{ROOM}/{sha256}"
        if self._has(place, sha256):
            return place
        self.shell(f"mkdir -p {ROOM}", doing)
        half = f"{place}.half"
        status, _, complaint = _adb(["-s", self.serial, "push", str(path), half], _PUSH_SECONDS)
        if status != 0:
            raise TargetError(
                f"{doing} to {self.serial} failed: {complaint or f'adb ended with status {status}'}"
            )
        if not self._has(half, sha256):
            self.shell(f"rm -f {half}", doing)
            raise TargetError(f"{doing} to {self.serial} failed: other bytes arrived, or its disk is full")
        self.shell(f"chmod 755 {half} && mv {half} {place}", doing)
        return place

    def about(self) -> told.About:
        """What it is. Raises `TargetError`."""
        status, said = self.shell(told.ASKED, "looking around")
        if status != 0:
            raise TargetError(f"expected a shell on {self.serial}, got status {status}; start Android on it")
        return told.about(said, self.serial)

    def reverse(self, port: int) -> None:
        """Let `localhost:port` on the phone be that of this machine. Raises `TargetError`."""
        status, _, complaint = _adb(["-s", self.serial, "reverse", f"tcp:{port}", f"tcp:{port}"], _SECONDS)
        if status != 0:
            raise TargetError(f"adb reverse to {self.serial} failed: {complaint or f'status {status}'}")

    def unreverse(self, port: int) -> None:
        _adb(["-s", self.serial, "reverse", "--remove", f"tcp:{port}"], _SECONDS)

    def open(self, url: str) -> None:
        """Open a page in its browser. Raises `TargetError`."""
        words = f"am start -a android.intent.action.VIEW -d {shlex.quote(url)}"
        status, said = self.shell(words, "opening its browser")
        if status != 0 or "Error:" in said:
            raise TargetError(
                f"expected {self.serial} to open a page in its browser, got: {told.plain(said) or status}; "
                "unlock its screen, or leave --page out"
            )

    def _has(self, place: str, sha256: str) -> bool:
        status, said = self.shell(f"sha256sum {place} 2>/dev/null", "looking for files")
        return status == 0 and said.split()[:1] == [sha256]


def find(serial: str) -> Phone:
    """The phone of that serial number, or the only one there is if that is empty (`$ANDROID_SERIAL` counts).

    Raises:
        InputError: no serial number.
        TargetError: no adb, no phone, several of them, or one that does not let this machine in.
    """
    wanted = serial or os.environ.get("ANDROID_SERIAL", "")
    if wanted and not SERIAL.fullmatch(wanted):
        raise InputError(
            f"expected --target adb:SERIAL, a serial number as adb devices tells it, got {wanted}"
        )
    status, said, complaint = _adb(["devices"], _SECONDS)
    if status != 0 or _LIST not in said:
        raise TargetError(f"adb does not list devices: {complaint or told.plain(said)}; try: adb devices")
    rows = [line.split(None, 1) for line in said.partition(_LIST)[2].splitlines() if line.strip()]
    states = {row[0]: row[1].strip() for row in rows if len(row) == 2 and SERIAL.fullmatch(row[0])}
    if not states:
        raise TargetError(
            "expected a phone behind adb, got none; connect one and switch its USB debugging on"
        )
    if wanted and wanted not in states:
        raise TargetError(f"expected {wanted} behind adb, got {', '.join(states)}; try: adb devices")
    if not wanted and len(states) > 1:
        raise TargetError(
            f"expected one phone, got {', '.join(states)}; say which: --target adb:{next(iter(states))}"
        )
    found = wanted or next(iter(states))
    state = states[found]
    if state != "device":
        remedy = next(
            (text for name, text in _REMEDIES.items() if state.startswith(name)), "try: adb devices"
        )
        raise TargetError(f"expected {found} to be ready, got '{told.plain(state)}'; {remedy}")
    return Phone(serial=found)


def _adb(words: Sequence[str], seconds: float) -> tuple[int, str, str]:
    """Exit status, what it printed, and the last line of its complaints. Raises `TargetError`."""
    try:
        child = ChildProcess(["adb", *words], log=True)
    except OSError as failure:
        raise TargetError(
            f"cannot run adb: {failure.strerror}; install Android's platform-tools (on Debian: adb)"
        ) from failure
    with child:
        said, (_, pipe) = b"", child.ends()
        with child.limited(seconds):
            while len(said) <= _MOST and (chunk := os.read(pipe, 2**16)):
                said += chunk
        if child.late:
            raise TargetError(f"adb {words[-1][:40]!r} did not end within {seconds:.0f} s; try: adb devices")
        if len(said) > _MOST:
            raise TargetError(f"expected at most {_MOST} bytes of adb {words[-1][:40]!r}, got more")
        return (
            child.status(),
            said.decode("utf-8", "replace").replace("\r\n", "\n"),
            told.plain(child.last_line()),
        )


def program(words: Sequence[str]) -> str:
    """A script that runs a program, with its complaints in what it prints, and ends it when the line ends:
    the shell's input ends then, which adb leaves open. Nothing may be left that has it, or adb waits."""
    return (
        f"exec 3<&0; {shlex.join(words)} 2>&1 & p=$!; "
        "(while read -r _ <&3; do :; done; kill $p) >/dev/null 2>&1 & w=$!; "
        "wait $p; s=$?; kill $w 2>/dev/null; (exit $s)"
    )


def tool(abi: str, given: str | None) -> Path:
    """LiteRT's benchmark_model for a phone's processor: the one given, else where LiteRT's CLI keeps it.

    Raises:
        InputError: the one that was given is not there.
        TargetError: there is none.
    """
    if given is not None:
        if not Path(given).is_file():
            raise InputError(
                f"expected --benchmark-model to be LiteRT's benchmark_model, got {given}: no file"
            )
        return Path(given)
    kept = Path(os.path.expanduser("~")) / ".cache/litert-cli/binaries" / abi / "benchmark_model"  # noqa: PTH111
    if kept.is_file():
        return kept
    raise TargetError(
        f"expected LiteRT's benchmark_model for {abi}, got none at {kept}; let LiteRT's CLI fetch it "
        "(pip install litert-cli; litert benchmark FILE.tflite --android), or name it: --benchmark-model FILE"
    )
