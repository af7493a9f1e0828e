"""A machine that is set up once a session, for the slow tests, and systems that lack what it needs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edgewright.benchmarks.targets import _apt
from edgewright.benchmarks.targets.arm64 import machine
from edgewright.benchmarks.targets.arm64.machine import Machine

Tools = Callable[..., None]


@pytest.fixture(scope="session")
def machine_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder with the machine in it."""
    if not _apt.available():
        pytest.skip("apt, which brings the emulated machine, is not here")
    folder = tmp_path_factory.mktemp("machine-cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGEWRIGHT_CACHE", str(folder))
        machine.ready()
    return folder


@pytest.fixture
def emulated(machine_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setenv("EDGEWRIGHT_CACHE", str(machine_cache))
    return machine.ready()


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tools:
    """Let PATH hold nothing but the shell scripts given by name."""
    folder = tmp_path / "tools"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv(machine.SYSROOT, raising=False)

    def put(**scripts: str) -> None:
        for name, script in scripts.items():
            file = folder / name.replace("_", "-")
            file.write_text(f"#!/bin/sh\n{script}\n")
            file.chmod(0o755)

    return put
