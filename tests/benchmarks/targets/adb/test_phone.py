"""Which phone is meant, and what is said where adb gives none; adb is a script here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edgewright.benchmarks.targets.adb import phone as phones
from edgewright.runtime.errors import InputError, TargetError

Put = Callable[[str, str], Path]


def listing(*rows: str) -> str:
    lines = "".join(f"echo '{row}'\n" for row in ("List of devices attached", *rows, ""))
    return f"#!/bin/sh\n{lines}"


@pytest.fixture(autouse=True)
def _no_serial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANDROID_SERIAL", raising=False)


def test_only_phone_there_is_is_meant_or_the_one_that_is_named(
    programs: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs("adb", listing("X1\tdevice"))
    assert phones.find("").serial == "X1"
    programs("adb", listing("X1\tdevice", "192.168.1.5:5555\tdevice", "Y2\toffline"))
    assert phones.find("192.168.1.5:5555").serial == "192.168.1.5:5555"
    monkeypatch.setenv("ANDROID_SERIAL", "X1")
    assert phones.find("").serial == "X1"


@pytest.mark.parametrize(
    ("rows", "serial", "said"),
    [
        ((), "", "expected a phone behind adb, got none; connect one and switch its USB debugging on"),
        (("X1\tdevice",), "Y2", "expected Y2 behind adb, got X1; try: adb devices"),
        (
            ("X1\tdevice", "Y2\tdevice"),
            "",
            "expected one phone, got X1, Y2; say which: --target adb:X1",
        ),
        (
            ("X1\tunauthorized",),
            "",
            "expected X1 to be ready, got 'unauthorized'; "
            "confirm on its screen that this computer may debug it",
        ),
        (
            ("X1\toffline",),
            "X1",
            "expected X1 to be ready, got 'offline'; "
            "take its cable out and in again, or run: adb reconnect offline",
        ),
        (
            ("X1\tno permissions (missing udev rules?); see [developer.android.com]",),
            "",
            "expected X1 to be ready, got 'no permissions (missing udev rules?); "
            "see [developer.android.com]'; "
            "let udev give you the USB device: see developer.android.com/tools/device",
        ),
        (("X1\t\x1b[31mstrange",), "", "expected X1 to be ready, got ' [31mstrange'; try: adb devices"),
    ],
)
def test_phone_that_cannot_be_used_is_named_in_a_line(
    programs: Put, rows: tuple[str, ...], serial: str, said: str
) -> None:
    programs("adb", listing(*rows))
    with pytest.raises(TargetError) as refused:
        phones.find(serial)
    assert str(refused.value) == said


def test_adb_that_is_missing_or_fails_is_a_line(
    programs: Put, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs("adb", "#!/bin/sh\necho 'adb: failed to check server version' >&2; exit 1\n")
    with pytest.raises(TargetError, match="adb does not list devices: adb: failed to check server version"):
        phones.find("")
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    with pytest.raises(TargetError, match=r"cannot run adb: No such file .*install Android's platform-tools"):
        phones.find("")


@pytest.mark.parametrize("serial", ["-x", "a b", "a;b", "x" * 200])
def test_what_is_no_serial_number_is_refused(programs: Put, serial: str) -> None:
    programs("adb", listing("X1\tdevice"))
    with pytest.raises((InputError, TargetError)) as refused:
        phones.find(serial)
    assert "expected" in str(refused.value)


def test_line_that_breaks_is_seen_though_adb_ends_well(programs: Put) -> None:
    programs("adb", "#!/bin/sh\necho half of it\n")
    with pytest.raises(TargetError, match=r"the line to X1 broke while measuring x: .*Run it again"):
        phones.Phone(serial="X1").shell("echo all of it", "measuring x")


def test_phone_that_floods_is_cut_off(programs: Put) -> None:
    programs("adb", "#!/bin/sh\nexec yes\n")
    with pytest.raises(TargetError, match="expected at most 1048576 bytes"):
        phones.Phone(serial="X1").shell("echo", "measuring x")


def test_phone_that_says_nothing_is_given_up(programs: Put) -> None:
    programs("adb", "#!/bin/sh\nexec sleep 60\n")
    with pytest.raises(TargetError, match=r"did not end within 1 s"):
        phones.Phone(serial="X1").shell("echo", "measuring x", seconds=-9)


def test_tool_is_the_one_given_or_that_of_litert_cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(TargetError, match=r"expected LiteRT's benchmark_model for arm64-v8a, got none"):
        phones.tool("arm64-v8a", None)
    with pytest.raises(InputError, match="expected --benchmark-model to be LiteRT's benchmark_model, got"):
        phones.tool("arm64-v8a", str(tmp_path / "none"))
    kept = tmp_path / ".cache/litert-cli/binaries/arm64-v8a/benchmark_model"
    kept.parent.mkdir(parents=True)
    kept.touch()
    assert phones.tool("arm64-v8a", None) == kept
    assert phones.tool("x86_64", str(kept)) == kept
