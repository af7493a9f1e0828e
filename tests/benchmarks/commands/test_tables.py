"""What bench prints: times where there are any, counts where there are any, and warnings by their cause."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from edgewright.benchmarks.commands import tables
from edgewright.benchmarks.record.measurement import Plan


def test_bench_table_of_a_target_without_times_gets_a_row_a_count(
    made: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    tables.show(made.record([*made.counted(), *made.counted("onnx-int8", 789_000)]), [Plan()])
    said = capsys.readouterr().out
    assert "Counted, target arm64" in said
    (row,) = [line.split() for line in said.splitlines() if "a76_instructions" in line]
    assert row == ["a76_instructions", "458,292", "789,000"]
    assert "Latency" not in said and "From picture" not in said


def test_bench_table_of_a_target_with_times_alone_has_no_counts(
    made: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    tables.show(made.record(made.timed()), [Plan()])
    said = capsys.readouterr().out
    assert "Counted" not in said
    assert "5.1 %" in said
    assert "peak of a matrix product, threads 1, in 1e9 MAC/s: float32 100, int8 400" in said


def test_bench_warnings_are_by_cause_and_name_the_variants_they_are_about(made: SimpleNamespace) -> None:
    noisy = made.timed("onnx-int8", notes=["steal: 3.0% of the time"])
    assert tables.warnings(made.record([*made.timed(), *noisy])) == [
        "steal: 3.0% of the time (the most of 6) in onnx-int8"
    ]
    assert tables.warnings(made.record(noisy)) == ["steal: 3.0% of the time (the most of 6)"]
    assert tables.warnings(made.record(made.timed())) == []


def test_bench_warnings_tell_the_load_of_before(made: SimpleNamespace) -> None:
    busy = made.timed()
    busy[2].environment["load_1min"] = 3.2
    try:
        assert tables.warnings(made.record(busy)) == [
            "the machine was busy: load up to 3.2 on 2 cores; measure again when it is idle"
        ]
    finally:
        busy[2].environment["load_1min"] = 0.5


def test_bench_profile_shows_operators_by_their_share(capsys: pytest.CaptureFixture[str]) -> None:
    tables.show_profiles({"onnx-int8": {"QGemm": 3e5, "Softmax": 1e5}, "tflite-int8": None})
    assert capsys.readouterr().out.splitlines() == [
        "operators of onnx-int8: QGemm 75%, Softmax 25% of 0.4 ms, traced",
        "operators of tflite-int8: its interpreter's Python API does not tell their times",
    ]
