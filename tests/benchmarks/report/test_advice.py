"""The advice follows its rule: accuracy first, then speed, then size."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from edgewright.benchmarks.record.stats import Estimate
from edgewright.benchmarks.report import advice, facts
from edgewright.benchmarks.report.facts import Row
from edgewright.benchmarks.report.judged import Words
from edgewright.benchmarks.report.measured import Figures
from edgewright.export.exporter import Result
from edgewright.runtime.bundle.parity import Judging

WORDS = Words(judging=Judging())


@pytest.fixture(scope="module")
def some_row(exported: tuple[Path, Result]) -> Row:
    return facts.gather([exported[0]]).rows[0]


def made(
    row: Row,
    name: str,
    size: int,
    *,
    drop: float = 0.0,
    ms: float | None = None,
    model: str = "m",
    keras: float = 0.9,
) -> Row:
    file = dataclasses.replace(row.entry.file, file=f"{name}.{name.partition('-')[0]}", bytes=size)
    figures = ms and Figures(
        variant=name,
        target="local",
        threads=1,
        processes=6,
        kernels="",
        times={"p50": Estimate(value=ms, low=ms * 0.99, high=ms * 1.01)},
        counts={},
        peak_rss_bytes=0,
    )
    return dataclasses.replace(
        row,
        model=model,
        entry=dataclasses.replace(row.entry, name=name, file=file),
        keras_accuracy=keras,
        keras_bytes=1000,
        accuracy=Estimate(value=keras - drop, low=keras - drop - 0.001, high=keras - drop + 0.001),
        limit=0.01,
        figures=figures or None,
    )


def test_advise_the_fastest_whatever_its_size(some_row: Row) -> None:
    rows = [made(some_row, "tflite-float32", 1000, ms=3.0), made(some_row, "tflite-int8", 400, ms=1.0)]
    rows.append(made(some_row, "tflite-weight-int4", 200, ms=3.0))
    found = advice.advise(rows, WORDS)
    assert found.best is rows[1]
    assert found.timed
    assert "is the fastest (1.00 ms a picture, 3.0 times as fast as tflite-float32)" in found.reason
    assert "2.5 times smaller than the Keras model (400 B)" in found.reason


def test_advise_of_those_as_fast_the_smallest_and_of_those_the_most_accurate(some_row: Row) -> None:
    rows = [
        made(some_row, "tflite-a", 400, ms=1.00),
        made(some_row, "tflite-b", 210, ms=1.03, drop=0.004),
        made(some_row, "tflite-c", 215, ms=1.04, drop=0.001),
        made(some_row, "tflite-d", 200, ms=1.50),
    ]
    found = advice.advise(rows, WORDS)
    assert found.best is rows[2]
    assert "among the fastest" in found.reason


def test_advise_takes_no_file_that_keeps_within_the_limit_by_chance(some_row: Row) -> None:
    """The first loses .95 points, which may be 1.05; the limit is one."""
    rows = [made(some_row, "tflite-a", 100, drop=0.0095), made(some_row, "tflite-b", 400, drop=0.008)]
    assert advice.advise(rows, WORDS).best is rows[1]


def test_advise_without_measurements_of_every_model_leaves_speed_out(some_row: Row) -> None:
    rows = [made(some_row, "tflite-a", 400, ms=1.0), made(some_row, "tflite-b", 200, model="other")]
    found = advice.advise(rows, WORDS)
    assert found.best is rows[1]
    assert not found.timed
    assert "fast" not in found.reason


def test_advise_claims_no_more_than_was_measured(some_row: Row) -> None:
    rows = [
        made(some_row, "tflite-a", 400, ms=1.0),
        made(some_row, "tflite-b", 300, ms=2.0),
        made(some_row, "tflite-c", 200),
        made(some_row, "onnx-d", 100),
    ]
    found = advice.advise(rows, WORDS)
    assert found.best is rows[0]
    assert "is the fastest of the 2 of 4 files that were measured (1.00 ms a picture)" in found.reason
    assert found.reason.endswith("; not measured: tflite-c, onnx-d")
    assert found.unmeasured == (rows[2], rows[3])
    one = [rows[0], *(dataclasses.replace(row, figures=None) for row in rows[1:])]
    found = advice.advise(one, WORDS)
    assert found.best is one[3]  # the smallest: a time alone compares with nothing
    assert "fast" not in found.reason
    assert not found.timed
    (only,) = (row for row in (advice.advise([one[0], made(some_row, "tflite-e", 900)], WORDS),))
    assert "is the only one that was measured (1.00 ms a picture)" in only.reason
    assert only.reason.endswith("; not measured: tflite-e")
    assert "it takes 1.00 ms a picture," in advice.advise(rows[:1], WORDS).reason


def test_advise_says_the_fastest_only_of_what_no_other_overlaps(some_row: Row) -> None:
    rows = [made(some_row, "tflite-a", 100, ms=1.0), made(some_row, "tflite-b", 100, ms=1.01)]
    assert "is among the fastest (" in advice.advise(rows, WORDS).reason


def test_advise_says_of_which_files_it_is_the_fastest_where_faster_ones_lose_too_much(some_row: Row) -> None:
    rows = [
        made(some_row, "tflite-a", 400, ms=5.0),
        made(some_row, "tflite-b", 400, ms=6.0),
        made(some_row, "tflite-c", 100, ms=1.0, drop=0.2),
    ]
    found = advice.advise(rows, WORDS)
    assert found.best is rows[0]
    assert "is the fastest of the 2 files within the limit (5.00 ms" in found.reason


def test_advise_lists_many_unmeasured_files_by_their_number(some_row: Row) -> None:
    rows = [made(some_row, f"tflite-{i}", 400, ms=float(i + 1) if i < 2 else None) for i in range(12)]
    assert advice.advise(rows, WORDS).reason.endswith("tflite-6, tflite-7 and 4 more")


def test_advise_does_not_choose_a_worse_model_for_its_speed(some_row: Row) -> None:
    rows = [
        made(some_row, "tflite-a", 400, ms=5.0, model="good", keras=0.95),
        made(some_row, "tflite-a", 100, ms=1.0, model="poor", keras=0.90),
    ]
    assert advice.advise(rows, WORDS).best is rows[0]


def test_advise_names_the_best_of_each_other_format(some_row: Row) -> None:
    rows = [made(some_row, "tflite-a", 100), made(some_row, "onnx-a", 900), made(some_row, "onnx-b", 300)]
    assert advice.advise(rows, WORDS).others == (rows[2],)


def test_advise_does_not_fail_over_what_took_no_time_and_no_bytes(some_row: Row) -> None:
    rows = [made(some_row, "tflite-float32", 1000, ms=1.0), made(some_row, "tflite-int8", 0, ms=1e-300)]
    zero = (
        dataclasses.replace(rows[1].figures, times={"p50": Estimate(value=0, low=0, high=0)})
        if rows[1].figures
        else None
    )
    rows[1] = dataclasses.replace(rows[1], figures=zero)
    assert "is the fastest (0.00 ms a picture)" in advice.advise(rows, WORDS).reason


def test_pareto_front_is_what_nothing_beats(some_row: Row) -> None:
    sizes_and_drops = [(100, 0.02), (200, 0.01), (200, 0.015), (300, 0.01), (400, 0.0), (500, 0.005)]
    rows = [made(some_row, f"tflite-{i}", size, drop=drop) for i, (size, drop) in enumerate(sizes_and_drops)]
    kept = advice.front(rows, lambda row: row.bytes)
    assert [row.name for row in kept] == ["tflite-0", "tflite-1", "tflite-4"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.012, "0.0120"), (1.2, "1.20"), (12.0, "12.0"), (123.4, "123"), (999.7, "1,000"), (1203.4, "1,203")],
)
def test_advice_digits_are_three(value: float, text: str) -> None:
    assert advice.digits(value) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (91_698, "91.7 kB"), (999_700, "1.00 MB"), (3 * 10**6, "3.00 MB")],
)
def test_advice_size_is_in_thousands_and_millions(count: int, text: str) -> None:
    assert advice.size(count) == text
