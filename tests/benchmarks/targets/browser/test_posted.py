"""What a device posts is judged: scores become verdicts, samples measurements, all else is an error."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from edgewright.benchmarks.measure import environment
from edgewright.benchmarks.record.record import same_machine
from edgewright.benchmarks.targets.browser import posted
from edgewright.benchmarks.targets.browser.work import MOST_SAMPLES, Work
from edgewright.runtime.errors import TargetError

VERSIONS = {"@litertjs/core": "2.5.3"}
DEVICE: dict[str, Any] = {
    "key": "0123456789ab",
    "name": "a phone",
    "browser": "Chrome 156",
    "system": "Android 14",
    "user_agent": "x",
    "cores": 8,
    "clock_step_ns": 5000,
    "isolated": True,
    "secure": True,
    "mobile": True,
    "gpu": "",
    "gpu_software": False,
}


@pytest.fixture
def told(work: Work) -> dict[str, Any]:
    """What a device posts that computes as this machine does, every file as fast."""
    names = [entry.name for entry in work.variants]
    level = {"tflite-int8": 2}
    return {
        "device": DEVICE,
        "whole": True,
        "checks": [
            {"variant": name, "accelerator": "wasm", "scores": work.expected[name].ravel().tolist()}
            for name in names
        ],
        "measurements": [
            {
                "variant": name,
                "accelerator": "wasm",
                "threads": 1,
                "calls_per_sample": 40,
                "queries": 800,
                "samples_ns": {
                    "import": [10**8],
                    "load": [10**6],
                    "first_run": [10**5],
                    "warm_up": [10**5] * 3,
                    "warm_run": [level.get(name, 1) * (10**5 + 100 * turn + i) for i in range(20)],
                },
            }
            for turn in range(6)
            for name in names
        ],
    }


def read(told: Any, work: Work, here: bool = False) -> posted.Results:
    return posted.results(json.dumps(told).encode(), work, environment.describe(), VERSIONS, here)


def test_device_gets_measurements_of_its_own(told: dict[str, Any], work: Work) -> None:
    found = read(told, work)
    assert len(found.measurements) == 18
    first = found.measurements[0]
    assert (first.variant, first.target, first.kernels) == ("tflite-float32", "browser", "litert.js-wasm")
    assert first.environment["cpu"] == "a phone (Chrome 156)"
    assert first.environment["cores"] == 8
    assert first.environment["versions"]["@litertjs/core"] == "2.5.3"
    assert not same_machine(first.environment, environment.describe())
    assert first.check is not None
    assert (first.check.verdict, first.check.agreement, first.check.max_abs_error) == ("right", 1.0, 0.0)
    assert first.calls_per_sample == 40
    assert "a sample is the mean of 40 runs" in first.notes[0]


def test_page_on_this_machine_is_of_this_machine_but_for_a_phone_behind_a_cable(
    told: dict[str, Any], work: Work
) -> None:
    assert not same_machine(read(told, work, here=True).measurements[0].environment, environment.describe())
    told["device"] = {**DEVICE, "mobile": False}
    found = read(told, work, here=True).measurements[0]
    assert same_machine(found.environment, environment.describe())
    assert found.environment["browser"] == "Chrome 156"


def test_slower_smaller_file_is_said(told: dict[str, Any], work: Work) -> None:
    found = [m for m in read(told, work).measurements if m.variant == "tflite-int8"]
    assert (
        found[0].notes[-1]
        == "int8 is slower than float32 in this browser: 2.00 times its time (2.00 to 2.00)"
    )
    for m in told["measurements"]:
        m["samples_ns"]["warm_run"] = [10**5] * 20
    assert not any("slower" in note for m in read(told, work).measurements for note in m.notes)


@pytest.mark.parametrize(
    ("step", "verdict"), [(0.0, "right"), (5e-6, "right"), (0.01, "wrong"), (1.0, "wrong")]
)
def test_verdict_is_by_the_recorded_tolerance(
    told: dict[str, Any], work: Work, step: float, verdict: str
) -> None:
    told["checks"][0]["scores"][0] += step
    found = read(told, work).measurements[0]
    assert found.check is not None
    assert found.check.verdict == verdict
    assert found.check.max_abs_error == pytest.approx(step, abs=1e-7)
    assert any("does not give what was recorded" in note for note in found.notes) == (verdict == "wrong")


def test_file_that_does_not_run_there_is_told_and_has_no_rows(told: dict[str, Any], work: Work) -> None:
    told["checks"][0] = {"variant": "tflite-float32", "accelerator": "wasm", "refused": "no\n\x1b[31mmemory"}
    told["measurements"] = [m for m in told["measurements"] if m["variant"] != "tflite-float32"]
    found = read(told, work)
    assert found.refused == {"tflite-float32": "no  [31mmemory"}
    assert {m.variant for m in found.measurements} == {"tflite-int8", "onnx-int8"}


GPU = {**DEVICE, "gpu": "Adreno 740"}


def _on_gpu(told: dict[str, Any], work: Work, software: bool = False, **check: Any) -> dict[str, Any]:
    """The same of a device that ran tflite-int8 in WebGPU, too, twice as fast."""
    name = "tflite-int8"
    told = copy.deepcopy(told)
    told["device"] = {**GPU, "gpu_software": software}
    scores = work.expected[name].ravel().tolist()
    told["checks"].append(
        {"variant": name, "accelerator": "webgpu", "scores": scores, "whole": True, **check}
    )
    if not software:
        more = [copy.deepcopy(m) for m in told["measurements"] if m["variant"] == name]
        for m in more:
            m["accelerator"] = "webgpu"
            m["samples_ns"]["warm_run"] = [ns // 4 for ns in m["samples_ns"]["warm_run"]]
        told["measurements"] += more
    return told


def _rows(found: posted.Results) -> list[Any]:
    return [m for m in found.measurements if m.target == "browser-webgpu"]


def test_gpu_has_rows_of_its_own(told: dict[str, Any], work: Work) -> None:
    found = _rows(read(_on_gpu(told, work), work))
    assert [(m.variant, m.threads, m.kernels) for m in found] == [("tflite-int8", 1, "litert.js-webgpu")] * 6
    assert found[0].check is not None
    assert (found[0].check.verdict, found[0].check.images) == ("right", 16)
    assert found[0].environment["gpu"] == "Adreno 740"


def test_gpu_in_software_has_answers_and_no_times(told: dict[str, Any], work: Work) -> None:
    posts = _on_gpu(told, work, software=True)
    few = work.expected["tflite-int8"].shape[1] * 3
    posts["checks"][-1]["scores"] = posts["checks"][-1]["scores"][:few]
    (found,) = _rows(read(posts, work))
    assert found.samples_ns == {}
    assert found.check is not None
    assert (found.check.verdict, found.check.images) == ("right", 3)
    assert found.notes == ["WebGPU ran in software: Adreno 740; its answers are checked, and no times taken"]
    posts["measurements"][-1] |= {"variant": "tflite-int8", "accelerator": "webgpu"}
    with pytest.raises(TargetError, match="a number that was asked for"):
        read(posts, work)


def test_what_a_gpu_gets_wrong_or_dies_of_is_named(told: dict[str, Any], work: Work) -> None:
    scores = work.expected["tflite-int8"][:, ::-1].ravel().tolist()
    first, *_ = _rows(read(_on_gpu(told, work, scores=scores), work))
    assert first.check is not None
    assert first.check.verdict == "wrong"
    assert first.check.remedy.startswith("run it on the CPU, or take tflite-float32")
    assert any(
        "tflite-int8 is wrong in this browser's WebGPU: scores are off" in note for note in first.notes
    )
    posts = _on_gpu(told, work, software=True, died="device lost")
    (dead,) = _rows(read(posts, work))
    assert dead.check is not None
    assert (dead.check.verdict, dead.check.images) == ("wrong", 0)
    assert dead.notes[0] == "tflite-int8 ends the browser's WebGPU: device lost"


def test_what_a_gpu_does_not_take_is_told_and_has_no_row(told: dict[str, Any], work: Work) -> None:
    posts = _on_gpu(told, work, software=True)
    posts["checks"][-1] = {"variant": "onnx-int8", "accelerator": "webgpu", "refused": "no kernel"}
    found = read(posts, work)
    assert found.refused == {"onnx-int8 (WebGPU)": "no kernel"}
    assert _rows(found) == []
    assert len(found.measurements) == 18


def test_what_stays_in_webassembly_is_said(told: dict[str, Any], work: Work) -> None:
    first, *_ = _rows(read(_on_gpu(told, work, whole=False), work))
    assert first.notes[0].startswith("tflite-int8 stays in WebAssembly in part")


def _change(*path: Any, to: Any) -> Callable[[dict[str, Any]], None]:
    def do(told: dict[str, Any]) -> None:
        for key in path[:-1]:
            told = told[key]
        told[path[-1]] = to

    return do


@pytest.mark.parametrize(
    "change",
    [
        _change("device", to=None),
        _change("device", to={**DEVICE, "key": "a b"}),
        _change("device", to={**DEVICE, "cores": -1}),
        _change("device", to={**DEVICE, "secure": "yes"}),
        _change("whole", to="yes"),
        _change("checks", to=[]),
        _change("checks", 0, "accelerator", to="webgpu"),
        _change("checks", 0, "accelerator", to="npu"),
        _change("checks", 0, "variant", to="../../etc/passwd"),
        _change("checks", 0, "scores", to=[]),
        _change("checks", 0, "scores", to=[0.5] * 10_000),
        _change("checks", 0, "scores", 0, to=None),
        _change("checks", 0, "scores", 0, to="1"),
        _change("checks", 0, "scores", 0, to=True),
        _change("checks", 0, "scores", 0, to=float("nan")),
        _change("checks", 0, "scores", 0, to=float("inf")),
        _change("checks", 0, "scores", 0, to=10**400),
        _change("measurements", 0, "variant", to="tflite-int4"),
        _change("measurements", 0, "threads", to=2),
        _change("measurements", 0, "accelerator", to="webgpu"),
        _change("measurements", 0, "calls_per_sample", to=0),
        _change("measurements", 0, "queries", to=1.5),
        _change("measurements", 0, "samples_ns", to={}),
        _change("measurements", 0, "samples_ns", "more", to=[1]),
        _change("measurements", 0, "samples_ns", "load", to=[]),
        _change("measurements", 0, "samples_ns", "load", to=[-1]),
        _change("measurements", 0, "samples_ns", "load", to=[0.5]),
        _change("measurements", 0, "samples_ns", "warm_run", to=[10**400]),
        _change("measurements", 0, "samples_ns", "warm_run", to=[1] * (MOST_SAMPLES + 1)),
        lambda told: told["measurements"].append(copy.deepcopy(told["measurements"][0])),
        lambda told: told["measurements"].extend(told["measurements"] * 100),
    ],
)
def test_what_is_not_as_it_should_be_is_refused(
    told: dict[str, Any], work: Work, change: Callable[[dict[str, Any]], None]
) -> None:
    told = json.loads(json.dumps(told))
    change(told)
    with pytest.raises(TargetError) as refused:
        read(told, work)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 400
