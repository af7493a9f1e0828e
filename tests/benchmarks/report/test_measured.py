"""Measurements are read as far as they go: what is not there is not shown, what is broken is named."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edgewright.benchmarks.record import record
from edgewright.benchmarks.record.measurement import Check
from edgewright.benchmarks.record.stats import across
from edgewright.benchmarks.report import facts, measured
from edgewright.runtime.errors import BundleError, EdgewrightError

WriteBench = Callable[..., Path]


def test_measured_figures_percentiles_are_those_over_processes_in_milliseconds(
    write_bench: WriteBench, tmp_path: Path
) -> None:
    bench = record.read_record(write_bench(tmp_path / "bench.json", {"tflite-int8": 2.0}))
    (figures,) = measured.figures(bench)
    raw = [
        m["samples_ns"]["warm_run"]
        for m in json.loads((tmp_path / "bench.json").read_bytes())["measurements"]
    ]
    expected = across(raw, 90)
    assert figures.times["p90"].value == pytest.approx(expected.value / 1e6)
    assert figures.times["p50"].low <= figures.times["p50"].value == pytest.approx(2.0, rel=0.1)
    assert set(figures.times) == {"load", "p50", "p90", "p99"}  # of the others it has no samples
    assert (figures.processes, figures.place) == (6, "local, 1 thread")
    assert list(measured.warnings(bench, [figures])) == []


def test_measured_figures_of_counts_without_times(write_bench: WriteBench, tmp_path: Path) -> None:
    path = write_bench(
        tmp_path / "bench.json",
        {"tflite-int8": 1.0},
        samples_ns={},
        counts={"instructions": [1000.0, 1002.0]},
        target="arm64",
    )
    (figures,) = measured.figures(record.read_record(path))
    assert not figures.times
    assert figures.counts["instructions"].value == pytest.approx(1001)


def test_measured_warnings_tell_every_cause_of_doubt(write_bench: WriteBench, tmp_path: Path) -> None:
    path = write_bench(
        tmp_path / "bench.json",
        {"a": 1.0, "bb": 2.0},
        processes=2,
        notes=lambda name: (
            ["the clock is coarse", f"steal: {len(name)}.5 %"] + ["hot: 9 times"] * (name == "bb")
        ),
        surroundings={"load_1min": 7.5, "cores": 2, "virtual_machine": True},
    )
    bench = record.read_record(path)
    found = list(measured.warnings(bench, measured.figures(bench)))
    assert "the clock is coarse" in found
    assert "hot: 9 times, measuring bb" in found
    assert "steal: 2.5 % (the most of 4)" in found  # a line a cause, however often it came up
    for word in ("load up to 7.5 on 2 cores", "virtual machine", "2 processes only"):
        assert any(word in line for line in found), word


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda d: d.pop("measurements"), "'measurements' to be a list"),
        (lambda d: d.update(measurements=[]), "expected measurements"),
        (lambda d: d.pop("environment"), "'environment' to be an object"),
        (lambda d: d["measurements"][0].pop("variant"), "'variant' to be a string"),
        (lambda d: d["measurements"][0].update(samples_ns={"warm_run": ["1"]}), "'warm_run' to be"),
        (lambda d: d["measurements"][0].update(samples_ns={"warm_run": [-1]}), "'warm_run' to be"),
        (lambda d: d["measurements"][0].update(samples_ns={"warm_run": [10**30]}), "'warm_run' to be"),
        (lambda d: d["measurements"][0].update(counts={"cycles": [True]}), "'cycles' to be"),
    ],
)
def test_measured_names_a_broken_record(
    write_bench: WriteBench, tmp_path: Path, change: Callable[[dict[str, Any]], object], says: str
) -> None:
    path = write_bench(tmp_path / "bench.json", {"tflite-int8": 1.0})
    data = json.loads(path.read_bytes())
    change(data)
    path.write_text(json.dumps(data))
    with pytest.raises(EdgewrightError, match=r"bench\.json") as refused:
        record.read_record(path)
    assert says in str(refused.value)


def test_read_record_names_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="cannot read"):
        record.read_record(tmp_path / "none.json")


def test_of_several_devices_the_worst_answer_is_the_targets(made: SimpleNamespace) -> None:
    def figures(verdict: str, machine: str) -> measured.Figures:
        check = Check(images=16, max_abs_error=0.0, agreement=1.0, verdict=verdict)
        one = [dataclasses.replace(m, target="browser", check=check) for m in made.timed()]
        (found,) = measured.figures(made.record(one), machine)
        return found

    for verdicts in (("right", "wrong", "differs"), ("wrong", "right", "right")):
        found = facts._checks([figures(verdict, f"phone {i}") for i, verdict in enumerate(verdicts)])
        assert {target: check.verdict for target, check in found.items()} == {"browser": "wrong"}
