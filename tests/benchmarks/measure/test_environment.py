"""The circumstances beside every figure: complete, true of this machine, and fit for JSON."""

from __future__ import annotations

import json
import os
import platform
from importlib import metadata
from pathlib import Path

import pytest

from edgewright.benchmarks.measure.environment import describe


def test_environment_describe_says_what_decides_a_latency() -> None:
    found = describe()
    assert found["cpu"] not in ("", "unknown")
    assert found["cores"] == os.cpu_count()
    assert found["cores_allowed"] == len(os.sched_getaffinity(0))
    assert found["load_1min"] >= 0
    assert (found["machine"], found["python"]) == (platform.machine(), platform.python_version())


def test_environment_isa_flags_are_those_of_this_cpu() -> None:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    listed = set(next(line for line in lines if line.startswith(("flags", "Features"))).split())
    assert set(describe()["isa"]) <= listed
    for flag in ("avx2", "avx512_vnni", "asimd"):
        assert (flag in describe()["isa"]) == (flag in listed)


def test_environment_versions_are_the_installed_ones() -> None:
    found = describe()["versions"]
    assert found == {package: metadata.version(package) for package in found}
    assert {"ai-edge-litert", "onnxruntime", "numpy", "edgewright"} <= set(found)


def test_environment_can_be_written_as_json() -> None:
    found = describe()
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_environment_version_of_a_package_that_is_not_installed_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.path", [])
    assert set(describe()["versions"].values()) == {None}
