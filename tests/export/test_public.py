"""The public face of export: lazy, and pleasant to call with text."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgewright.export
from edgewright.export import Given, Normalization, Options, export, variants
from edgewright.runtime import Bundle
from edgewright.runtime.errors import UnknownNameError
from edgewright.train.datasets import Dataset


def test_export_all_public_names_are_there() -> None:
    for name in edgewright.export.__all__:
        assert getattr(edgewright.export, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'exprot'"):
        _ = edgewright.export.exprot


def test_export_lazy_imports_bring_names_when_they_are_asked_for(fresh: Callable[..., Any]) -> None:
    code = """
import edgewright.export
assert "numpy" not in sys.modules
from edgewright.export import Options, export
assert callable(export) and Options(out="bundle").variants == ()
"""
    done = fresh(code=code, blocked=("tensorflow", "keras", "onnx", "onnxruntime", "ai_edge_litert", "rich"))
    assert done.returncode == 0, done.stderr


def test_export_options_take_text_for_paths_and_variants_and_progress_is_told_to_a_function(
    trained: Path, tmp_path: Path, fashion_mini: Dataset, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(trained / "model.keras", tmp_path / "net.keras")
    np.savez(tmp_path / "test.npz", x=fashion_mini.x_test[:600], y=fashion_mini.y_test[:600])
    said: list[tuple[str, float, float, str]] = []
    options = Options(
        out=str(tmp_path / "bundle"),
        variants="tflite-float32",
        given=Given(normalization=Normalization.of_range(0, 1), test=str(tmp_path / "test.npz")),
    )
    result = export(str(tmp_path / "net.keras"), options, lambda *told: said.append(told))
    assert [outcome.passed for outcome in result.outcomes] == [True]
    (variant,) = Bundle.open(tmp_path / "bundle").manifest.variants
    assert variant.name == "tflite-float32"
    assert [(stage, done, total) for stage, done, total, _ in said] == [("exporting", i, 2) for i in range(3)]
    assert [note for *_, note in said] == ["", "tflite-float32 converted", "tflite-float32 judged"]
    assert capfd.readouterr() == ("", "")


def test_variants_parse_takes_names_and_variants_one_by_one() -> None:
    plain = variants.known()["onnx-int8"]
    chosen = variants.parse(("tflite-int8", plain, "prune50+tflite-int8", "tflite-int8"))
    assert [variant.name for variant in chosen] == ["tflite-int8", "onnx-int8", "prune50+tflite-int8"]
    assert variants.parse([plain]) == [plain]
    with pytest.raises(UnknownNameError, match="did you mean 'onnx-int8'"):
        variants.parse(["onnx-int9"])
