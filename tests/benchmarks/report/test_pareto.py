"""The pictures: every file a point, the front named, colours left to the page, names only text."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from edgewright.benchmarks.record.stats import Estimate
from edgewright.benchmarks.report import advice, facts, pareto
from edgewright.benchmarks.report.facts import Report, Row
from edgewright.export.exporter import Result

WriteBench = Callable[..., Path]


@pytest.fixture(scope="module")
def report(
    exported: tuple[Path, Result], write_bench: WriteBench, tmp_path_factory: pytest.TempPathFactory
) -> Report:
    times = {"tflite-float32": 50.0, "tflite-int8": 1.0, "onnx-float32": 3.0}
    return facts.gather([exported[0]], [write_bench(tmp_path_factory.mktemp("bench") / "b.json", times)])


def titles(svg: str) -> list[str]:
    return [title.text or "" for title in ElementTree.fromstring(svg).iter("title")]


def test_pareto_by_size_has_every_file_as_a_point_and_names_the_front(report: Report) -> None:
    (task,) = report.tasks
    svg = pareto.by_size(task.rows, task.advice.best, task.words)
    assert [title.partition(": ")[2].partition(",")[0] for title in titles(svg)] == [
        r.name for r in task.rows
    ]
    written = [text.text for text in ElementTree.fromstring(svg).iter("text")]
    for row in [task.advice.best, *advice.front(task.rows, lambda row: row.bytes)]:
        assert row.name in written
    assert "file size, kB" in written


def test_pareto_by_latency_has_only_what_was_measured(report: Report) -> None:
    (task,) = report.tasks
    svg = pareto.by_latency(task.rows, task.advice.best, task.words)
    assert len(titles(svg)) == 3
    assert "10" in [
        text.text for text in ElementTree.fromstring(svg).iter("text")
    ]  # 1 to 50: a logarithmic axis
    unmeasured = [dataclasses.replace(row, figures=None) for row in task.rows]
    assert pareto.by_latency(unmeasured, unmeasured[0], task.words) == ""


def test_pareto_colours_are_all_the_pages(report: Report) -> None:
    (task,) = report.tasks
    for svg in (
        pareto.by_size(task.rows, task.advice.best, task.words),
        pareto.by_latency(task.rows, task.advice.best, task.words),
        *(f"<svg>{mark}</svg>" for mark, _ in pareto.legend(task.rows)),
    ):
        assert set(re.findall(r"(?:fill|stroke): ?([^;\"]+)", svg)) <= {
            "none",
            *(f"var(--{name})" for name in ("ink", "soft", "line", "accent", "card", "series-0", "series-1")),
        }


def test_pareto_pictures_of_a_page_share_no_id(report: Report) -> None:
    (task,) = report.tasks
    found = [
        set(re.findall(r'\bid="([^"]+)"', draw(task.rows, task.advice.best, task.words)))
        for draw in (pareto.by_size, pareto.by_latency)
    ]
    assert found[0]
    assert not found[0] & found[1]
    for draw, ids in zip((pareto.by_size, pareto.by_latency), found, strict=True):
        svg = draw(task.rows, task.advice.best, task.words)
        assert set(re.findall(r'href="#([^"]+)"', svg)) | set(re.findall(r"url\(#([^)]+)\)", svg)) <= ids


@pytest.mark.parametrize(
    "name", ["<b onclick='x'>&amp;", "$\\frac{1", "\u6a21\u578b " * 9, "a" * 500, "", "x\ny"]
)
def test_pareto_draws_any_name(report: Report, name: str) -> None:
    (task,) = report.tasks
    rows = [dataclasses.replace(r, entry=dataclasses.replace(r.entry, name=name)) for r in task.rows]
    for draw in (pareto.by_size, pareto.by_latency):
        assert all(f": {name}," in title for title in titles(draw(rows, rows[0], task.words)))


def test_pareto_draws_one_file_and_several_models(report: Report) -> None:
    (task,) = report.tasks
    alone = task.rows[:1]
    assert len(titles(pareto.by_size(alone, alone[0], task.words))) == 1
    several: list[Row] = [dataclasses.replace(row, model=f"m{i}") for i, row in enumerate(task.rows)]
    flat = Estimate(value=0.5, low=0.5, high=0.5)
    several = [dataclasses.replace(row, accuracy=flat) for row in several]
    assert len(titles(pareto.by_size(several, several[0], task.words))) == 6
    assert [text for _, text in pareto.legend(several)][2:8] == ["m0", "m1", "m2", "m3", "m4", "m5"]
