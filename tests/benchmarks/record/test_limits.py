"""Limits for a CI: a line for each one broken, and a clear word where nothing can be compared."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import pytest

from edgewright.benchmarks.record import limits as gates
from edgewright.benchmarks.record import record, stats
from edgewright.benchmarks.record.record import Record
from edgewright.runtime.errors import InputError, UnknownNameError


@pytest.mark.parametrize(
    ("text", "metric", "most"),
    [
        ("p90=5ms", "p90", 5.0),
        ("p50=250us", "p50", 0.25),
        ("load=1.5s", "load", 1500.0),
        ("bytes=100k", "bytes", 100_000),
        ("bytes=100kB", "bytes", 100_000),
        ("bytes=2MiB", "bytes", 2 * 2**20),
        ("bytes=4096", "bytes", 4096),
        ("rss=60M", "peak_rss", 60e6 / 2**20),
        ("rss=60MiB", "peak_rss", 60.0),
        ("a53_instructions=1.5M", "a53_instructions", 1.5e6),
        ("macs=3M", "macs", 3e6),
    ],
)
def test_parse_budget_reads_a_limit_with_its_units(text: str, metric: str, most: float) -> None:
    (limit,) = gates.parse_budget(text)
    assert (limit.metric, limit.text) == (metric, text)
    assert limit.most == pytest.approx(most)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("p90=5", "expected p90 in --budget to be a number in ns, us, ms, s, such as p90=5ms, got '5'"),
        ("p90=fast", "got 'fast'"),
        ("p90=-5ms", "got '-5ms'"),
        ("p90", "got ''"),
        ("bytes=5ms", "such as bytes=100k, got '5ms'"),
        ("bytes=100k,rss=", "expected rss in --budget"),
    ],
)
def test_parse_budget_refuses_what_says_nothing(text: str, says: str) -> None:
    with pytest.raises(InputError) as refused:
        gates.parse_budget(text)
    assert says in str(refused.value)


@pytest.mark.parametrize("text", ["p95=5ms", "", "latency=5ms", "p90=5ms,,bytes=1"])
def test_parse_budget_names_an_unknown_metric_with_those_that_exist(text: str) -> None:
    with pytest.raises(UnknownNameError, match=r"unknown metric of --budget .*known: .*p90"):
        gates.parse_budget(text)


@pytest.mark.parametrize(("text", "share"), [("5%", 0.05), ("0.05", 0.05), ("12.5 %", 0.125), ("0%", 0)])
def test_parse_share_of_max_slowdown_is_read(text: str, share: float) -> None:
    assert gates.parse_share(text) == pytest.approx(share)


@pytest.mark.parametrize("text", ["-5%", "five", "5%%", ""])
def test_parse_share_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="expected --max-slowdown to be a share such as 5%"):
        gates.parse_share(text)


def test_over_budget_has_a_line_for_each_limit_that_is_broken(made: SimpleNamespace) -> None:
    found = made.record([*made.timed(), *made.timed("onnx-int8", 30_000)])
    lines = gates.over_budget(found, gates.parse_budget("p50=20us,bytes=1M,rss=40M"))
    assert [line.partition(": ")[0] for line in lines] == [
        "tflite-int8 (local, 1 thread) is over budget rss=40M",
        "onnx-int8 (local, 1 thread) is over budget p50=20us",
        "onnx-int8 (local, 1 thread) is over budget rss=40M",
    ]
    assert lines[0].endswith(": peak_rss is 50 MiB [50, 50]")
    assert gates.over_budget(found, gates.parse_budget("p90=1ms,bytes=1M,rss=60M,macs=1M")) == []


def test_over_budget_is_what_its_middle_is_over(made: SimpleNamespace) -> None:
    found = made.record(made.timed())
    (key,) = found.by_key()
    p50 = found.figures(key)["p50"].estimate
    assert p50.low < p50.value < p50.high
    for end, lines in ((p50.low, 1), (p50.high, 0)):
        limit = f"p50={(p50.value + end) / 2 * 1e6:.3f}ns"
        assert len(gates.over_budget(found, gates.parse_budget(limit))) == lines


def test_over_budget_refuses_what_the_target_does_not_measure(made: SimpleNamespace) -> None:
    with pytest.raises(InputError, match=r"what target arm64 measures of tflite-int8 \(a76_instructions"):
        gates.over_budget(made.record(made.counted()), gates.parse_budget("p90=5ms"))
    assert gates.over_budget(made.record(made.counted()), gates.parse_budget("a76_instructions=450k")) != []


@pytest.mark.parametrize(
    ("now_ns", "broken"), [(10_000, 0), (10_300, 0), (10_900, 1), (20_000, 1), (8_000, 0)]
)
def test_slower_than_allowed_by_max_slowdown_and_no_accident(
    made: SimpleNamespace, now_ns: float, broken: int
) -> None:
    now = made.record([*made.timed(middle_ns=now_ns, seed=1), *made.timed("onnx-int8", seed=2)])
    before = made.record([*made.timed(), *made.timed("onnx-int8", seed=3)])
    lines = gates.slower(now, before, 0.05)
    assert len(lines) == broken
    for line in lines:
        assert line.startswith("tflite-int8 (local, 1 thread) is ")
        assert "slower than the baseline, 5.0% is allowed: ratio of p50 " in line


def test_slower_breaks_no_gate_by_a_spread_that_hides_the_change(made: SimpleNamespace) -> None:
    """Half of the processes 6 % slower, half twice as fast: the interval holds 1."""
    now, before = (
        made.timed(middle_ns=10_600, processes=3, seed=1),
        made.timed(middle_ns=10_000, processes=3, seed=2),
    )
    wild = [*now, *made.timed(middle_ns=5_000, processes=3, seed=3)]
    assert gates.slower(made.record(wild), made.record(before), 0.0) == []


def test_slower_breaks_no_gate_where_the_middle_is_beyond_the_limit_and_the_interval_holds_1(
    made: SimpleNamespace,
) -> None:
    """Four of six processes 9 % slower, two 10 % faster."""
    before = made.record(made.timed(middle_ns=10_000, seed=2))
    slow = made.timed(middle_ns=10_900, processes=4, seed=1)
    wild = made.record([*slow, *made.timed(middle_ns=9_000, processes=2, seed=3)])
    ratio = stats.unpaired_ratio(*(record.speeds(one.measurements)["p50"] for one in (before, wild)))
    assert ratio.value > 1.05
    assert ratio.low < 1
    assert gates.slower(wild, before, 0.05) == []
    surely = made.record([*slow, *made.timed(middle_ns=10_900, processes=2, seed=3)])
    assert len(gates.slower(surely, before, 0.05)) == 1


def test_slower_compares_instructions_where_there_is_no_time_on_any_machine(made: SimpleNamespace) -> None:
    before = made.record(made.counted(), cpu="another")
    gates.check_baseline(before, "fashion-mlp", before.by_key(), made.MACHINE)
    assert gates.slower(made.record(made.counted()), before, 0.0) == []
    (line,) = gates.slower(made.record(made.counted(instructions=500_000)), before, 0.05)
    assert "9.1% slower" in line and "a76_instructions" in line


@pytest.mark.parametrize(
    ("name", "value"), [("cpu", "B CPU"), ("machine", "aarch64"), ("isa", []), ("cores_allowed", 64)]
)
def test_check_baseline_refuses_times_of_another_machine(
    made: SimpleNamespace, name: str, value: object
) -> None:
    before = made.record(made.timed(), **{name: value})
    with pytest.raises(
        InputError, match=f"expected a baseline of this machine \\({name} .*make it anew here"
    ):
        gates.check_baseline(before, "fashion-mlp", before.by_key(), made.MACHINE)


def test_check_baseline_from_before_f16c_was_told_is_of_this_machine(made: SimpleNamespace) -> None:
    before = made.record(made.timed())
    gates.check_baseline(before, "fashion-mlp", before.by_key(), made.MACHINE | {"isa": ["avx2", "f16c"]})


@pytest.mark.parametrize(
    "key", [("tflite-float32", "local", 1), ("tflite-int8", "arm64", 1), ("tflite-int8", "local", 2)]
)
def test_check_baseline_names_what_the_baseline_has_not(
    made: SimpleNamespace, key: tuple[str, str, int]
) -> None:
    with pytest.raises(
        InputError, match=r"expected the baseline to hold .*, got tflite-int8 \(local, 1 thread\)"
    ):
        gates.check_baseline(made.record(made.timed()), "fashion-mlp", [key], made.MACHINE)


def test_check_baseline_of_nothing_is_refused(made: SimpleNamespace) -> None:
    empty = Record(bundle="b", environment=made.MACHINE, measurements=[], models={}, peaks={})
    with pytest.raises(InputError, match="got nothing"):
        gates.check_baseline(empty, "b", [("tflite-int8", "local", 1)], made.MACHINE)
    with pytest.raises(InputError, match="got nothing"):
        gates.slower(made.record(made.timed()), empty, 0.05)


def test_check_baseline_of_another_model_is_refused(made: SimpleNamespace) -> None:
    before = made.record(made.timed())
    with pytest.raises(InputError, match="expected a baseline of 'mnist-cnn', got one of 'fashion-mlp'"):
        gates.check_baseline(before, "mnist-cnn", before.by_key(), made.MACHINE)


def test_rows_that_a_target_gave_besides_may_have_answers_alone(made: SimpleNamespace) -> None:
    timed = made.timed()
    besides = [dataclasses.replace(m, target="browser-webgpu", samples_ns={}) for m in timed[:1]]
    now, before = made.record([*timed, *besides]), made.record(timed)
    asked = [("tflite-int8", "local", 1)]
    budget = gates.parse_budget("p90=1us")
    assert len(gates.over_budget(now, budget, asked)) == 1
    assert gates.slower(now, before, 0.05, asked) == []
    with pytest.raises(InputError, match="browser-webgpu"):
        gates.over_budget(now, budget)
    with pytest.raises(InputError, match="expected the baseline to measure"):
        gates.slower(now, before, 0.05)
