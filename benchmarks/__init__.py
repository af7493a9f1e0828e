"""Measures exported models where they will run, without TensorFlow.

    from edgewright.benchmarks import Options, bench, compare_models, write_report

    record = bench("bundle", Options(variants=("tflite-int8",), threads=(1, 2)))
    for key in record.by_key():
        print(key, record.figures(key)["p50"].estimate)  # milliseconds, with its 95 % interval
    print(compare_models("bundle:tflite-int8", "bundle:onnx-int8").verdict())

Names are imported when they are first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgewright.runtime import plugins

if TYPE_CHECKING:
    from edgewright.benchmarks.compare.comparison import Comparison, compare_models
    from edgewright.benchmarks.record.record import Record, read_record, write_record
    from edgewright.benchmarks.report.facts import Report
    from edgewright.benchmarks.report.writers import write_report
    from edgewright.benchmarks.runner import Options, bench
    from edgewright.benchmarks.tuning.tuner import TuneOptions, Tuning, tune

__all__ = ["Comparison", "Options", "Record", "Report", "TuneOptions", "Tuning"]
__all__ += ["bench", "compare_models", "read_record", "tune", "write_record", "write_report"]

_HOME = {
    "edgewright.benchmarks.compare.comparison": ("Comparison", "compare_models"),
    "edgewright.benchmarks.record.record": ("Record", "read_record", "write_record"),
    "edgewright.benchmarks.report.facts": ("Report",),
    "edgewright.benchmarks.report.writers": ("write_report",),
    "edgewright.benchmarks.runner": ("Options", "bench"),
    "edgewright.benchmarks.tuning.tuner": ("TuneOptions", "Tuning", "tune"),
}

__getattr__ = plugins.lazy(__name__, _HOME)
