"""What `compare` is tried with: noise that is drawn, and one model slowed by a true 5 %."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest

from edgewright.benchmarks.compare import comparison as compare
from edgewright.benchmarks.compare import worker as compare_worker
from edgewright.benchmarks.compare.measuring import Side
from edgewright.benchmarks.figures import render as readme
from edgewright.benchmarks.figures.error_rates import comparisons
from edgewright.export.exporter import Result


@pytest.mark.parametrize("machine", comparisons.MACHINES)
def test_simulate_draws_blocks_of_the_slow_down_they_are_to_have(machine: str) -> None:
    plan = compare.Design(pairs=400)
    blocks = comparisons.simulate(comparisons.MACHINES[machine], 0.05, plan, np.random.default_rng(0))
    assert blocks.shape == (400, plan.turns, 2)
    assert np.exp(np.median(np.log(blocks[..., 1] / blocks[..., 0]))) == pytest.approx(1.05, abs=0.005)


@pytest.mark.parametrize(("share", "least"), [(0.0, 0), (0.05, 500), (1.0, 10_000)])
def test_slow_down_wait_makes_a_run_longer_by_its_share(
    share: float, least: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a clock that moves by 10,000 ns in a run and by 10 when it is read."""
    now = 0

    def read() -> int:
        nonlocal now
        now += 10
        return now

    def work(_: object) -> None:
        nonlocal now
        now += 10_000

    monkeypatch.setattr(time, "perf_counter_ns", read)
    compare_worker._slowed(work, share)(None)
    assert 10_000 + least + 30 <= now <= 10_000 + least + 60  # the three readings before the wait come on top


def test_comparisons_rows_are_published_and_rendered(
    exported: tuple[Path, Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def made(a: Side, b: Side, plan: compare.Design, seed: int) -> compare.Comparison:
        assert a.slow_down == 0.0
        random = np.random.default_rng(seed)
        noise = comparisons.MACHINES["quiet"]
        return compare.summarise(comparisons.simulate(noise, b.slow_down or 0.0, plan, random))

    monkeypatch.setattr(compare, "compare", made)
    words = [
        f"{exported[0]}:tflite-int8",
        "--out",
        str(tmp_path),
        "--comparisons",
        "3",
        "--simulations",
        "20",
    ]
    assert comparisons.main(words) == 0
    rows = json.loads((tmp_path / "compare.json").read_text())["rows"]
    assert len(rows) == 2 * len(comparisons.MACHINES) + 2
    same, slower = rows[-2:]
    assert (same["slow_down"], same["comparisons"], same["found"]) == (0.0, 3, 0)
    assert (slower["slow_down"], slower["comparisons"], slower["found"]) == (0.05, 3, 3)
    assert slower["ratio"] == pytest.approx(1.05, abs=0.02)
    shown = readme.render("<!-- table: compare -->\n<!-- end -->", tmp_path)
    assert "| this one, fashion-mlp:tflite-int8 | 5% | 3 | 3 (100.0%) | 1.0" in shown


def test_comparisons_measured_stops_when_time_is_up(
    exported: tuple[Path, Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = np.full((12, 12, 2), 1e5)
    monkeypatch.setattr(compare, "compare", lambda *_, **__: compare.summarise(blocks))
    model = compare.side(f"{exported[0]}:tflite-int8")
    assert [len(results) for results in comparisons.measured(model, 40, 0)] == [1, 1]
