"""Measuring here: each variant in a fresh process, every stage sampled, nothing thrown away."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from edgewright.benchmarks.measure import environment
from edgewright.benchmarks.record.measurement import Measurement, Plan
from edgewright.benchmarks.targets import local
from edgewright.benchmarks.targets.local import TARGET
from edgewright.export.exporter import Result
from edgewright.runtime import Bundle
from edgewright.runtime.errors import BundleError, EdgewrightError, UnknownNameError
from edgewright.runtime.machine.child import ChildProcess
from edgewright.runtime.trust import process

SHORT = Plan(runs=200, seconds=0.05, warmup_seconds=0.02, end_to_end_runs=40, end_to_end_seconds=9)
PARTS = {"decode", "preprocess", "invoke", "postprocess"}
STAGES = {"import", "load", "first_run", "warm_up", "warm_run", "jpeg_to_label", "png_to_label", *PARTS}


@pytest.fixture(scope="module", params=["tflite-int8", "onnx-float32"])
def found(request: pytest.FixtureRequest, exported: tuple[Path, Result]) -> Measurement:
    return TARGET.run(Bundle.open(exported[0]), request.param, SHORT)


def test_local_target_has_as_many_samples_of_every_stage_as_planned(found: Measurement) -> None:
    counts = {stage: len(samples) for stage, samples in found.samples_ns.items()}
    assert set(counts) == STAGES
    assert counts["import"] == counts["load"] == counts["first_run"] == 1
    assert counts["warm_up"] >= 1
    assert SHORT.runs <= counts["warm_run"] * found.calls_per_sample <= found.queries <= SHORT.most_runs * 2
    assert {counts[part] for part in PARTS} == {16}  # the golden images
    assert counts["jpeg_to_label"] == counts["png_to_label"] == SHORT.end_to_end_runs


def test_local_target_samples_are_whole_nanoseconds_of_some_plausible_length(found: Measurement) -> None:
    for samples in found.samples_ns.values():
        assert all(type(sample) is int and 0 < sample < 60 * 10**9 for sample in samples)
    warm = sorted(found.samples_ns["warm_run"])
    assert warm[len(warm) // 2] < found.samples_ns["load"][0]


def test_local_target_png_to_label_takes_longer_than_the_inference_alone(found: Measurement) -> None:
    warm, whole = (sorted(found.samples_ns[stage]) for stage in ("warm_run", "png_to_label"))
    assert whole[len(whole) // 2] > warm[len(warm) // 2]


def test_local_target_rss_is_that_of_the_measuring_process_alone(found: Measurement) -> None:
    assert 10 * 2**20 < found.base_rss_bytes < found.peak_rss_bytes < 500 * 2**20


def test_local_target_says_what_was_measured_where(found: Measurement) -> None:
    assert found.target == "local"
    assert found.threads == 1
    assert found.kernels == {"tflite-int8": "xnnpack", "onnx-float32": "onnxruntime-cpu"}[found.variant]
    assert found.environment["cpu"]
    assert json.loads(json.dumps(dataclasses.asdict(found))) == dataclasses.asdict(found)


def test_local_target_stages_of_jpeg_to_label_make_up_the_whole(found: Measurement) -> None:
    middle = {stage: sorted(samples)[len(samples) // 2] for stage, samples in found.samples_ns.items()}
    assert 0.3 < sum(middle[part] for part in PARTS) / middle["jpeg_to_label"] < 3


def test_local_target_throughput_is_of_all_cores(found: Measurement) -> None:
    assert found.counts["inferences_per_second"][0] > 100


def test_local_target_time_limits_are_kept_and_what_is_kept_is_spread_over_the_time(
    exported: tuple[Path, Result],
) -> None:
    plan = dataclasses.replace(SHORT, runs=10, seconds=0.3, most_runs=300, end_to_end_seconds=0.0)
    found = TARGET.run(Bundle.open(exported[0]), "tflite-int8", plan)
    assert len(found.samples_ns["warm_run"]) <= 600
    assert found.queries > 600  # 8 us each for 0.3 s
    assert len(found.samples_ns["jpeg_to_label"]) == 16


def test_local_target_unknown_variant_gets_the_nearest_one(exported: tuple[Path, Result]) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'tflite-int8'"):
        TARGET.run(Bundle.open(exported[0]), "tflite-int88", SHORT)


@pytest.mark.parametrize("file", ["tflite-int8.tflite", "golden.npz"])
def test_local_target_names_a_damaged_file_once_and_does_not_measure_it(bundle: Path, file: str) -> None:
    opened = Bundle.open(bundle)
    raw = bytearray((bundle / file).read_bytes())
    raw[len(raw) // 2] ^= 1
    (bundle / file).write_bytes(raw)
    with pytest.raises(EdgewrightError) as refused:
        TARGET.run(opened, "tflite-int8", SHORT)
    assert f"{file} is damaged" in str(refused.value)
    assert not str(refused.value).startswith("edgewright: ")
    assert isinstance(refused.value, BundleError) or file == "golden.npz"


def test_local_target_times_a_file_that_nobody_vouched_for_apart(
    exported: tuple[Path, Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEWRIGHT_CACHE", str(tmp_path))
    started, start = [], process.start

    def noting(function: str, *words: Any, **more: Any) -> ChildProcess:
        started.append(function.partition(":")[2])
        return start(function, *words, **more)

    monkeypatch.setattr(process, "start", noting)
    found = TARGET.run(Bundle.open(exported[0]), "tflite-int8", SHORT)
    assert started == ["main", "apart"]  # tried out, then timed
    assert set(found.samples_ns) == STAGES
    assert (found.target, found.kernels) == ("local", "xnnpack")
    assert found.environment["isa"] == environment.describe()["isa"]
    warm = sorted(found.samples_ns["warm_run"])
    assert warm[len(warm) // 2] < 2e5  # the way to this process is not in it


@pytest.mark.parametrize(
    "said",
    ["[]", "[" * 10**5, "{}", '{"samples_ns": {"warm_run": [1e400]}}', '{"variant": 3}', "x" * 2**20],
    ids=lambda said: said[:20],
)
def test_local_target_does_not_believe_what_a_process_apart_says(
    exported: tuple[Path, Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    monkeypatch.setenv("EDGEWRIGHT_CACHE", str(tmp_path))
    monkeypatch.setattr(local, "_patience", lambda *words: 20.0)
    code = f"print({said!r})" if len(said) < 10**4 else f"print({said[0]!r} * {len(said)})"
    monkeypatch.setattr(
        process, "start", lambda *words, **more: ChildProcess([sys.executable, "-I", "-c", code], log=True)
    )
    with pytest.raises(EdgewrightError) as refused:
        TARGET.run(Bundle.open(exported[0]), "tflite-int8", SHORT)
    assert len(str(refused.value)) < 300


def test_local_target_a_file_that_never_ends_is_not_waited_for(
    exported: tuple[Path, Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEWRIGHT_CACHE", str(tmp_path))
    monkeypatch.setattr(local, "_patience", lambda *words: 0.2)
    with pytest.raises(EdgewrightError, match="measuring tflite-int8 takes more than 0 s"):
        TARGET.run(Bundle.open(exported[0]), "tflite-int8", SHORT)
