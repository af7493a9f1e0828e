"""Times by operator: of onnxruntime's own trace, and none where an interpreter tells none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from edgewright.benchmarks.measure import profile
from edgewright.export.exporter import Result


def node(name: str, operator: str, microseconds: int) -> dict[str, Any]:
    return {"cat": "Node", "name": f"{name}_kernel_time", "dur": microseconds, "args": {"op_name": operator}}


def test_profile_by_operator_adds_nodes_each_with_its_median() -> None:
    trace = [
        {"cat": "Session", "name": "model_run", "dur": 99},
        *(node("first", "Gemm", us) for us in (900, 10, 12)),
        *(node("second", "Gemm", us) for us in (5, 5, 5)),
        *(node("last", "Softmax", us) for us in (40, 20, 30)),
        {"cat": "Node", "name": "first_fence_before", "dur": 7, "args": {"op_name": "Gemm"}},
    ]
    assert profile.by_operator(trace) == {"Softmax": 30_000, "Gemm": 17_000}
    assert list(profile.by_operator(trace)) == ["Softmax", "Gemm"]


def test_profile_operators_of_a_file_are_those_onnxruntime_runs(exported: tuple[Path, Result]) -> None:
    images = np.zeros((2, 28, 28, 1), np.uint8)
    found = profile.operators(exported[0] / "onnx-int8.onnx", images, 1)
    assert found and any("Gemm" in operator or "MatMul" in operator for operator in found)
    assert list(found.values()) == sorted(found.values(), reverse=True)
    assert profile.operators(exported[0] / "tflite-int8.tflite", images, 1) is None
    assert not list(Path.cwd().glob("*profile*.json"))
