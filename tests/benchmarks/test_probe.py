"""The measuring process itself: it holds nothing it does not measure, and times calls alone."""

from __future__ import annotations

import itertools
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from edgewright.benchmarks import probe
from edgewright.export.exporter import Result

Fresh = Callable[..., "subprocess.CompletedProcess[str]"]


def test_it_imports_neither_tensorflow_nor_the_other_interpreter(
    exported: tuple[Path, Result], fresh: Fresh, tmp_path: Path
) -> None:
    code = f"""
import sys
from edgewright.benchmarks import probe
probe.main({{
    "bundle": {str(exported[0])!r}, "variant": "tflite-int8", "out": {str(tmp_path / "out.json")!r},
    "plan": {{"runs": 1, "seconds": 0, "warmup_seconds": 0, "end_to_end_runs": 1}},
}})
print(*sorted({{name.partition(".")[0] for name in sys.modules}}))
"""
    done = fresh(code=code, blocked=["tensorflow", "keras", "onnx", "onnxruntime", "rich"])
    assert (done.returncode, done.stderr) == (0, "")
    assert "ai_edge_litert" in done.stdout.split()
    assert (tmp_path / "out.json").is_file()


def test_the_clock_runs_during_the_call_alone() -> None:
    def slow_inputs() -> itertools.chain[int]:
        time.sleep(0.05)
        return itertools.chain([1])

    inputs = itertools.chain.from_iterable(slow_inputs() for _ in range(2))
    taken = probe._time(lambda _: None, inputs)
    assert len(taken) == 2
    assert max(taken) < 0.02 * 10**9


@pytest.mark.parametrize(
    ("least", "seconds", "most", "expected"),
    [(5, 0, 100, 5), (0, 0, 100, 0), (5, 60, 8, 8), (7, 0, 3, 3)],
)
def test_inputs_come_in_turn_until_there_were_enough(
    least: int, seconds: float, most: int, expected: int
) -> None:
    found = list(probe._until(["a", "b", "c"], least, seconds, most))
    assert found == list(itertools.islice(itertools.cycle("abc"), expected))


def test_peak_memory_is_this_processs_high_water_mark() -> None:
    slack = 4 * 2**20  # the kernel's counters lag behind a little
    before, resident = probe._peak_rss_bytes(), psutil.Process().memory_info().rss
    assert before >= resident - slack
    block = bytearray(b"x") * (before - resident + 50 * 2**20)
    grown = probe._peak_rss_bytes()
    del block
    assert grown >= before + 50 * 2**20 - slack
    assert probe._peak_rss_bytes() >= grown - slack
