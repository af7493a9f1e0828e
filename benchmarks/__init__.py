"""Measures exported models where they will run, without TensorFlow.

    from edgewright.benchmarks import Options, bench, compare_models, write_report

    record = bench(Path("bundle"), Options(variants=("tflite-int8",), threads=(1, 2)))
    for key in record.by_key():
        print(key, record.figures(key)["p50"].estimate)  # milliseconds, with its 95 % interval
    print(compare_models("bundle:tflite-int8", "bundle:onnx-int8").verdict())

Names are imported when they are first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgewright.benchmarks.compare.comparison import Comparison, compare_models
    from edgewright.benchmarks.record.record import Record, read_record, write_record
    from edgewright.benchmarks.report.facts import Report
    from edgewright.benchmarks.report.writers import write_report
    from edgewright.benchmarks.runner import Options, bench

__all__ = [
    "Comparison",
    "Options",
    "Record",
    "Report",
    "bench",
    "compare_models",
    "read_record",
    "write_record",
    "write_report",
]

_HOME = {
    "Comparison": "compare.comparison",
    "Options": "runner",
    "Record": "record.record",
    "Report": "report.facts",
    "bench": "runner",
    "compare_models": "compare.comparison",
    "read_record": "record.record",
    "write_record": "record.record",
    "write_report": "report.writers",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
