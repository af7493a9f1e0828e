"""`edgewright bench` on the command line: a table to read, raw samples to keep."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., tuple[int, str, str]]


def without_load(complaints: str) -> str:
    """Standard error but for the warning that other work was going on."""
    return "".join(line for line in complaints.splitlines(True) if "the machine was busy" not in line)


def test_it_prints_a_row_a_variant_and_keeps_every_sample(run: Run, bundle: Path) -> None:
    words = ("--variants", "tflite-int8, onnx-int8", "--threads", 2)
    status, said, complaints = run("bench", bundle, *words)
    assert (status, without_load(complaints)) == (0, "")
    out = bundle.with_name("bundle-bench.json")
    assert said.splitlines()[-1] == f"wrote {out}"
    for word in ("tflite-int8", "onnx-int8", "p50", "p90", "p99", "load", "first run", "peak RSS", "xnnpack"):
        assert word in said
    assert "2 thread(s)" in said
    record = json.loads(out.read_bytes())
    plan, measurements = record["plan"], record["measurements"]
    assert record["schema_version"] == 1
    assert record["bundle"] == "fashion-mlp"
    assert record["environment"]["cpu"] in said
    assert [m["variant"] for m in measurements] == ["tflite-int8", "onnx-int8"] * plan["processes"]
    for measured in measurements:
        assert measured["threads"] == 2
        assert len(measured["samples_ns"]["warm_run"]) >= plan["runs"]
        assert len(measured["samples_ns"]["png_to_label"]) == plan["end_to_end_runs"]
        assert measured["environment"]["load_1min"] >= 0
    assert not list(bundle.glob("*bench*"))


def test_a_variant_without_an_interpreter_is_named_and_the_others_are_measured(
    run: Run, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    out = tmp_path / "deep/figures.json"
    status, _, complaints = run("bench", bundle, "--variants", "onnx-int8,tflite-int8", "--out", out)
    assert status == 0
    assert without_load(complaints).startswith("edgewright: onnx-int8 is not measured: ")
    assert "pip install 'edgewright[onnx]'" in complaints
    assert {m["variant"] for m in json.loads(out.read_bytes())["measurements"]} == {"tflite-int8"}
    status, _, complaints = run("bench", bundle, "--variants", "onnx-int8", "--out", tmp_path / "none.json")
    assert status == 1
    assert not (tmp_path / "none.json").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--variants", "tflite-int88"], "did you mean 'tflite-int8'"),
        (["--target", "locl"], "did you mean 'local'"),
        (["--threads", "0"], "expected 1 to 1024 threads, got 0"),
        (["--out", "."], "expected --out to be a file, got the folder ."),
        (["--threads", "-3"], "expected 1 to 1024 threads, got -3"),
        (["--images", "test.npz"], "expected --images with a target that runs them, got local"),
        (["--target", "arm64", "--variants", "tflite-int8", "--threads", "2"], "expected 1 thread"),
        (["--target", "arm64", "--variants", "tflite-int8", "--images", "none.npz"], "cannot read none.npz"),
    ],
)
def test_options_that_cannot_be_used_get_one_line(
    run: Run, bundle: Path, words: list[str], says: str
) -> None:
    status, said, complaints = run("bench", bundle, *words)
    assert (status, said) == (1, "")
    assert complaints.startswith("edgewright: ")
    assert complaints.count("\n") == 1
    assert says in complaints
    assert list(bundle.parent.iterdir()) == [bundle]


@pytest.mark.parametrize("file", ["manifest.json", "golden.npz", "tflite-int8.tflite"])
def test_a_damaged_bundle_gets_one_line_that_names_the_file(run: Run, bundle: Path, file: str) -> None:
    raw = bytearray((bundle / file).read_bytes())
    raw[len(raw) // 2] ^= 1
    (bundle / file).write_bytes(raw)
    status, said, complaints = run("bench", bundle, "--variants", "tflite-int8")
    assert (status, said) == (1, "")
    assert complaints.count("\n") == 1
    assert complaints.count("edgewright: ") == 1
    assert file in complaints
    assert list(bundle.parent.iterdir()) == [bundle]


def test_what_is_no_bundle_gets_one_line(run: Run, tmp_path: Path) -> None:
    status, _, complaints = run("bench", tmp_path)
    assert status == 1
    assert complaints == (
        f"edgewright: expected a bundle, got {tmp_path} without manifest.json; "
        "make one with edgewright export\n"
    )
