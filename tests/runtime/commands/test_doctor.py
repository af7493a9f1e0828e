"""`edgewright doctor`: says what works, and for what does not the command that cures it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgewright.runtime import backends, plugins

Run = Callable[..., tuple[int, str, str]]
Fresh = Callable[..., Any]


def test_doctor_says_what_works_with_its_version_and_kernels(run: Run) -> None:
    status, out, err = run("doctor", "--json")
    assert (status, err) == (0, "")
    told = json.loads(out)
    found = {entry["backend"]: entry for entry in told["backends"]}
    assert set(found) == set(plugins.names("edgewright.runtime.backends"))
    for name, entry in found.items():
        if name in backends.BY_NAME_ONLY and not backends.get(name).available():
            continue
        assert entry["works"]
        assert entry["remedy"] == ""
        assert entry["version"][0].isdigit()
    assert found["litert"]["kernels"] in ("xnnpack", "builtin")
    assert "CPUExecutionProvider" in found["ort"]["offers"]
    assert told["cores"] >= 1


def test_doctor_table_names_every_backend(run: Run) -> None:
    status, out, err = run("doctor")
    assert (status, err) == (0, "")
    assert "ai-edge-litert" in out
    assert "onnxruntime" in out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("package", "extra"), [("ai_edge_litert", "tflite"), ("onnxruntime", "onnx"), ("openvino", "openvino")]
)
def test_doctor_names_the_pip_command_of_what_is_missing(fresh: Fresh, package: str, extra: str) -> None:
    done = fresh("doctor", blocked=[package])
    assert (done.returncode, done.stderr) == (0, "")
    assert f"pip install 'edgewright[{extra}]'" in done.stdout


def test_doctor_with_nothing_installed_ends_with_status_1(fresh: Fresh) -> None:
    done = fresh("doctor", "--json", blocked=["ai_edge_litert", "onnxruntime", "openvino", "rich"])
    assert done.returncode == 1
    assert done.stderr.startswith("edgewright: no interpreter works here; pip install")
    assert not any(entry["works"] for entry in json.loads(done.stdout)["backends"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGILL)", "SIGILL"),
        ("raise ImportError('libgomp.so.1 is missing')", "libgomp.so.1"),
    ],
    ids=["another processor", "a library is missing"],
)
def test_doctor_finds_out_in_another_process_a_package_that_ends_its_process(
    fresh: Fresh, tmp_path: Path, code: str, reason: str
) -> None:
    folder = tmp_path / "onnxruntime"
    folder.mkdir()
    (folder / "__init__.py").write_text(code)
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    done = fresh("doctor", "--json", PYTHONPATH=path)
    entry = next(e for e in json.loads(done.stdout)["backends"] if e["backend"] == "ort")
    assert not entry["works"]
    assert reason in entry["remedy"]
    assert "pip install --force-reinstall onnxruntime" in entry["remedy"]


def test_doctor_has_a_sample_of_every_backend() -> None:
    assert all(backends.get(name).sample for name in plugins.names(backends.__name__))


def test_doctor_entry_points_of_other_packages_may_add_lines(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = tmp_path / "checked-1.0.dist-info"
    found.mkdir()
    (found / "METADATA").write_text("Metadata-Version: 2.1\nName: checked\nVersion: 1.0\n")
    (found / "entry_points.txt").write_text(
        "[edgewright.checks]\nmine = doctors_check:lines\nbroken = no_such_package:lines\n"
    )
    (tmp_path / "doctors_check.py").write_text("def lines():\n    return ['target x needs y']\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    status, out, err = run("doctor", "--json")
    assert (status, err) == (0, "")
    notes = json.loads(out)["notes"]
    assert "target x needs y" in notes
    assert any(note.startswith("broken cannot be checked: ") for note in notes)
