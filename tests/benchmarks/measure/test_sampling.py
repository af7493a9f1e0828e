"""Calls are timed alone, warm-up ends when runs are steady, and what disturbs is called by its name."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable

import pytest

from edgewright.benchmarks.measure import sampling
from edgewright.benchmarks.record.notes import gather


class Clock:
    """A clock that only moves when work is done, so that no test depends on the machine."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, cost_ns: int = 0) -> None:
        self.now, self.cost = 0, cost_ns
        monkeypatch.setattr(time, "perf_counter_ns", self.read)
        monkeypatch.setattr(time, "perf_counter", lambda: self.now / 1e9)

    def read(self) -> int:
        self.now += self.cost
        return self.now

    def work(self, nanoseconds: Callable[[int], int]) -> Callable[[object], None]:
        calls = itertools.count()

        def run(_: object) -> None:
            self.now += nanoseconds(next(calls))

        return run


def test_time_each_runs_the_clock_during_the_call_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)

    def slow_inputs() -> itertools.chain[int]:
        clock.now += 10**9
        return itertools.chain([1])

    inputs = itertools.chain.from_iterable(slow_inputs() for _ in range(2))
    assert sampling.time_each(clock.work(lambda _: 7000), inputs) == [7000, 7000]


@pytest.mark.parametrize(
    ("least", "seconds", "most", "expected"),
    [(5, 0, 100, 5), (0, 0, 100, 0), (5, 60, 8, 8), (7, 0, 3, 3)],
)
def test_sampling_until_gives_inputs_in_turn_until_there_were_enough(
    least: int, seconds: float, most: int, expected: int
) -> None:
    found = list(sampling.until(["a", "b", "c"], least, seconds, most))
    assert found == list(itertools.islice(itertools.cycle("abc"), expected))


def test_warm_up_goes_on_until_runs_are_steady(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of 1 ms that were 3 ms for the first ten: a whole window has to have left those behind."""
    clock = Clock(monkeypatch)
    found = sampling.warm_up(clock.work(lambda call: 3_000_000 if call < 10 else 1_000_000), [0], 60)
    assert found.steady
    assert found.note() == ""
    assert found.samples_ns[:10] == [3_000_000] * 10
    assert set(found.samples_ns[10:]) == {1_000_000}
    assert len(found.samples_ns) >= 10 + 5 * sampling.WINDOW
    at_once = sampling.warm_up(clock.work(lambda _: 1_000_000), [0], 60)
    assert set(at_once.samples_ns) == {1_000_000}
    assert 5 * sampling.WINDOW <= len(at_once.samples_ns) <= 7 * sampling.WINDOW  # five to seven a block


def test_warm_up_that_ends_by_the_clock_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    slower = sampling.warm_up(clock.work(lambda call: 1_000_000 + 20_000 * call), [0], 1)
    assert slower.steady is False
    assert slower.note() == "runs did not become steady: their level still moved after 1.0 s"
    few = sampling.warm_up(clock.work(lambda _: 300_000_000), [0], 1)
    assert (few.steady, len(few.samples_ns)) == (None, 4)
    assert few.note().startswith("too few runs to see whether warm-up is over: 4 in 1.2 s")


def test_clock_step_is_the_smallest_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    steps = itertools.cycle([0, 0, 100, 0, 300])
    monkeypatch.setattr(time, "perf_counter_ns", lambda: clock.work(lambda _: next(steps))(0) or clock.now)
    assert sampling.clock_step_ns() == 100
    monkeypatch.undo()
    assert 0 < sampling.clock_step_ns() < 10**6


@pytest.mark.parametrize(
    ("run", "step", "calls"), [(10**6, 50, 1), (2500, 50, 1), (2499, 50, 2), (10, 100, 500)]
)
def test_calls_per_sample_time_short_runs_together_so_that_the_clock_step_is_two_percent(
    run: int, step: int, calls: int
) -> None:
    assert sampling.calls_per_sample(run, step) == calls
    assert step <= 0.02 * run * calls


def test_warm_runs_shorter_than_the_clock_are_the_mean_of_their_block(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock(monkeypatch)
    runs = sampling.warm_runs(
        clock.work(lambda call: 100 if call % 2 else 300),
        "ab",
        least=1000,
        seconds=0,
        most=10**6,
        run_ns=200,
        step_ns=50,
    )
    assert (runs.calls, runs.queries) == (13, 1001)
    assert len(runs.samples_ns) == 77
    assert set(runs.samples_ns) == {round((7 * 300 + 6 * 100) / 13), round((6 * 300 + 7 * 100) / 13)}


def test_warm_runs_more_than_are_kept_are_sampled_evenly_over_the_whole_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock(monkeypatch)
    slow_at_the_end = clock.work(lambda call: 100_000 if call < 9000 else 400_000)
    runs = sampling.warm_runs(slow_at_the_end, "a", least=1, seconds=1, most=500, run_ns=100_000, step_ns=1)
    assert runs.calls == 1
    assert 450 <= len(runs.samples_ns) <= 1000
    assert runs.queries == 20 * len(runs.samples_ns)
    assert 0.95e9 < clock.now < 1.05e9
    assert runs.samples_ns[-1] == 400_000
    assert 10 < runs.samples_ns.count(400_000) < 20  # a tenth of the time, a thirtieth of the runs


def test_notes_gather_of_many_processes_is_a_line_a_cause_with_the_worst_figure() -> None:
    notes = [
        "steal: 3.5% of the time",
        "busy: 1.2 of 2",
        "steal: 12.0% of the time",
        "steal: 4.0% of the time",
    ]
    told = gather([("", note) for note in notes], {""})
    assert told == ["steal: 12.0% of the time (the most of 3)", "busy: 1.2 of 2"]
    assert gather([], set()) == []


COUNTERS = sampling.Counters(wall=100.0, own=5.0, waited=1.0, busy=50.0, stolen=2.0, frequency=3e6)


@pytest.mark.parametrize(
    ("after", "says"),
    [
        ({"waited": 1.5}, "other processes held the core: 33.3% of the time it was wanted"),
        ({"busy": 52.9}, "other processes kept cores busy: 1.9 of 2"),
        ({"stolen": 2.1}, "the host gave the cores to other machines (steal): 5.0% of the time"),
        ({"frequency": 2e6}, "the CPU's frequency moved: from 3000 to 2000 MHz"),
    ],
)
def test_counters_name_what_disturbs(
    after: dict[str, float], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    calm = {"wall": 101.0, "own": 6.0, "waited": 1.0, "busy": 51.0, "stolen": 2.0, "frequency": 3e6}
    assert COUNTERS.until(sampling.Counters(**calm)) == []
    assert COUNTERS.until(sampling.Counters(**(calm | after))) == [says]


def test_counters_tell_nothing_of_what_the_system_does_not_count() -> None:
    assert sampling.Counters(wall=9, own=1).until(sampling.Counters(wall=99, own=80)) == []


def test_counters_read_this_systems_own() -> None:
    read = sampling.Counters.read()
    assert read.until(sampling.Counters.read()) == []  # too short to tell
    assert read.busy > 0
    assert read.waited >= 0
