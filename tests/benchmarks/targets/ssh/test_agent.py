"""The agent, told things directly: what it keeps, what it runs, and that it ends with its line."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edgewright.benchmarks.targets.ssh import agent, packing
from edgewright.runtime.machine.child import ChildProcess

Ask = Callable[..., tuple[dict[str, Any], bytes]]


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path / ".cache/edgewright/ssh"


@pytest.fixture
def child(kept: Path) -> Iterator[ChildProcess]:
    with ChildProcess([sys.executable, str(agent.__file__)], log=True) as started:
        assert started.hear(seconds=20, most=0) == ({}, b"")
        yield started


@pytest.fixture
def ask(child: ChildProcess) -> Ask:
    def call(do: str, raw: bytes = b"", **told: Any) -> tuple[dict[str, Any], bytes]:
        answer = child.ask({"do": do, **told, "bytes": len(raw)}, raw, seconds=30, most=2**20)
        assert answer is not None, child.last_line()
        return answer

    return call


@pytest.fixture
def run(ask: Ask, kept: Path) -> Ask:
    """Run a Python program in an environment."""

    def call(code: str, seconds: float = 20.0, most: int = 2**20) -> tuple[dict[str, Any], bytes]:
        ask("have", sha256=[], venv="bare")
        if not (kept / "venvs/bare").exists():
            assert ask("make", archives=[], trial="import json")[0]["status"] == 0
        return ask("run", words=["-c", code], seconds=seconds, most=most)

    return call


def test_agent_says_what_the_device_is(ask: Ask) -> None:
    told, _ = ask("look")
    assert told["python"] == ".".join(map(str, sys.version_info[:3]))
    assert (told["system"], told["bits"], told["venv"]) == ("linux", 64, True)
    assert told["platform"].startswith("linux-")
    assert told["free"] > 0


def test_file_is_kept_under_its_hash_and_asked_for_once(ask: Ask, kept: Path) -> None:
    raw = os.urandom(3 * 2**20)
    sha256 = packing.sha256(raw)
    assert ask("have", sha256=[sha256], venv="x")[0]["lacking"] == [sha256]
    assert "error" not in ask("put", raw, sha256=sha256)[0]
    assert (kept / "files" / sha256).read_bytes() == raw
    assert ask("have", sha256=[sha256], venv="x")[0]["lacking"] == []


def test_file_of_other_bytes_than_its_hash_is_not_kept(ask: Ask, kept: Path) -> None:
    told, _ = ask("put", b"other bytes", sha256=packing.sha256(b"bytes"))
    assert told["error"] == "a file came with other bytes than it was sent with"
    assert list((kept / "files").iterdir()) == []
    assert "python" in ask("look")[0]  # it goes on, with what is the next question


def test_program_gets_files_by_name_and_gives_its_output(ask: Ask, run: Ask) -> None:
    ask("put", b"hello", sha256=packing.sha256(b"hello"))
    ask("lay", files={"bundle/greeting": packing.sha256(b"hello")})
    told, raw = run("import os; print(open('bundle/greeting').read() + os.environ['EDGEWRIGHT_CACHE'])")
    assert (told["status"], told["said"]) == (0, "")
    assert raw.startswith(b"hello") and raw.endswith(b"/cache\n")


def test_program_that_fails_says_its_last_line(run: Ask) -> None:
    told, raw = run("import sys; sys.exit('first\\nexpected more')")
    assert (told["status"], told["said"], raw) == (1, "expected more", b"")


def test_program_that_takes_too_long_is_ended(run: Ask) -> None:
    told, _ = run("import time; time.sleep(60)", seconds=0.3)
    assert (told["status"], told["said"]) == (-9, "it took too long")


def test_output_larger_than_was_asked_for_does_not_come_back(run: Ask) -> None:
    assert run("print('x' * 2000)", most=1000)[1] == b""


def test_environment_that_cannot_run_is_not_kept(ask: Ask, kept: Path) -> None:
    ask("have", sha256=[], venv="broken")
    told, _ = ask("make", archives=[], trial="import no_such_interpreter")
    assert told["status"] == 1
    assert told["said"] == "ModuleNotFoundError: No module named 'no_such_interpreter'"
    assert not (kept / "venvs/broken").exists()


@pytest.mark.parametrize("how", ["line", "agent"])
def test_program_ends_with_its_line_and_with_its_agent(
    child: ChildProcess, kept: Path, run: Ask, how: str, tmp_path: Path
) -> None:
    run("pass")
    code = f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    child.tell({"do": "run", "words": ["-c", code], "seconds": 60, "most": 0, "bytes": 0})
    _until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text() != "")
    pid = int((tmp_path / "pid").read_text())
    if how == "line":
        child._questions.close()
    else:
        os.kill(child.pid, 9)
    _until(lambda: not _is_alive(pid))
    if how == "line":  # and clears up after itself; after one that was killed the next does
        _until(lambda: not list(kept.glob("run-*")))
    else:
        assert len(list(kept.glob("run-*"))) == 1
        with ChildProcess([sys.executable, str(agent.__file__)]) as another:
            assert another.hear(seconds=20, most=0) is not None
            assert len(list(kept.glob("run-*"))) == 1
            another._questions.close()
            _until(lambda: not list(kept.glob("run-*")))


def test_agent_takes_away_what_was_of_no_use_for_a_month(kept: Path) -> None:
    (kept / "files").mkdir(parents=True)
    (kept / "venvs/old/bin").mkdir(parents=True)
    for entry in (kept / "files/old", kept / "files/new"):
        entry.write_bytes(b"x")
    for entry in (kept / "files/old", kept / "venvs/old"):
        os.utime(entry, (time.time() - 40 * 86400,) * 2)
    with ChildProcess([sys.executable, str(agent.__file__)]) as started:
        assert started.hear(seconds=20, most=0) is not None
    assert [entry.name for entry in (kept / "files").iterdir()] == ["new"]
    assert list((kept / "venvs").iterdir()) == []


def test_heat_and_clock_are_read_where_linux_tells_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zone = tmp_path / "thermal_zone0"
    zone.mkdir()
    (zone / "temp").write_text("61234\n")
    (tmp_path / "scaling_cur_freq").write_text("1800000\n")
    monkeypatch.setattr(agent, "_throttled", iter([0, 0x50005]).__next__)
    seen = agent.Watch()
    seen._zones, seen._clocks = [zone, tmp_path / "none"], [tmp_path / "scaling_cur_freq"]
    assert seen.told() == {"celsius": [61.234], "mhz": [1800.0], "throttled": [0, 0x50005]}


def _until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
