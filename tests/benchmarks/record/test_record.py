"""Figures are derived from raw samples, in one place, and from what was written as from what was measured."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from edgewright.benchmarks.record import record
from edgewright.benchmarks.record.measurement import Check
from edgewright.runtime.errors import BundleError

KEY = ("tflite-int8", "local", 1)


def test_record_figures_of_every_stage_are_in_milliseconds(made: SimpleNamespace) -> None:
    found = made.record(made.timed()).figures(KEY)
    assert found["p50"].unit == "ms"
    assert found["p50"].estimate.value == pytest.approx(0.01, rel=0.02)
    assert found["load"].estimate.value == pytest.approx(1, rel=0.05)
    assert {*record.TIMES, "peak_rss", "bytes", "macs", "peak_share", "inferences_per_second"} == set(found)
    for figure in found.values():
        assert figure.estimate.low <= figure.estimate.value <= figure.estimate.high


def test_record_peak_share_is_by_what_the_variant_computes_with(made: SimpleNamespace) -> None:
    """203,264 of 400e9 a second are 0.508 us, which is 5.08 % of 10 us; of 100e9 20.3 %."""
    assert made.record(made.timed()).figures(KEY)["peak_share"].estimate.value == pytest.approx(
        5.08, rel=0.02
    )
    floats = made.record(made.timed("onnx-float32")).figures(("onnx-float32", "local", 1))
    assert floats["peak_share"].estimate.value == pytest.approx(20.3, rel=0.02)
    other = made.record(made.timed(threads=2)).figures(("tflite-int8", "local", 2))
    assert "peak_share" not in other  # the peak of two threads was not measured


def test_record_figures_of_a_target_that_takes_no_time_are_counts(made: SimpleNamespace) -> None:
    found = made.record(made.counted()).figures(("tflite-int8", "arm64", 1))
    assert set(found) == {"a76_instructions", "a76_golden_max_abs_error", "bytes", "macs"}
    assert found["a76_instructions"].estimate.value == 458_292
    assert found["a76_instructions"].unit == "instructions"


def test_record_speeds_are_times_and_without_them_instructions(made: SimpleNamespace) -> None:
    assert list(record.speeds(made.timed())) == ["p50"]
    assert len(record.speeds(made.timed())["p50"]) == 6
    assert record.speeds(made.counted()) == {"a76_instructions": [458_292.0] * 16}
    assert record.speeds([]) == {}


def written(made: SimpleNamespace, path: Path, **changes: object) -> Path:
    data = {
        "schema_version": 1,
        **dataclasses.asdict(made.record([*made.timed(), *made.counted()])),
        **changes,
    }
    path.write_text(json.dumps(data))
    return path


def test_read_record_gives_back_what_was_written(made: SimpleNamespace, tmp_path: Path) -> None:
    found = record.read_record(written(made, tmp_path / "bench.json"))
    assert found == made.record([*made.timed(), *made.counted()])


def test_read_record_keeps_what_was_checked_against_the_cpu(made: SimpleNamespace, tmp_path: Path) -> None:
    check = Check(images=64, max_abs_error=0.3, agreement=0.5, verdict="wrong", first_wrong_op="CONV_2D")
    measured = [dataclasses.replace(m, check=check) for m in made.counted()]
    path = tmp_path / "bench.json"
    record.write_record(path, made.record(measured))
    assert record.read_record(path).measurements[0].check == check
    path.write_text(path.read_text().replace('"wrong"', '"fine"'))
    with pytest.raises(BundleError, match="expected 'verdict' to be one of right, differs, wrong"):
        record.read_record(path)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"schema_version": 2}, "newer edgewright"),
        ({"environment": {}}, "expected 'cpu' to be a string"),
        ({"measurements": [{}]}, "expected 'samples_ns' to be"),
        ({"measurements": 7}, "expected 'measurements' to be"),
        ({"bundle": None}, "expected 'bundle' to be a string"),
        ({"peaks": {"one": {}}}, "expected 'peaks' to be"),
        ({"peaks": {"1": {"int8": "fast"}}}, "expected 'int8' to be"),
    ],
)
def test_read_record_names_a_broken_file(
    made: SimpleNamespace, tmp_path: Path, changes: dict[str, object], says: str
) -> None:
    with pytest.raises(BundleError, match=says):
        record.read_record(written(made, tmp_path / "bench.json", **changes))


def test_read_record_of_an_older_version_has_figures_too(made: SimpleNamespace, tmp_path: Path) -> None:
    old = [dataclasses.asdict(m) for m in made.timed()]
    models = {"tflite-int8": {"bytes": 214_306, "macs": 203_264}}  # before they said the arithmetic
    for measured in old:
        for key in ("counts", "notes", "calls_per_sample", "queries"):
            del measured[key]
        for part in ("decode", "preprocess", "invoke", "postprocess"):
            del measured["samples_ns"][part]
    data = {"schema_version": 1, "bundle": "fashion-mlp", "environment": made.MACHINE}
    data |= {"measurements": old, "models": models, "peaks": {"1": {"int8": 400e9}}}
    (tmp_path / "old.json").write_text(json.dumps(data))
    found = record.read_record(tmp_path / "old.json").figures(KEY)
    assert set(found) == {
        "load",
        "first_run",
        "p50",
        "p90",
        "p99",
        "jpeg_to_label",
        "png_to_label",
        "peak_rss",
        "bytes",
        "macs",
    }
