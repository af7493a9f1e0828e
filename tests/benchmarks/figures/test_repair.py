"""What is published of files that collapse: operators are counted alike in files of any tool."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edgewright.benchmarks.figures.render import RESULTS
from edgewright.benchmarks.figures.repair import planted, trained
from edgewright.benchmarks.figures.repair.__main__ import CASE_ORDER, float_ops, in_8_bits
from edgewright.runtime.errors import InputError

KEYS = {"case", "format", "way", "accuracy", "drop", "drop_low", "drop_high", "float_ops", "seconds"}


def test_float_ops_are_those_that_compute_in_float32(bundle: Path) -> None:
    """Two dense layers, of which onnx-int8 leaves the small last one in float32."""
    counts = {path.name: float_ops(path) for path in (*bundle.glob("*.tflite"), *bundle.glob("*.onnx"))}
    assert counts["tflite-float32.tflite"] == counts["onnx-float32.onnx"] == 2
    assert counts["tflite-int8.tflite"] == 0
    assert counts["onnx-int8.onnx"] == 1
    shares = {name: in_8_bits(bundle / name) for name in counts}
    assert shares["tflite-float32.tflite"] == shares["onnx-float32.onnx"] == 0
    assert shares["tflite-int8.tflite"] == 1
    assert 0.98 < shares["onnx-int8.onnx"] < 1  # 784 x 256 of 784 x 256 + 256 x 10


def test_planted_case_of_no_such_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected one of a, b, c, got d"):
        planted.main(["d", str(tmp_path / "data.npz"), str(tmp_path)])


def test_networks_are_trained_on_pictures_of_their_size_shifted_and_mirrored() -> None:
    x = trained.enlarged(np.arange(2 * 32 * 32 * 3).astype(np.uint8).reshape(2, 32, 32, 3))
    assert (x.shape, x.dtype) == ((2, 48, 48, 3), np.uint8)
    one, again = (trained.shown(x, np.random.default_rng(3)) for _ in range(2))
    assert one.tobytes() == again.tobytes()
    assert (one.shape, one.dtype) == (x.shape, np.float32)
    assert 0 <= one.min() < one.max() <= 1
    assert not np.allclose(one, x / np.float32(255))


def test_repair_is_published_of_every_format_and_way() -> None:
    rows = json.loads((RESULTS / "repair.json").read_text(encoding="utf-8"))["rows"]
    found = {(row["case"], row["format"], row["way"]) for row in rows}
    ways = {"tflite": ("edgewright", "converter-alone")}
    ways["onnx"] = (*ways["tflite"], "nncf", "nncf-accuracy-control")
    cases = {row["case"] for row in rows}
    assert {*planted.CASES} <= cases <= {*CASE_ORDER}
    assert found == {(case, name, way) for case in cases for name, of in ways.items() for way in of}
    for row in rows:
        assert {*row} >= KEYS
        if row["way"] == "edgewright":
            assert row["drop_high"] <= 0.01
