"""What 4-bit files lose is collected from bundles, with how long their float models were trained."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgewright.benchmarks.figures import int4
from edgewright.benchmarks.figures.render import RESULTS
from edgewright.runtime.errors import CheckpointError

KEYS = {"recipe", "variant", "drop", "drop_high", "bytes", "way", "epochs", "verdict"}


def test_int4_takes_the_4_bit_files_of_a_bundle_those_left_out_too(bundle: Path, tmp_path: Path) -> None:
    manifest = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    judged = next(v for v in manifest["variants"] if v["name"] == "tflite-int8")["parity"]
    for name in ("tflite-weight-int4", "qat4+onnx-weight-int4"):
        refused = {"name": name, "reason": "too far", "bytes": 9, "gzip_bytes": 8, "parity": judged}
        manifest["refused"].append(refused)
    manifest["refused"].append(
        {"name": "onnx-weight-int4", "reason": "x", "bytes": 0, "gzip_bytes": 0, "parity": None}
    )
    (bundle / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"checkpoint\.json"):
        int4.rows_of(bundle, tmp_path / "models")
    folder = tmp_path / "models" / bundle.name
    folder.mkdir(parents=True)
    (folder / "checkpoint.json").write_text('{"training": {"epochs": 7}}', encoding="utf-8")
    rows = int4.rows_of(bundle, tmp_path / "models")
    assert [(row["variant"], row["way"], row["bytes"], row["epochs"]) for row in rows] == [
        ("tflite-weight-int4", "rounded after training", 9, 7),
        ("qat4+onnx-weight-int4", "trained in 4 bits", 9, 7),
    ]
    assert all({*row} >= KEYS for row in rows)


def test_int4_is_published_of_both_formats() -> None:
    rows = json.loads((RESULTS / "int4.json").read_text(encoding="utf-8"))["rows"]
    assert rows
    for row in rows:
        assert {*row} >= KEYS
        assert row["way"] == int4.way(row["variant"])
    for recipe in {row["recipe"] for row in rows}:
        plain = {row["variant"] for row in rows if row["recipe"] == recipe}
        assert plain >= {"tflite-weight-int4", "onnx-weight-int4"}
