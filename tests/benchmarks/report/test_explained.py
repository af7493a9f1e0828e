"""The section of the report on where accuracy is lost, from what `edgewright explain` wrote."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgewright.benchmarks.report import explained
from edgewright.benchmarks.report.writers import write_report
from edgewright.runtime.bundle.manifest import Bundle
from edgewright.runtime.errors import InputError
from tests.conftest import Run

Told = Callable[..., Path]


@pytest.fixture
def told(bundle: Path, tmp_path: Path) -> Told:
    """A file as explain writes it, of two files of the bundle, changed at will."""
    manifest = Bundle.open(bundle).manifest

    def kernels(name: str, snr: list[float], diverges: str | None) -> dict[str, Any]:
        steps = [{"layer": f"layer_{i}", "snr": value, "score_snr": value + 5} for i, value in enumerate(snr)]
        return {
            "kernels": name,
            "steps": steps,
            "decided": 0.75,
            "diverges": diverges,
            "loses_most": "layer_1",
        }

    def write(**changes: Any) -> Path:
        files = []
        for entry in manifest.variants:
            if entry.name not in ("tflite-int8", "onnx-int8"):
                continue
            one = [kernels("xnnpack", [40, 8, 7], "layer_1"), kernels("reference", [40, 8.2, 7.1], "layer_1")]
            parting = {"one": "xnnpack", "other": "reference", "layer": "<b>layer_1</b>", "decided": 1.0}
            if entry.name == "onnx-int8":
                one, parting = [kernels("onnxruntime-cpu", [200, 41, 39.5], None)], None
            files.append(
                {"variant": entry.name, "sha256": entry.file.sha256, "kernels": one, "parting": parting}
            )
        data = {"name": manifest.name, "images": 16, "diverges_below": 20.0, "files": files, "runtimes": None}
        path = tmp_path / "explain.json"
        path.write_text(json.dumps(data | changes))
        return path

    return write


def test_the_page_shows_what_was_explained(run: Run, bundle: Path, told: Told, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    status, _, complained = run("report", bundle, "--explain", told(), "--out", out)
    assert (status, complained) == (0, "")
    page = out.read_text()
    section = page[page.index("Where accuracy is lost") :]
    assert "tflite-int8, xnnpack and reference</span>" in section
    assert 'id="explained-0-' in section
    assert "layer_2" in section
    assert "&lt;b&gt;layer_1&lt;/b&gt;" in section
    assert "<b>layer_1</b>" not in section
    assert "edgewright explain" not in page
    write_report([bundle], out)
    assert "Where accuracy is lost" not in out.read_text()


def test_the_json_report_has_its_rows(bundle: Path, told: Told, tmp_path: Path) -> None:
    out = tmp_path / "report.json"
    write_report([bundle], out, explained=told())
    rows = json.loads(out.read_text())["tasks"][0]["bundles"][0]["explained"]
    assert {row["name"] for row in rows} == {
        "tflite-int8, xnnpack",
        "tflite-int8, reference",
        "onnx-int8, onnxruntime-cpu",
    }
    assert {row["diverges"] for row in rows} == {"layer_1", ""}


def test_files_that_have_changed_since_are_left_out_with_a_warning(
    bundle: Path, told: Told, tmp_path: Path
) -> None:
    path = told()
    data = json.loads(path.read_text())
    for file in data["files"]:
        file["sha256"] = "0" * 64
    path.write_text(json.dumps(data))
    report = write_report([bundle], tmp_path / "report.html", explained=path)
    (subject,) = report.subjects
    assert subject.explained is not None
    assert subject.explained.lines == ()
    assert any("what was explained of tflite-int8 is left out" in line for line in subject.warnings)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "another"}, "got 'another'"),
        ({"files": 3}, "files"),
        ({"images": -1}, "images"),
        ({"diverges_below": "many"}, "diverges_below"),
    ],
)
def test_a_file_that_explain_did_not_write_is_refused(
    run: Run, bundle: Path, told: Told, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    out = tmp_path / "report.html"
    status, printed, complained = run("report", bundle, "--explain", told(**changes), "--out", out)
    assert (status, printed) == (1, "")
    assert said in complained
    assert len(complained.splitlines()) == 1
    assert not out.exists()
    with pytest.raises(InputError):
        write_report([bundle], out, explained=tmp_path / "none.json")


def test_a_layer_of_one_line_alone_stands_where_it_runs(bundle: Path, told: Told) -> None:
    (found,) = explained.read(told(), [Bundle.open(bundle).manifest])
    assert found is not None
    first, *others = found.lines
    longer = ("layer_0", "only_here", *first.layers[1:])
    lines = (first, *others)
    depth = explained._depth((lines[0], _with(lines[1], longer)))
    assert list(depth) == list(longer)
    shorter = _with(first, ("layer_0", "scaled", "layer_2"))
    assert list(explained._depth((first, shorter))) == ["layer_0", "scaled", "layer_1", "layer_2"]


def _with(line: explained.Line, layers: tuple[str, ...]) -> explained.Line:
    values = tuple(30.0 for _ in layers)
    return dataclasses.replace(line, layers=layers, snr=values, score_snr=values)
