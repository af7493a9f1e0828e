"""Multiplications come from the file, the machine's peak from a matrix product that is one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from edgewright.benchmarks.measure import cost
from edgewright.export.exporter import Result
from edgewright.runtime import Bundle
from edgewright.runtime.backends.ort.session import EXACT_PRODUCTS


@pytest.mark.parametrize("arithmetic", ["float32", "int8"])
def test_matrix_product_file_is_an_onnx_model_that_multiplies(arithmetic: str) -> None:
    operator, left, right, product = cost.KERNELS[arithmetic]
    random = np.random.default_rng(0)
    a = random.integers(0, 255, (300, 300)).astype(left)
    b = random.integers(-100, 100, (300, 300)).astype(right)
    raw = cost.matrix_product(operator, left, b, product)
    onnx.checker.check_model(onnx.load_from_string(raw), full_check=True)
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry(*EXACT_PRODUCTS)
    session = onnxruntime.InferenceSession(raw, options, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"a": a})
    assert found.dtype == product
    np.testing.assert_array_equal(found, (a.astype(np.int64) @ b.astype(np.int64)).astype(product))


def test_peaks_are_the_fastest_of_many_matrix_products(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "SIZE", 128)
    monkeypatch.setattr(cost, "_SECONDS", 0.02)
    found = cost.peaks(1)
    assert set(found) == {"float32", "int8"}
    assert all(1e8 < rate < 1e14 for rate in found.values())


def test_peaks_are_none_without_onnxruntime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgewright.runtime.plugins.installed", lambda _: False)
    assert cost.peaks(1) == {}


@pytest.mark.parametrize("variant", ["tflite-int8", "tflite-float32", "onnx-int8", "onnx-float32"])
def test_cost_of_variant_macs_are_those_of_the_layers(exported: tuple[Path, Result], variant: str) -> None:
    found = cost.of_variant(Bundle.open(exported[0]), variant)
    assert found.macs == 28 * 28 * 256 + 256 * 10
    assert found.bytes == next(exported[0].glob(f"{variant}.*")).stat().st_size
