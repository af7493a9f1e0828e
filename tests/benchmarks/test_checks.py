"""What `edgewright doctor` is told of the targets."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgewright.benchmarks import checks, targets
from edgewright.benchmarks.targets.arm64 import machine
from edgewright.benchmarks.targets.ethos_u import TARGET
from edgewright.benchmarks.targets.gpu import vulkan
from edgewright.runtime import plugins


def test_doctor_lines_of_a_target_that_lacks_something(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv(machine.SYSROOT, raising=False)
    monkeypatch.setattr(plugins, "installed", lambda module: False)
    adb, arm64, browser, ethos_u, gpu, micro, ssh = checks.lines()
    assert adb == "target adb needs adb (install Android's platform-tools; on Debian: adb)"
    assert ssh == "target ssh needs ssh (install OpenSSH's client); pip or uv"
    assert arm64.startswith("target arm64 needs apt-get (Debian, Ubuntu)")
    assert "pip or uv" in arm64
    assert ethos_u == "target ethos-u needs ethos-u-vela; run: pip install 'edgewright[ethos-u]'"
    assert TARGET.missing() in ethos_u
    assert gpu == "target gpu needs ai-edge-litert; run: pip install 'edgewright[tflite]'"
    assert browser.startswith("target browser needs npm (install nodejs and npm), or --assets DIR")
    assert micro.startswith("target micro needs tflite-micro; run: pip install 'edgewright[micro]'")


def test_doctor_lines_are_none_where_all_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "missing", lambda: "")
    monkeypatch.setattr(vulkan, "missing", lambda: "")
    monkeypatch.setattr(targets.get("adb"), "missing", lambda: "")
    monkeypatch.setattr(plugins, "installed", lambda module: True)
    assert checks.lines() == []
