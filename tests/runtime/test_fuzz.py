"""Mutants of real files crash nothing, hang nothing, and take no memory to speak of."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from edgewright.export.exporter import Result

DRIVER = Path(__file__).with_name("fuzzing.py")
FILES = ["tflite-int8.tflite", "tflite-float32.tflite", "onnx-int8.onnx", "onnx-float32.onnx"]


def survive(path: Path, count: int, seed: int, cwd: Path) -> None:
    words = [sys.executable, DRIVER, path, str(count), str(seed)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=cwd)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["refused"] > 0
    assert found["ran"] > 0
    assert sum(found.get(fate, 0) for fate in ("refused", "ran", "crashed elsewhere")) == count
    assert found["slowest_seconds"] < 15  # 10 in which the file has to open, and a process to start and end
    assert found["peak_rss_bytes"] < 2**30


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES[::2])
def test_fuzz_a_few_mutants_are_survived(exported: tuple[Path, Result], tmp_path: Path, file: str) -> None:
    survive(exported[0] / file, 30, 0, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "count"),
    [*((file, 60) for file in FILES), *(pytest.param(file, 200, marks=pytest.mark.long) for file in FILES)],
)
def test_fuzz_mutants_of_each_file_are_survived(
    exported: tuple[Path, Result], tmp_path: Path, file: str, count: int
) -> None:
    survive(exported[0] / file, count, 1, tmp_path)
