"""Ratios are those of a clock that the test moves; real time is never judged."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from edgewright.benchmarks.figures import interleaved
from edgewright.benchmarks.record.stats import paired_ratio
from edgewright.runtime.errors import EdgewrightError


class Clock:
    """Time that passes when it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.slowdown = 100.0, 1.0
        told = SimpleNamespace(perf_counter=lambda: self.now, process_time=lambda: self.now)
        monkeypatch.setattr(interleaved, "time", told)

    def work(self, seconds: float) -> interleaved.Work:
        def take() -> None:
            self.now += seconds * self.slowdown

        return take


def test_interleaved_ratios_are_of_ours_to_the_other_in_whichever_order_they_ran(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock(monkeypatch)
    found = interleaved.ratios(clock.work(0.003), clock.work(0.002), seconds=1)
    assert len(found) > 10
    assert found == pytest.approx([1.5] * len(found))


def test_interleaved_ratios_of_a_machine_that_slows_down_change_no_median(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock(monkeypatch)
    ours, bare = clock.work(0.003), clock.work(0.002)

    def later() -> None:
        clock.slowdown *= 1.01
        ours()

    estimate = paired_ratio(interleaved.ratios(later, bare, seconds=3))
    assert estimate.value == pytest.approx(1.5, rel=0.02)
    assert estimate.low <= estimate.value <= estimate.high


def test_interleaved_over_openings_makes_each_opening_anew_and_counts_it_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, factors = Clock(monkeypatch), iter([1.0, 1.1, 1.2, 1.3, 1.4, 9.0])
    found = interleaved.over_openings(
        lambda: (clock.work(0.01 * next(factors)), clock.work(0.01)), seconds=0, openings=6
    )
    centre = np.sqrt(1.2 * 1.3)  # the middle of the 21 geometric means of two of the six
    assert (found.value, found.low, found.high) == pytest.approx((centre, 1.0, 9.0))


def test_interleaved_processes_peak_is_their_own_however_much_the_one_that_started_them_holds() -> None:
    held = np.ones(2**27, np.uint8)  # 128 MiB
    python = [sys.executable, "-c"]
    _, peak = interleaved.processes(
        [*python, "a = b'x' * 2**26"], [*python, "pass"], pairs=6, environment={"ANY": "thing"}
    )
    assert held.size
    assert peak.low > 3  # 64 MiB beside an interpreter's ten


def test_interleaved_processes_name_one_that_fails() -> None:
    with pytest.raises(EdgewrightError, match="ended with status 3"):
        interleaved.processes([sys.executable, "-c", "exit(3)"], ["true"], pairs=1, environment={})
