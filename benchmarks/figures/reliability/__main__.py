"""Attacks on everything that is read, counted: what crashed, hung, took memory, or was read wrongly.

    python -m edgewright.benchmarks.figures.reliability --out benchmarks/figures/results

Each attack runs in a child with limits of memory and time; what ends the child is counted against the input
that it was reading, and the next child goes on behind it. A crash is any end of the child, and any
exception that is no error of ours; a hang an input that takes ten seconds of processor time; `most_bytes`
what one input added to the child's memory at its peak; accepted wrongly what a reference reads otherwise.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from edgewright.benchmarks.figures import script
from edgewright.benchmarks.figures.reliability.attacks import ATTACKS, Attack
from edgewright.benchmarks.figures.reliability.rows import Row, put
from edgewright.runtime import console
from edgewright.runtime.errors import EdgewrightError, InputError

HANG_SECONDS = 10  # of processor time for one input
_SILENT_SECONDS = 120  # after which the child is stopped from outside
_MOST_BYTES = 2**31  # of address space more than the child has when it starts


class Hang(BaseException):
    """An input took too long."""


def attack(one: Attack, inputs: int) -> Row:
    """Try so many inputs, in as many children as it takes. Raises `EdgewrightError`: no child can start."""
    found: Counter[str] = Counter()
    start, most, slowest = time.monotonic(), 0, 0.0
    done = 0
    while done < inputs:
        for fate, size, seconds, said in _child(one, done, inputs):
            found[fate] += 1
            most, slowest = max(most, size), max(slowest, seconds)
            if said:
                console.say(f"{one.name}, input {done}: {said}")
            done += 1
    return {
        "attack": one.name,
        "inputs": inputs,
        "accepted": found["accepted"],
        "refused": found["refused"],
        "crashes": found["crashes"],
        "hangs": found["hangs"],
        "most_bytes": most,
        "accepted_wrong": found["wrong"],
        "slowest_seconds": round(slowest, 3),
        "seconds": round(time.monotonic() - start, 1),
    }


def _child(one: Attack, start: int, stop: int) -> Iterator[tuple[str, int, float, str]]:
    """What became of each input, how many bytes and seconds it took, and words; of the one that ended the
    child too."""
    words = [sys.executable, "-P", "-m", __package__, "--child", one.name, str(start), str(stop)]
    child = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, encoding="utf-8"
    )  # libtiff tells much
    assert child.stdout is not None
    before = signal.signal(signal.SIGALRM, lambda *_: child.kill())
    try:
        signal.alarm(_SILENT_SECONDS)
        if not child.stdout.readline():
            raise EdgewrightError(f"{shlex.join(words)} cannot start; run it to see why")
        for line in child.stdout:
            signal.alarm(_SILENT_SECONDS)
            start += 1
            yield tuple(json.loads(line))
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
        child.stdout.close()
        status = child.wait()
    if start < stop:
        yield "hangs" if status == -signal.SIGKILL else "crashes", 0, 0.0, f"the child ended with {status}"


def serve(one: Attack, start: int, stop: int) -> None:
    """In the child: try the inputs from `start` to `stop`, and say on a line each what came of it."""
    import resource

    with contextlib.suppress(EdgewrightError):
        one.target.read(one.target.seeds()[0], True)  # so that imports are no input's memory
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + _MOST_BYTES, size + _MOST_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGPROF, _hang)
    print("ready", flush=True)  # noqa: T201
    for number in range(start, stop):
        raw, wrong = one.input(number), ""
        before, begun = _resident(), time.process_time()
        signal.setitimer(signal.ITIMER_PROF, HANG_SECONDS)
        try:
            wrong = one.target.read(raw, True)
            fate = "wrong" if wrong else "accepted"
        except EdgewrightError:
            fate = "refused"
        except Hang:
            fate = "hangs"
        except BaseException as failure:
            fate, wrong = "crashes", repr(failure)[:200]
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        seconds = time.process_time() - begun
        print(json.dumps((fate, _peak() - before, seconds, wrong)), flush=True)  # noqa: T201


def _hang(number: int, frame: FrameType | None) -> None:
    raise Hang


def _resident() -> int:
    """Memory in RAM now; the peak is counted from here."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS:")


def _peak() -> int:
    return _status("VmHWM:")


def _status(key: str) -> int:
    return int(Path("/proc/self/status").read_text().split(key)[1].split()[0]) * 1024


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--attacks", default=",".join(ATTACKS), help="others keep the rows they have")
    parser.add_argument("--share", type=float, default=1.0, help="of the inputs of each attack")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args(words)
    if arguments.child:
        name, start, stop = arguments.child
        serve(ATTACKS[name], int(start), int(stop))
        return 0
    if not Path("/proc/self/clear_refs").exists():
        raise InputError("expected Linux, whose /proc says what memory an input takes")
    names = arguments.attacks.split(",")
    if unknown := [name for name in names if name not in ATTACKS]:
        raise InputError(f"expected attacks of {', '.join(ATTACKS)}, got {unknown[0]}")
    os.nice(5)
    rows = []
    for name in names:
        row = attack(ATTACKS[name], max(1, round(ATTACKS[name].inputs * arguments.share)))
        console.say(", ".join(f"{key} {value}" for key, value in row.items()))
        rows.append(row)
    if arguments.out:
        put(arguments.out, rows)
    bad = sum(row["crashes"] + row["hangs"] + row["accepted_wrong"] for row in rows)
    return 1 if bad else 0


if __name__ == "__main__":
    script.run(main)
