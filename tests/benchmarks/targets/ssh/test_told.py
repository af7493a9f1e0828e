"""What a device tells is judged: what is not as it should be is one line, and no measurement."""

from __future__ import annotations

import copy
import dataclasses
import io
import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgewright.benchmarks.record.measurement import Plan
from edgewright.benchmarks.targets.ssh import told
from edgewright.runtime.disk.jsonio import JsonObject
from edgewright.runtime.errors import TargetError
from edgewright.runtime.machine.child import send

AT = "pi@kitchen"
LOOK: dict[str, Any] = {
    "python": "3.13.5",
    "system": "linux",
    "platform": "linux-aarch64",
    "bits": 64,
    "libc": "glibc 2.41",
    "model": "Raspberry Pi 5 Model B Rev 1.0",
    "venv": True,
    "boot": "b",
    "free": 10**9,
}
WATCHED: dict[str, Any] = {"celsius": [60.0, 61.5], "mhz": [2400.0], "throttled": [0, 0]}


def look(**changes: Any) -> told.Device:
    return told.device(JsonObject({**LOOK, **changes}, "a device", TargetError), AT)


@pytest.fixture
def measured(made: SimpleNamespace) -> dict[str, Any]:
    one = dataclasses.asdict(made.timed(processes=1)[0])
    one["environment"] = {**one["environment"], "isa": ["asimd"], "governor": "ondemand", "python": "3.13.5"}
    found: dict[str, Any] = json.loads(json.dumps(one))
    return found


def read(measured: dict[str, Any], **watched: Any) -> Any:
    seen = JsonObject({**WATCHED, **watched}, "a device", TargetError)
    return told.measurement(json.dumps(measured).encode(), seen, AT, "tflite-int8", Plan())


def test_device_is_what_wheels_are_chosen_by() -> None:
    found = look()
    assert (found.python, found.machine, found.glibc) == ("3.13", "aarch64", 41)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"system": "darwin"}, "expected Linux on pi@kitchen, got darwin"),
        ({"bits": 32}, "expected a 64-bit Python on pi@kitchen, got one of 32 bits"),
        ({"libc": ""}, "expected glibc on pi@kitchen, got another C library"),
        ({"libc": "glibc 2.x"}, "expected glibc"),
        ({"venv": False}, "expected Python's module venv on pi@kitchen, got none"),
        ({"python": "3.9.2"}, "'python' to be 3.11 or newer"),
        ({"python": "three"}, "'python' to be a version"),
        ({"platform": "linux-../../etc"}, "on a known processor"),
        ({"free": -1}, "'free'"),
        ({"model": 5}, "'model'"),
    ],
)
def test_device_that_cannot_be_measured_on_is_told_why(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(TargetError) as refused:
        look(**changes)
    assert said in str(refused.value)


def test_measurement_is_of_the_device_with_its_heat_and_clock(measured: dict[str, Any]) -> None:
    found = read(measured)
    assert (found.target, found.variant, found.threads) == ("ssh", "tflite-int8", 1)
    assert found.samples_ns["warm_run"] == measured["samples_ns"]["warm_run"]
    assert found.counts["cpu_celsius"] == [60.0, 61.5]
    assert found.counts["cpu_mhz"] == [2400.0]
    assert found.notes == []
    named = told.named(found.environment, look(), AT, "another boot")
    assert (named["cpu"], named["processor"]) == ("Raspberry Pi 5 Model B Rev 1.0 (kitchen)", "A CPU")
    assert told.named(found.environment, look(model=""), AT, "")["cpu"] == "A CPU (kitchen)"
    assert told.named(found.environment, look(), AT, "b")["cpu"] == "A CPU"  # it is this machine


@pytest.mark.parametrize(
    ("before", "after", "causes"),
    [
        (0, 0, ""),
        (0x50000, 0x50000, ""),  # long ago
        (0, 0x40000, "a slowed clock"),
        (0x50000, 0x50005, "under-voltage, a slowed clock"),
    ],
)
def test_raspberry_that_holds_itself_back_is_noted(
    measured: dict[str, Any], before: int, after: int, causes: str
) -> None:
    notes = read(measured, throttled=[before, after]).notes
    assert notes == ([f"the device held itself back (vcgencmd get_throttled): {causes}"] if causes else [])


def _change(*path: Any, to: Any) -> Callable[[dict[str, Any]], None]:
    def do(data: dict[str, Any]) -> None:
        for key in path[:-1]:
            data = data[key]
        data[path[-1]] = to

    return do


@pytest.mark.parametrize(
    "change",
    [
        _change("variant", to="another"),
        _change("threads", to=2),
        _change("threads", to=True),
        _change("kernels", to=None),
        _change("samples_ns", to=[]),
        _change("samples_ns", "warm_run", to=[]),
        _change("samples_ns", "warm_run", to=[1.5]),
        _change("samples_ns", "warm_run", to=[-1]),
        _change("samples_ns", "warm_run", to=[10**400]),
        _change("samples_ns", "sleep", to=[1]),
        _change("counts", "money", to=[1.0]),
        _change("counts", "inferences_per_second", to=[float("nan")]),
        _change("peak_rss_bytes", to=-1),
        _change("calls_per_sample", to=0),
        _change("notes", to=["x"] * 1000),
        _change("notes", to="x"),
        _change("environment", to=None),
        _change("environment", "cpu", to=None),
        _change("environment", "cores", to=-4),
        _change("environment", "load_1min", to=float("inf")),
        _change("environment", "isa", to=["x"] * 1000),
        _change("environment", "versions", to={str(i): "1" for i in range(1000)}),
    ],
)
def test_measurement_that_is_not_as_it_should_be_is_refused(
    measured: dict[str, Any], change: Callable[[dict[str, Any]], None]
) -> None:
    measured = copy.deepcopy(measured)
    change(measured)
    with pytest.raises(TargetError) as refused:
        read(measured)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 400


def test_texts_of_a_device_are_plain_and_short(measured: dict[str, Any]) -> None:
    measured["environment"]["cpu"] = "a\x1b[31m\n" + "x" * 10_000
    measured["environment"]["isa"] = ["asimd", "rm -rf"]
    found = read(measured)
    assert found.environment["cpu"].startswith("a [31m x")
    assert len(found.environment["cpu"]) == 300
    assert found.environment["isa"] == ["asimd"]


@pytest.mark.parametrize(
    "watched",
    [
        {"celsius": ["hot"]},
        {"celsius": [1e9]},
        {"mhz": [float("nan")]},
        {"throttled": [1]},
        {"throttled": [0, 2**40]},
    ],
)
def test_heat_that_makes_no_sense_is_refused(measured: dict[str, Any], watched: dict[str, Any]) -> None:
    with pytest.raises(TargetError):
        read(measured, **watched)


@pytest.mark.parametrize("raw", [b"", b"[]", b"[" * 10**6, b"\xff", b"{}"])
def test_what_is_no_measurement_is_refused(raw: bytes) -> None:
    with pytest.raises(TargetError):
        told.measurement(raw, JsonObject(WATCHED, "a device", TargetError), AT, "tflite-int8", Plan())


def _scores(shape: list[int], raw: bytes) -> bytes:
    memory = io.BytesIO()
    send(memory, {"kernels": "xnnpack", "shape": shape}, raw)
    return memory.getvalue()


def test_scores_are_as_many_as_were_asked_for() -> None:
    given = np.arange(6, dtype="<f4")
    kernels, found = told.scores(_scores([3, 2], given.tobytes()), AT, 3, 2)
    assert kernels == "xnnpack"
    assert found.tolist() == given.reshape(3, 2).tolist()


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"no json\n",
        b"[" * 10**5 + b"\n",
        _scores([3, 2], bytes(20)),
        _scores([2, 3], bytes(24)),
        _scores([3, 2], bytes(28)),
        _scores([3, 2], np.full(6, np.nan, "<f4").tobytes()),
    ],
)
def test_other_scores_are_refused(raw: bytes) -> None:
    with pytest.raises(TargetError):
        told.scores(raw, AT, 3, 2)


@pytest.mark.parametrize("lacking", [["x"], ["a", "a", "a"], "a", [1]])
def test_device_may_lack_only_what_was_asked_for(lacking: Any) -> None:
    obj = JsonObject({"lacking": lacking}, "a device", TargetError)
    with pytest.raises(TargetError):
        told.lacking(obj, ["a", "b"])
