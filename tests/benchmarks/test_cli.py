"""`edgewright bench` on the command line: a table to read, raw samples to keep."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., tuple[int, str, str]]


def test_it_prints_a_row_a_variant_and_keeps_every_sample(run: Run, bundle: Path) -> None:
    status, said, complaints = run("bench", bundle, "--variants", "tflite-int8, onnx-int8")
    assert (status, complaints) == (0, "")
    out = bundle.with_name("bundle-bench.json")
    assert said.splitlines()[-1] == f"wrote {out}"
    for word in ("tflite-int8", "onnx-int8", "p50", "p90", "p99", "load", "first run", "peak RSS", "xnnpack"):
        assert word in said
    record = json.loads(out.read_bytes())
    assert record["schema_version"] == 1
    assert record["bundle"] == "fashion-mlp"
    assert record["environment"]["cpu"] in said
    assert [m["variant"] for m in record["measurements"]] == ["tflite-int8", "onnx-int8"]
    for measured in record["measurements"]:
        assert len(measured["samples_ns"]["warm_run"]) >= record["plan"]["runs"] == 1000
        assert len(measured["samples_ns"]["png_to_label"]) == record["plan"]["end_to_end_runs"] == 500
        assert measured["environment"]["load_1min"] >= 0
    assert not list(bundle.glob("*bench*"))


def test_the_file_goes_where_it_is_told_to(run: Run, bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep/figures.json"
    status, said, _ = run("bench", bundle, "--variants", "onnx-float32", "--threads", 2, "--out", out)
    assert status == 0
    assert "2 thread(s)" in said
    assert json.loads(out.read_bytes())["measurements"][0]["threads"] == 2


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--variants", "tflite-int88"], "did you mean 'tflite-int8'"),
        (["--target", "locl"], "did you mean 'local'"),
        (["--threads", "0"], "expected at least 1 thread, got 0"),
        (["--threads", "-3"], "expected at least 1 thread, got -3"),
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
