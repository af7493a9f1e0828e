"""Child processes do not run what lies in the user's folder under the name of a standard module."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edgewright.benchmarks.record import measurement

Run = Callable[..., tuple[int, str, str]]


@pytest.mark.slow
@pytest.mark.usefixtures("cold")
def test_child_processes_do_not_import_a_users_own_modules(
    trained: Path, bundle: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("queue", "grp", "signal"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('user code ran')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(measurement, "PROCESSES", 1)
    words = ["export", trained, "--out", tmp_path / "new", "--variants", "tflite-float32"]
    assert run(*words)[::2] == (0, "")
    words = ["--variants", "tflite-int8", "--seconds", "0.1", "--out", tmp_path / "b.json"]
    assert run("bench", bundle, *words)[::2] == (0, "")
