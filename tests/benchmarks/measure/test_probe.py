"""The measuring process itself: it holds nothing it does not measure, and times calls alone."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import psutil

from edgewright.benchmarks.measure import probe, sampling
from edgewright.benchmarks.record.measurement import Plan
from edgewright.export.exporter import Result

Fresh = Callable[..., "subprocess.CompletedProcess[str]"]


def test_probe_imports_neither_tensorflow_nor_the_other_interpreter(
    exported: tuple[Path, Result], fresh: Fresh
) -> None:
    code = f"""
import sys
from edgewright.benchmarks.measure import probe
told = probe.main({{
    "bundle": {str(exported[0])!r}, "variant": "tflite-int8",
    "plan": {{"runs": 1, "seconds": 0, "warmup_seconds": 0, "end_to_end_runs": 1, "throughput_seconds": 0}},
}})
assert told["samples_ns"]["warm_run"]
print(*sorted({{name.partition(".")[0] for name in sys.modules}}))
"""
    done = fresh(code=code, blocked=["tensorflow", "keras", "onnx", "onnxruntime", "rich"])
    assert (done.returncode, done.stderr) == (0, "")
    assert "ai_edge_litert" in done.stdout.split()


def test_probe_throughput_counts_the_runs_of_all_interpreters() -> None:
    ran: list[int] = []

    def waiting(place: int) -> object:
        def run(_: object) -> None:
            time.sleep(0.001)
            ran.append(place)

        return SimpleNamespace(session=SimpleNamespace(run=run))

    plan, start = Plan(throughput_seconds=0.05), time.perf_counter()
    (rate,) = probe._throughput([waiting(0), waiting(1)], [1], plan)  # type: ignore[list-item]
    assert set(ran) == {0, 1}
    assert len(ran) / (time.perf_counter() - start) <= rate <= len(ran) / 0.05
    assert probe._throughput([], [1], plan) == []
    assert probe._throughput([waiting(0)], [1], Plan(throughput_seconds=0)) == []  # type: ignore[list-item]


def test_probe_tells_too_few_runs_and_a_coarse_clock() -> None:
    few = sampling.Runs(samples_ns=[1] * 99, calls=1, queries=99)
    assert probe._few(few, 50) == ["too few runs for p99, add --seconds: 99 in a process"]
    coarse = sampling.Runs(samples_ns=[1] * 100, calls=5, queries=500)
    assert probe._few(coarse, 1000) == [
        "the clock is coarse for so short a run: its step is 1000 ns, so a sample is the mean of 5 runs, "
        "and p90 and p99 are those of such means"
    ]


def test_probe_peak_rss_is_this_processs_high_water_mark() -> None:
    slack = 4 * 2**20  # the kernel's counters lag behind a little
    before, resident = probe.peak_rss_bytes(), psutil.Process().memory_info().rss
    assert before >= resident - slack
    block = bytearray(b"x") * (before - resident + 50 * 2**20)
    grown = probe.peak_rss_bytes()
    del block
    assert grown >= before + 50 * 2**20 - slack
    assert probe.peak_rss_bytes() >= grown - slack
