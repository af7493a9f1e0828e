"""One connection of the system's OpenSSH to a device, and the agent at its end.

Whatever ~/.ssh/config says of the host holds: keys, jump hosts, ports. Nobody is asked for a password. One
connection carries everything, so there is nothing to multiplex.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from edgewright.runtime.disk.jsonio import JsonObject
from edgewright.runtime.errors import InputError, TargetError
from edgewright.runtime.machine.child import ChildProcess

OLDEST = (3, 11)  # Python there, as here
_WORDS = (
    *("ssh", "-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=20"),
    *("-o", "ServerAliveInterval=10", "-o", "ServerAliveCountMax=3"),  # a line that is gone is known in 30 s
    # of the user's own configuration: what would get between
    *("-o", "RemoteCommand=none", "-o", "ClearAllForwardings=yes", "-o", "ForwardAgent=no"),
    *("-o", "ControlMaster=no", "-o", "ControlPath=none"),
)
_AGENT = Path(__file__).with_name("agent.py")
_MARK = "edgewright-agent"
_BOOT = (
    f'import json, sys; r = sys.stdin.buffer; print("{_MARK}", flush=True); '
    'exec(compile(r.read(json.loads(r.readline())["bytes"]), "agent", "exec"))'
)
_NEW_ENOUGH = f"import sys; sys.exit(sys.version_info < {OLDEST})"
# For sh, in single quotes, as whatever shell the user has there reads it first.
_START = (
    "for p in python3 python3.14 python3.13 python3.12 python3.11; do "
    f'"$p" -c "{_NEW_ENOUGH}" 2>/dev/null && exec "$p" -c "{_BOOT.replace(chr(34), chr(92) + chr(34))}"; '
    f"done; echo {_MARK} none; python3 --version 2>&1"
)
_DESTINATION = re.compile(r"(//)?([\w.~+-]+@)?([\w.-]+|\[[0-9a-fA-F:.%\w]+\])(:\d{1,5})?/?")
_START_SECONDS = 90.0
_MOST_NOISE = 2**16  # bytes that a login there may print before the agent speaks
_MOST_TEXT = 300


class Line:
    """The agent on the device at the other end, for as long as the block runs.

    `at` is how the user has called the device. Everything it says is hostile until it was checked.
    """

    def __init__(self, at: str, child: ChildProcess) -> None:
        self.at, self._child = at, child

    def ask(
        self, doing: str, told: Mapping[str, Any], raw: bytes = b"", *, seconds: float = 3600.0, most: int = 0
    ) -> tuple[JsonObject, bytes]:
        """Tell the agent something and wait for its answer.

        Args:
            doing: what, for messages, such as "measuring tflite-int8".
            seconds: after which the line is given up.
            most: bytes that may come back.

        Raises:
            TargetError: the line broke, the agent failed, or what it says makes no sense.
        """
        return self._asked(doing, {**told, "bytes": len(raw)}, raw, seconds, most)

    def start(self, agent: bytes) -> None:
        """Send the agent, and wait until it is ready. Raises `TargetError`."""
        self._asked("starting its agent", {}, agent, _START_SECONDS, 0)

    def _asked(
        self, doing: str, told: Mapping[str, Any], raw: bytes, seconds: float, most: int
    ) -> tuple[JsonObject, bytes]:
        answer = self._child.ask(told, raw, seconds=seconds, most=most)
        if answer is None:
            raise self._ended(doing)
        obj = JsonObject(answer[0], f"what {self.at} answered", TargetError)
        if obj.has("error"):
            raise TargetError(f"{doing} on {self.at} failed: {plain(obj.text('error'))}")
        return obj, answer[1]

    def _ended(self, doing: str) -> TargetError:
        if self._child.late:
            why = "no answer came"
        elif self._child.is_running():
            return TargetError(
                f"expected an answer of the agent on {self.at} while {doing}, got something else"
            )
        else:
            why = plain(self._child.last_line()) or f"ssh ended with status {self._child.status()}"
        return TargetError(
            f"the line to {self.at} broke while {doing}: {why}; no half result is kept. Run it again: what "
            "has arrived is not sent again"
        )


@contextlib.contextmanager
def opened(at: str) -> Iterator[Line]:
    """Connect, and start the agent; both end with the block.

    Raises:
        InputError: not the name of a host.
        TargetError: no connection, or no Python there that is new enough; the message has what ssh said.
    """
    words = [*_WORDS, "--", destination(at), f"exec sh -c {shlex.quote(_START)}"]
    try:
        child = ChildProcess(words, log=True)
    except OSError as failure:
        raise TargetError(f"cannot run ssh: {failure.strerror}; install OpenSSH's client") from failure
    with child:
        _wait_for_agent(at, child)
        line = Line(at, child)
        line.start(_AGENT.read_bytes())
        yield line


def destination(at: str) -> str:
    """What ssh is given for `pi@host`, or `//pi@host:22`, which came behind `ssh:`. Raises `InputError`."""
    match = _DESTINATION.fullmatch(at)
    if match is None or (match[4] and not match[1]) or at.startswith("-") or match[3].startswith("-"):
        raise InputError(
            "expected --target ssh:USER@HOST, a host of your ssh configuration, or ssh://USER@HOST:PORT, got "
            f"ssh:{at}"
        )
    return f"ssh:{at}" if match[1] else at


def plain(text: str, most: int = _MOST_TEXT) -> str:
    """One line of it, fit for a terminal."""
    return "".join(c if c.isprintable() else " " for c in " ".join(text.split()))[:most]


def _wait_for_agent(at: str, child: ChildProcess) -> None:
    """Read until the agent is there; what a login prints comes before it. Raises `TargetError`."""
    lines = [b""]
    _, answers = child.ends()
    with child.limited(_START_SECONDS):
        for _ in range(_MOST_NOISE):  # byte by byte: what follows is not for here
            one = os.read(answers, 1)
            if not one:
                break
            if one != b"\n":
                lines[-1] += one
                continue
            if lines[-1].endswith(_MARK.encode()):
                return
            lines.append(b"")
    if child.late:
        raise TargetError(
            f"expected {at} to answer within {_START_SECONDS:.0f} s, got nothing; try: ssh {at}"
        )
    said = [line.decode("utf-8", "replace") for line in lines if line]
    place = next((i for i, line in enumerate(said) if line.endswith(f"{_MARK} none")), None)
    if place is not None:
        got = plain(" ".join(said[place + 1 :])) or "none"
        raise TargetError(
            f"expected Python {OLDEST[0]}.{OLDEST[1]} or newer on {at}, got {got}; install one there"
        )
    if child.is_running():
        raise TargetError(
            f"expected {at} to start Python, got something else: {plain(' '.join(said)) or 'noise'}"
        )
    why = plain(child.last_line()) or plain(" ".join(said)) or f"it ended with status {child.status()}"
    raise TargetError(f"ssh cannot reach {at}: {why}; {_remedy(why, at)}")


def _remedy(why: str, at: str) -> str:
    if "Host key verification failed" in why:
        return f"connect once by hand and compare its key: ssh {at}"
    if "Permission denied" in why:
        return f"nobody is asked for a password here; set up a key: ssh-copy-id {at}"
    return f"try: ssh {at}"
