"""How a device is called, and what is said when it cannot be reached."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edgewright.benchmarks import targets
from edgewright.benchmarks.targets.ssh import line
from edgewright.runtime.errors import InputError, TargetError

Put = Callable[[str, str], Path]
_ANSWERING = """\
#!/bin/sh
echo edgewright-agent; head -c 100 >/dev/null; echo '{{}}'; printf '%s\\n' '{answer}'; sleep 60
"""


@pytest.mark.parametrize(
    ("text", "given"),
    [
        ("ssh:pi@raspberrypi.local", "pi@raspberrypi.local"),
        ("ssh:board", "board"),
        ("ssh://pi@host:2222", "ssh://pi@host:2222"),
        ("ssh://[::1]:22", "ssh://[::1]:22"),
    ],
)
def test_device_is_called_as_ssh_calls_it(text: str, given: str) -> None:
    name, at = targets.parse(text)
    assert name == "ssh"
    assert line.destination(at[targets.AT]) == given


@pytest.mark.parametrize(
    "at",
    [
        "-oProxyCommand=touch x",
        "host:22",
        "a b",
        "//",
        "x@-oProxyCommand",
        "host;reboot",
        "$(reboot)",
        "a\nb",
    ],
)
def test_what_is_no_host_is_refused(at: str) -> None:
    with pytest.raises(InputError, match="expected --target ssh:USER@HOST") as refused:
        line.destination(at)
    assert str(refused.value)


@pytest.mark.parametrize("text", ["ssh", "ssh:"])
def test_ssh_needs_a_host(text: str) -> None:
    with pytest.raises(InputError) as refused:
        targets.parse(text)
    assert str(refused.value) == f"expected --target ssh:[USER@]HOST, got {text}"


def test_other_targets_take_nothing_behind_their_name() -> None:
    with pytest.raises(InputError, match="expected --target local, got local:here"):
        targets.parse("local:here")
    assert targets.parse("arm64") == ("arm64", {})


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (
            "echo 'pi@x: Permission denied (publickey,password).' >&2; exit 255",
            "ssh cannot reach pi@x: pi@x: Permission denied (publickey,password).; nobody is asked for a "
            "password here; set up a key: ssh-copy-id pi@x",
        ),
        (
            "echo 'Host key verification failed.' >&2; exit 255",
            "ssh cannot reach pi@x: Host key verification failed.; connect once by hand and compare its key: "
            "ssh pi@x",
        ),
        ("exit 255", "ssh cannot reach pi@x: it ended with status 255; try: ssh pi@x"),
        (
            "echo edgewright-agent none; echo Python 3.9.2",
            "expected Python 3.11 or newer on pi@x, got Python 3.9.2; install one there",
        ),
        (
            "echo edgewright-agent none; echo 'sh: 1: python3: not found'",
            "expected Python 3.11 or newer on pi@x, got sh: 1: python3: not found; install one there",
        ),
        ("yes | head -c 70000; sleep 60", "expected pi@x to start Python, got something else: "),
    ],
)
def test_device_that_cannot_be_used_is_named_in_a_line(programs: Put, script: str, said: str) -> None:
    programs("ssh", f"#!/bin/sh\n{script}\n")
    with pytest.raises(TargetError) as refused, line.opened("pi@x"):
        pass
    assert str(refused.value).startswith(said)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 600


def test_answer_that_makes_no_sense_ends_the_line(programs: Put) -> None:
    answer = '{"bytes": 99999999999}'
    programs("ssh", _ANSWERING.format(answer=answer))
    with line.opened("pi@x") as opened, pytest.raises(TargetError, match="got something else"):
        opened.ask("looking around", {"do": "look"}, seconds=20)


def test_error_of_the_device_is_one_line_fit_for_a_terminal(programs: Put) -> None:
    answer = '{"error": "no\\n\\u001b[31mroom"}'
    programs("ssh", _ANSWERING.format(answer=answer))
    with line.opened("pi@x") as opened, pytest.raises(TargetError) as refused:
        opened.ask("sending x", {"do": "put"}, b"x", seconds=20)
    assert str(refused.value) == "sending x on pi@x failed: no  [31mroom"
