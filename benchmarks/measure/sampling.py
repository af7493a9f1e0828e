"""Timing calls: the clock and its resolution, warming up until steady, and what disturbs meanwhile.

A note says its cause, then a colon, then the figure, so that those of many processes can be put together.
"""

from __future__ import annotations

import itertools
import math
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgewright.benchmarks.record.stats import steady_from

Work = Callable[[Any], object]

WINDOW = 16  # blocks that have to be alike; with fewer than 12 the test can find nothing
TOLERANCE = 0.02  # of the level: what is less is no change
TICKS = 50  # a sample is at least that many of the clock's steps long, so that a step is 2 % of it at most
_BLOCK_SECONDS = 0.005


@dataclass(frozen=True, kw_only=True)
class WarmUp:
    """`samples_ns` of every call; `steady` is None where there were too few calls to tell."""

    samples_ns: list[int]
    steady: bool | None

    def note(self) -> str:
        """A warning, empty if it became steady."""
        if self.steady:
            return ""
        seconds = sum(self.samples_ns) / 1e9
        if self.steady is None:
            return f"too few runs to see whether warm-up is over: {len(self.samples_ns)} in {seconds:.1f} s"
        return f"runs did not become steady: their level still moved after {seconds:.1f} s"


def clock_step_ns() -> int:
    """The smallest step that the clock is seen to make, the cost of asking it included."""
    clock, steps = time.perf_counter_ns, []
    for _ in range(50):
        start = now = clock()
        while now == start:
            now = clock()
        steps.append(now - start)
    return min(steps)


def calls_per_sample(run_ns: float, step_ns: float) -> int:
    """How many runs have to be timed at once for the clock's step to be small beside them."""
    return max(1, -(-TICKS * round(step_ns) // max(1, round(run_ns))))


def time_each(work: Work, inputs: Iterator[Any]) -> list[int]:
    """Nanoseconds of each call of `work`; asking for the next input is outside the clock."""
    clock, taken = time.perf_counter_ns, []
    for given in inputs:
        start = clock()
        work(given)
        taken.append(clock() - start)
    return taken


def mean_ns(work: Work, given: Iterator[Any], calls: int) -> float:
    """Nanoseconds of one of so many calls, timed at once; asking for the inputs is outside the clock."""
    chosen, clock = [next(given) for _ in range(calls)], time.perf_counter_ns
    start = clock()
    for item in chosen:
        work(item)
    return (clock() - start) / calls


def until(items: Sequence[Any], least: int, seconds: float, most: float) -> Iterator[Any]:
    """The items in turn until there were `least` and `seconds` have passed, at most `most`."""
    end = time.perf_counter() + seconds
    for count, item in enumerate(itertools.cycle(items)):
        if count >= most or (count >= least and time.perf_counter() >= end):
            return
        yield item


def warm_up(work: Work, inputs: Sequence[Any], most_seconds: float) -> WarmUp:
    """Call `work` until its time is steady, for at most `most_seconds`.

    Steady are the last `WINDOW` or more blocks of 5 ms (or of one longer call): no change point among their
    medians (`stats.steady_from`).
    """
    samples: list[int] = []
    blocks: list[float] = []
    given, end = itertools.cycle(inputs), time.perf_counter() + most_seconds
    while not samples or time.perf_counter() < end:
        block = time_each(work, _for_seconds(given, _BLOCK_SECONDS))
        samples += block
        blocks.append(statistics.median(block))
        if len(blocks) >= WINDOW and steady_from(blocks, WINDOW, TOLERANCE) is not None:
            return WarmUp(samples_ns=samples, steady=True)
    return WarmUp(samples_ns=samples, steady=False if len(blocks) >= WINDOW else None)


def _for_seconds(given: Iterator[Any], seconds: float) -> Iterator[Any]:
    yield next(given)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        yield next(given)


@dataclass(frozen=True, kw_only=True)
class Runs:
    """Warm runs: samples of `calls` runs each, as the mean of one run; `queries` is how many ran in all."""

    samples_ns: list[int]
    calls: int
    queries: int


def warm_runs(
    work: Work, inputs: Sequence[Any], *, least: int, seconds: float, most: int, run_ns: float, step_ns: float
) -> Runs:
    """Time warm runs for `seconds`, at least `least` of them.

    A run too short for the clock is timed together with those that follow it. Of more than `most`
    samples only every second, third, … is timed and kept, evenly over the whole time; all run.

    Args:
        run_ns: about how long one takes.
        step_ns: the clock's step.
    """
    calls = calls_per_sample(run_ns, step_ns)
    expected = max(least, seconds * 1e9 / run_ns) / calls
    between = calls * (max(1, -(-round(expected) // most)) - 1)  # runs that are not timed
    samples: list[int] = []
    clock, given, queries = time.perf_counter_ns, itertools.cycle(inputs), 0
    end = clock() + round(seconds * 1e9)
    while queries < least or (clock() < end and len(samples) < 2 * most):
        samples.append(round(mean_ns(work, given, calls)))
        for _ in range(between):
            work(next(given))
        queries += calls + between
    return Runs(samples_ns=samples, calls=calls, queries=queries)


@dataclass(frozen=True, kw_only=True)
class Counters:
    """What the system has counted: seconds since some moment, the frequency in kHz; not a number where it
    does not count."""

    wall: float
    own: float
    waited: float = math.nan
    busy: float = math.nan
    stolen: float = math.nan
    frequency: float = math.nan

    @staticmethod
    def read() -> Counters:
        tick = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
        delay = _numbers("/proc/self/schedstat", 2)
        times = _numbers("/proc/stat", 8)  # user nice system idle iowait irq softirq steal
        return Counters(
            wall=time.perf_counter(),
            own=time.process_time(),
            waited=delay[1] / 1e9,
            busy=sum(times[i] for i in (0, 1, 2, 5, 6)) / tick,
            stolen=times[7] / tick,
            frequency=_numbers("/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", 1)[0],
        )

    def until(self, end: Counters) -> list[str]:
        """What else went on from now to `end`, as far as the system tells: notes that name the causes."""
        notes: list[str] = []
        wall, own = end.wall - self.wall, end.own - self.own
        if wall < 0.1:  # the counters move in steps of 0.01 s
            return notes
        cores, waited = os.cpu_count() or 1, end.waited - self.waited
        if (share := waited / max(waited + own, 1e-9)) > 0.02:
            notes.append(f"other processes held the core: {share:.1%} of the time it was wanted")
        if (others := (end.busy - self.busy - own) / wall) > 0.2 * cores:
            notes.append(f"other processes kept cores busy: {others:.1f} of {cores}")
        if (share := (end.stolen - self.stolen) / (wall * cores)) > 0.01:
            notes.append(f"the host gave the cores to other machines (steal): {share:.1%} of the time")
        before, after = self.frequency / 1000, end.frequency / 1000
        if before and after and abs(after / before - 1) > 0.05:
            notes.append(f"the CPU's frequency moved: from {before:.0f} to {after:.0f} MHz")
        return notes


def _numbers(path: str, least: int) -> list[float]:
    """The numbers of a file's first line, without the word in front; `least` that are none where there is
    no such file, or fewer in it."""
    try:
        words = Path(path).read_text().splitlines()[0].split()
        found = [float(word) for word in words if not word.startswith("cpu")]
    except (OSError, IndexError, ValueError):
        found = []
    return found if len(found) >= least else [math.nan] * least
