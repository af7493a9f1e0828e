"""How often a browser's figures are wrong: drawn of blocks whose truth is known, published, rendered."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgewright.benchmarks.figures import gpu, publish, render
from edgewright.benchmarks.figures.error_rates import browser
from edgewright.benchmarks.figures.pedigree import code
from edgewright.benchmarks.figures.pedigree import made as stamps
from edgewright.benchmarks.record import record
from edgewright.benchmarks.record.measurement import Check
from edgewright.export.exporter import Result
from edgewright.runtime import Bundle
from edgewright.runtime.errors import InputError


def _frames(count: int, noise: float, slower: float = 0.05) -> list[dict[str, list[int]]]:
    random = np.random.default_rng(0)
    return [
        {
            side: [
                int(1e6 * (1 + slower * (side == "slow")) * np.exp(random.normal(0, noise)))
                for _ in range(20)
            ]
            for side in browser.SIDES
        }
        for _ in range(count)
    ]


def test_page_is_asked_for_the_file_three_times_and_once_with_runs_more(
    exported: tuple[Path, Result],
) -> None:
    work = browser.asked(Bundle.open(exported[0]), "tflite-int8", 12, 0.1)
    job: Any = json.loads(work.files["job.json"])  # type: ignore[arg-type]
    assert [(v["name"], v.get("every")) for v in job["variants"]] == [("a", None), ("b", None), ("slow", 20)]
    assert [entry.name for entry in work.variants] == list(work.expected) == ["a", "b", "slow"]
    assert job["plans"][0]["processes"] == 12


def test_rates_are_those_of_what_is_true() -> None:
    found = browser.rows(("net", "tflite-int8"), _frames(60, 0.02), 5000, 300)
    assert [(row["how"], row["slow_down"]) for row in found] == [
        ("drawn", 0.0),
        ("drawn", 0.05),
        ("taken", 0.0),
        ("taken", 0.05),
    ]
    same, slower, _, taken = found
    assert same["comparisons"] == slower["comparisons"] == 300
    assert same["found"] <= 15
    assert slower["found"] >= 295
    assert slower["ratio"] == pytest.approx(1.05, abs=0.01)
    assert (taken["comparisons"], taken["found"]) == (10, 10)


def test_noise_that_hides_a_twentieth_is_seen() -> None:
    slower = browser.rows(("net", "tflite-int8"), _frames(60, 0.4), 5000, 100)[1]
    assert slower["found"] < 90


def test_rows_are_published_and_rendered(
    exported: tuple[Path, Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(browser, "recorded", lambda *_: (_frames(12, 0.01), 5000))
    assert browser.main([f"{exported[0]}:tflite-int8", "--out", str(tmp_path), "--draws", "20"]) == 0
    shown = render.render("<!-- table: browser -->\n<!-- end -->", tmp_path)
    assert "| `fashion-mlp` | `tflite-int8` | drawn from 12 frames | 5% | 20 | 20 (100.0%) | 1.0" in shown
    assert "A clock with steps of 5 µs" in shown


def test_what_webgpu_makes_of_files_is_published_and_rendered(made: SimpleNamespace, tmp_path: Path) -> None:
    check = Check(images=3, max_abs_error=0.7, agreement=0.5, verdict="wrong", remedy="take another variant")
    measured = [
        dataclasses.replace(
            m,
            target="browser-webgpu",
            check=check,
            samples_ns={},
            environment={**m.environment, "gpu": "google swiftshader", "browser": "Chromium 156"},
        )
        for m in made.timed()[:1]
    ]
    record.write_record(tmp_path / "bench.json", made.record(measured))
    (off,) = [
        row for row in publish.bench_rows(made.record(measured)) if row["metric"] == "golden_max_abs_error"
    ]
    assert (off["target"], off["value"]) == ("browser-webgpu", 0.7)
    words = [str(tmp_path / "bench.json"), "--out", str(tmp_path)]
    with pytest.raises(InputError, match="expected measurements of target gpu, got none"):
        gpu.main(words)
    with pytest.raises(InputError, match=r"bench\.json\.made to say which code made it.*make results-bench"):
        gpu.main([*words, "--target", "browser-webgpu"])
    stamps.stamp("bench:browser", tmp_path / "bench.json", code.now(stamps.part_of("bench:browser")[1]))
    assert gpu.main([*words, "--target", "browser-webgpu"]) == 0
    shown = render.render("<!-- table: webgpu -->\n<!-- end -->", tmp_path)
    assert "| `fashion-mlp` | `tflite-int8` | wrong |  | take another variant | 3 | 50.0 | 0.7 |" in shown
    assert "google swiftshader, by WebGPU in Chromium 156" in shown
