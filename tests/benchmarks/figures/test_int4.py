"""What 4-bit files lose is collected from bundles, with how long their float models were trained."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from edgewright.benchmarks.figures import int4
from edgewright.benchmarks.figures.render import RESULTS
from edgewright.runtime import Bundle
from edgewright.runtime.errors import CheckpointError

KEYS = {"recipe", "variant", "drop", "drop_high", "bytes", "way", "epochs", "verdict"}


def test_int4_takes_the_4_bit_files_of_a_bundle_those_left_out_too(bundle: Path, tmp_path: Path) -> None:
    manifest = Bundle.open(bundle).manifest
    judged = dataclasses.asdict(
        next(variant.parity for variant in manifest.variants if variant.name == "tflite-int8")
    )
    sizes = {"reason": "too far", "bytes": 9, "gzip_bytes": 8}
    refused = [
        {"name": "tflite-weight-int4", **sizes, "parity": judged},
        {"name": "qat4+onnx-weight-int4", **sizes, "parity": judged},
        {"name": "distill4+tflite-weight-int4", **sizes, "parity": judged},
        {"name": "onnx-weight-int4", **sizes, "parity": None},
    ]
    changed = dataclasses.replace(manifest, refused=tuple(refused))
    (bundle / "manifest.json").write_bytes(changed.to_bytes())
    with pytest.raises(CheckpointError, match=r"checkpoint\.json"):
        int4.rows_of(bundle, tmp_path / "models")
    folder = tmp_path / "models" / bundle.name
    folder.mkdir(parents=True)
    (folder / "checkpoint.json").write_text('{"training": {"epochs": 7}}', encoding="utf-8")
    rows = int4.rows_of(bundle, tmp_path / "models")
    assert [(row["variant"], row["way"], row["bytes"], row["epochs"]) for row in rows] == [
        ("tflite-weight-int4", "rounded after training", 9, 7),
        ("qat4+onnx-weight-int4", "trained in 4 bits", 9, 7),
        ("distill4+tflite-weight-int4", "distilled in 4 bits, without labels", 9, 7),
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
