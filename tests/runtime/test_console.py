"""Tables fit, say what they leave out, and nothing is silent for long where there is no bar."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from edgewright.runtime import console

Fresh = Callable[..., "subprocess.CompletedProcess[str]"]
NAMES = ("variant", "bytes", "gzip bytes", "accuracy", "drop, 95 % interval", "verdict")
ROWS = [("prune80+tflite-dynamic-int8", "12,345", "1,234", "0.9876", "-0.0012 to +0.0034", "passed")] * 2
TABLE = f"""
from edgewright.runtime import console
console.table("A title of some length, so that it has to be broken in a narrow terminal", {NAMES}, {ROWS},
              drop=("gzip bytes", "drop, 95 % interval"), also="--json")
"""


def test_table_without_rich_is_aligned_and_has_no_trailing_blanks(fresh: Fresh) -> None:
    code = """
from edgewright.runtime import console
console.table("Title", ("name", "n", "last"), [("a", "1", "x"), ("long", "1000", "")])
"""
    done = fresh(code=code, blocked=["rich"])
    assert done.stdout.splitlines() == ["Title", "name     n  last", "a        1  x", "long  1000"]


@pytest.mark.parametrize("blocked", [[], ["rich"]])
@pytest.mark.parametrize("columns", [30, 60, 88])
def test_table_is_no_wider_than_the_columns_and_says_what_is_missing(
    fresh: Fresh, columns: int, blocked: list[str]
) -> None:
    lines = fresh(code=TABLE, blocked=blocked, COLUMNS=str(columns)).stdout.splitlines()
    assert max(map(len, lines)) <= columns
    said = " ".join(" ".join(lines).split())
    assert "left out for want of room: gzip bytes" in said
    assert "a wider terminal or --json shows all" in said
    rows = [line for line in lines if line.split()[:1] and line.strip().startswith("prune80+")]
    assert len(rows) == 2  # a line a row
    assert ("drop, 95 % interval" in said.partition("room:")[2]) == (columns < 88)
    assert ("cells were cut" in said) == (columns == 30)
    if columns > 30:
        assert rows[0].split()[-1] == "passed"


@pytest.mark.parametrize("blocked", [[], ["rich"]])
def test_table_in_a_pipe_without_columns_is_whole(fresh: Fresh, blocked: list[str]) -> None:
    code = TABLE.replace("0.9876", "0.9876 " + "x" * 300)
    done = fresh(code=code, blocked=blocked, COLUMNS="")
    assert "left out" not in done.stdout
    for name in NAMES:
        assert name in done.stdout
    assert "x" * 300 in done.stdout


def on_a_terminal(code: str, columns: int) -> str:
    """What the code prints on a terminal so wide."""
    main, other = pty.openpty()
    os.set_inheritable(other, True)
    environment = {k: v for k, v in os.environ.items() if k != "COLUMNS"}
    size = f"fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack('4H', 24, {columns}, 0, 0))"
    code = f"import fcntl, struct, termios\n{size}\n{code}"
    child = subprocess.Popen([sys.executable, "-c", code], stdout=other, stderr=other, env=environment)
    os.close(other)
    raw = b""
    try:
        while found := os.read(main, 2**16):
            raw += found
    except OSError:  # the terminal's other end is closed
        pass
    os.close(main)
    assert child.wait() == 0, raw
    return raw.decode().replace("\r\n", "\n")


def test_table_fits_a_terminal_of_80_columns() -> None:
    said = re.sub("\x1b\\[[0-9;]*m", "", on_a_terminal(TABLE, 80))
    assert max(map(len, said.splitlines())) <= 80
    assert "left out for want of room: gzip bytes" in said
    assert "left out" not in on_a_terminal(TABLE, 120)


def test_table_of_wide_letters_is_aligned_and_cut_by_what_they_take(fresh: Fresh) -> None:
    code = """
from edgewright.runtime import console
console.table("T", ("label", "n"), [("\\u732b" * 30, "1"), ("cat", "2")])
"""
    lines = fresh(code=code, blocked=["rich"], COLUMNS="40", PYTHONIOENCODING="utf-8").stdout.splitlines()
    wide = lines[2]
    assert wide.endswith("1")
    assert len(wide) + wide.count("\u732b") <= 40
    assert len(wide) + wide.count("\u732b") == len(lines[3])


def test_spread_prints_every_column_in_as_many_tables_as_it_takes(fresh: Fresh) -> None:
    code = """
from edgewright.runtime import console
names = [f"prune80+tflite-scheme-{i}" for i in range(6)]
console.spread("Counted", ("count", *names), [("instructions", *"123456"), ("cycles", *"abcdef")])
"""
    done = fresh(code=code, COLUMNS="80").stdout
    assert max(map(len, done.splitlines())) <= 80
    assert "Counted, 1 of 3" in done
    assert done.count("instructions") == 3
    for i in range(6):
        assert f"scheme-{i}" in done
    assert "1 of" not in fresh(code=code, COLUMNS="").stdout


def test_progress_of_short_work_is_silent_where_there_is_no_terminal(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with console.progress("working", total=3) as bar:
        bar.advance(1, note="one")
        bar.advance()
    assert capfd.readouterr() == ("", "")


def test_progress_of_long_work_says_how_far_it_is_at_most_so_often(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "EVERY", 0.2)
    with console.Bars() as bars:
        for i in range(50):
            bars("measuring", i, 50, "tflite-int8")
            time.sleep(0.02)
    out, err = capfd.readouterr()
    lines = err.splitlines()
    assert out == ""
    assert 2 <= len(lines) <= 6  # of fifty steps in a second
    assert lines[-1].startswith("measuring: ")
    assert " of 50 (tflite-int8), " in lines[-1]


def test_progress_speaks_in_one_long_step_and_across_stages(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "EVERY", 0.2)
    with console.progress("export", total=0):
        for i in range(6):  # each stage shorter than that
            with console.progress(f"stage {i}", total=1):
                time.sleep(0.1)
        with console.progress("converting", total=1):
            time.sleep(0.5)
        time.sleep(0.3)
    lines = capfd.readouterr().err.splitlines()
    assert any(line.startswith("stage ") for line in lines)
    assert any(line.startswith("converting: 0 of 1, ") for line in lines)
    assert lines[-1].startswith("export: ")
    time.sleep(0.3)
    assert capfd.readouterr().err == ""  # nothing speaks once it is done


def test_progress_waits_after_every_line_of_the_command(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "EVERY", 0.4)
    with console.progress("training", total=0):
        for i in range(8):
            console.say(f"epoch {i}")
            time.sleep(0.1)
    assert capfd.readouterr().err == ""


def test_progress_on_a_terminal_is_a_bar() -> None:
    code = """
import time
from edgewright.runtime import console
console.EVERY = 0.1
with console.Bars() as bars:
    for i in range(10):
        bars("measuring", i, 10, "")
        time.sleep(0.05)
"""
    said = on_a_terminal(code, 100)
    assert "\x1b[" in said
    assert "measuring: " not in said
