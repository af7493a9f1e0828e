"""What Python programs use of the benchmarks: names that are imported when they are asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edgewright import benchmarks
from edgewright.benchmarks import Options, bench, read_record, targets, write_record, write_report
from edgewright.benchmarks.measure import cost, environment
from edgewright.runtime.errors import InputError


def test_benchmarks_all_public_names_are_there() -> None:
    for name in benchmarks.__all__:
        assert getattr(benchmarks, name).__name__ == name
    assert benchmarks.__all__ == sorted(name for names in benchmarks._HOME.values() for name in names)
    with pytest.raises(AttributeError, match="no attribute 'bensh'"):
        _ = benchmarks.bensh


def test_benchmarks_import_brings_no_numpy(fresh: Callable[..., Any]) -> None:
    done = fresh(code="import edgewright.benchmarks\nassert 'numpy' not in sys.modules")
    assert done.returncode == 0, done.stderr


def test_bench_record_and_report_of_a_bundle_from_python(
    bundle: Path, tmp_path: Path, made: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(targets, "get", lambda _: made.Target(10_000))
    monkeypatch.setattr(cost, "peaks", lambda _: {"float32": 100e9, "int8": 400e9})
    monkeypatch.setattr(environment, "describe", lambda: made.MACHINE)
    told: list[str] = []
    record = bench(bundle, Options(variants=("tflite-int8", "onnx-int8"), threads=(1, 2)), done=told.append)
    assert told == ["tflite-int8", "onnx-int8"] * 2 * 6
    assert [key[2] for key in record.by_key()] == [1, 1, 2, 2]
    assert record.figures(("tflite-int8", "local", 2))["p50"].unit == "ms"
    assert record.models["tflite-int8"].arithmetic == "int8"
    write_record(tmp_path / "bench.json", record)
    assert read_record(tmp_path / "bench.json") == record
    report = write_report([bundle], tmp_path / "report.json", [tmp_path / "bench.json"])
    assert report.place == "local, 1 thread"


@pytest.mark.parametrize(
    "options", [Options(threads=(0,)), Options(mode="slow"), Options(target_options={"images": "test.npz"})]
)
def test_bench_options_that_cannot_be_are_refused(bundle: Path, options: Options) -> None:
    with pytest.raises(InputError):
        bench(bundle, options)
