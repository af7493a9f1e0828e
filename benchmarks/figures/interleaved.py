"""How many times one thing takes of another, when both are timed in turn on a machine that is not quiet.

What disturbs one disturbs the other a moment later, so the ratio of two neighbours holds where neither
time does. A ratio is the centre of such pairs, with the 95 % interval of Wilcoxon's signed-rank test
(`stats.paired_ratio`). Calls within a process are timed by the processor time of all its threads, which
others do not add to; processes by the clock on the wall.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence

from edgewright.benchmarks.figures import script
from edgewright.benchmarks.record.stats import Estimate, paired_ratio

Work = Callable[[], object]
BLOCK_SECONDS = 0.005  # long against the clock and the change from one to the other


def ratios(ours: Work, bare: Work, seconds: float, least: int = 5) -> list[float]:
    """Processor time of `ours` over that of `bare`, a pair of blocks each, for `seconds` or `least` pairs."""
    for work in (ours, bare):
        _block(work, 3)
    calls = max(1, round(BLOCK_SECONDS / max(_block(bare, 1), 1e-9)))
    found: list[float] = []
    end = time.perf_counter() + seconds
    while len(found) < least or time.perf_counter() < end:
        pair = (ours, bare) if len(found) % 2 else (bare, ours)
        first, second = (_block(work, calls) for work in pair)
        found.append(first / second if len(found) % 2 else second / first)
    return found


def over_openings(make: Callable[[], tuple[Work, Work]], seconds: float, openings: int = 8) -> Estimate:
    """The ratio over `openings`, for each of which `make` opens both anew; one counts as its median pair.

    Where an interpreter happens to lie in memory makes it faster or slower by some percent for as long
    as it lives, so pairs of one opening say nothing of the next. Six are the fewest for 95 %.
    """
    return paired_ratio(
        [statistics.median(ratios(*make(), seconds=seconds / openings)) for _ in range(openings)]
    )


def _block(work: Work, calls: int) -> float:
    start = time.process_time()
    for _ in range(calls):
        work()
    return time.process_time() - start


def processes(
    ours: Sequence[str], bare: Sequence[str], pairs: int, environment: Mapping[str, str]
) -> tuple[Estimate, Estimate]:
    """The ratios of the wall time and of the peak memory of two commands, each of `pairs` started in turn.

    They are started by a process of its own that holds nothing: on Linux a process counts as its own
    peak what the one that started it held.

    Raises:
        EdgewrightError: one of the commands fails.
    """
    job = json.dumps({"commands": [ours, bare], "pairs": pairs})
    pairs_taken = json.loads(script.python(["-S", "-c", _STARTER, job], "a timed command", environment))
    wall, peak = ([o[i] / b[i] for o, b in pairs_taken] for i in (0, 1))
    return paired_ratio(wall), paired_ratio(peak)


_STARTER = """
import json, os, subprocess, sys, time
job = json.loads(sys.argv[1])
def run(command):
    start = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        sys.exit(f"{command} ended with status {child.returncode}")
    return time.perf_counter() - start, used.ru_maxrss
for command in job["commands"]:
    run(command)  # the first time it is compiled, and read from the disk
found = []
for i in range(job["pairs"]):
    a, b = (run(c) for c in job["commands"][:: 1 if i % 2 else -1])
    found.append((a, b) if i % 2 else (b, a))
print(json.dumps(found))
"""
