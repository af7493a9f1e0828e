"""A child process answers in lines of JSON and bytes, within its time, and is gone when it is closed."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator

import pytest

from edgewright.runtime.machine import child
from edgewright.runtime.machine.child import ChildProcess

ECHO = """
from edgewright.runtime.machine.child import receive, send, standard_pipes
questions, answers = standard_pipes()
print("what is printed is no answer")
while (message := receive(questions)) is not None:
    told, raw = message
    if told.get("sleep"):
        import time
        time.sleep(told["sleep"])
    if told.get("exit"):
        raise SystemExit(told["exit"])
    send(answers, {"heard": told}, raw[::-1])
"""


def echo(code: str = ECHO, *, log: bool = False) -> ChildProcess:
    return ChildProcess([sys.executable, "-c", code], log=log)


@pytest.fixture
def running() -> Iterator[ChildProcess]:
    with echo(log=True) as process:
        yield process


@pytest.mark.parametrize("raw", [b"", b"abc\n\0", bytes(2**20)], ids=len)
def test_child_process_ask_gives_back_json_and_bytes(running: ChildProcess, raw: bytes) -> None:
    answer = running.ask({"text": "zwei\nZeilen", "numbers": [1, None, 0.5]}, raw)
    assert answer is not None
    told, found = answer
    assert told["heard"]["text"] == "zwei\nZeilen"
    assert told["heard"]["numbers"] == [1, None, 0.5]
    assert found == raw[::-1]


def test_child_process_hear_is_none_once_the_child_has_exited(running: ChildProcess) -> None:
    assert running.ask({"exit": 3}) is None
    assert running.status() == 3
    assert not running.late
    assert running.ask({"text": "is anyone there"}) is None


def test_child_process_over_its_seconds_is_killed_and_late(running: ChildProcess) -> None:
    start = time.monotonic()
    assert running.ask({"sleep": 60}, seconds=0.5) is None
    assert time.monotonic() - start < 20
    assert running.late
    assert running.status() == -9


def test_child_process_that_does_not_read_is_killed_in_time_too() -> None:
    with echo("import time; time.sleep(60)") as deaf:
        assert deaf.ask({}, bytes(2**22), seconds=0.5) is None
        assert deaf.late


def test_child_process_said_is_its_log_while_it_runs_and_loses_nothing_of_it() -> None:
    code = """
import os, sys
for word in sys.stdin:
    os.write(2, word.encode())
    print("{}", flush=True)
"""
    with ChildProcess([sys.executable, "-c", code], log=True) as child:
        for count in (1, 2, 3):
            assert child.ask({"n": count}, seconds=30) is not None
            assert child.said() == "".join(f'{{"n": {n}}}\n' for n in range(1, count + 1))
        assert child.said(3) == '{"n'


def test_child_process_last_line_is_what_it_wrote_last_to_standard_error() -> None:
    with echo("import sys; print('one', file=sys.stderr); raise ValueError('two')", log=True) as broken:
        assert broken.hear() is None
        assert broken.status() == 1
        assert broken.last_line() == "ValueError: two"


@pytest.mark.parametrize(
    "line", ["'no JSON'", "[]", """'"text"'""", """'{"bytes": -1}'""", """'{"bytes": 9}'""", "'9' * 2**21"]
)
def test_child_process_answer_that_is_no_message_is_none(line: str) -> None:
    with echo(f"print({line})") as odd:
        assert odd.hear(most=8) is None


def test_child_process_environment_is_added_to_this_processs_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEPT", "1")
    code = "import os, json; print(json.dumps({k: os.environ[k] for k in ('KEPT', 'ADDED')}))"
    with ChildProcess([sys.executable, "-c", code], environment={"ADDED": "2"}) as process:
        assert process.hear() == ({"KEPT": "1", "ADDED": "2"}, b"")


def test_child_process_close_ends_a_busy_child_and_leaves_no_descriptor_open() -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    process = echo("import time; time.sleep(60)", log=True)
    process.close()
    process.close()
    assert process.status() == -9
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_child_process_that_is_closed_is_asked_in_vain() -> None:
    process = echo()
    process.close()
    assert process.ask({}) is None


def test_child_process_is_closed_by_an_interrupt_while_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with echo() as process:
        monkeypatch.setattr(child, "receive", interrupted)
        with pytest.raises(KeyboardInterrupt):
            process.hear()
        assert process.status() == -9
