"""The Python project runs: its own tests, a picture, a camera that is played to it, and its end."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgewright.apps import projects
from edgewright.runtime.bundle.manifest import Bundle

_CAMERA = """
import itertools, sys, time
import numpy
from picture_model import camera

def frames():
    for number in itertools.count():
        time.sleep(0.01)
        yield numpy.full((48, 64, 3), 255 * (number // 20 % 2), numpy.uint8)

camera.watch(frames(), every=0.0)
"""


@pytest.fixture
def project(exported: tuple[Path, Any], tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    opened = Bundle.open(exported[0])
    for name, raw in (
        projects.get("python").files(projects.app(opened, opened.variant(request.param))).items()
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(raw)
    return tmp_path


def _call(project: Path, *words: str | Path, status: int = 0) -> str:
    command = [sys.executable, *map(str, words)]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=60)
    assert done.returncode == status, done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("project", ["tflite-int8", "onnx-float32"], indirect=True)
def test_python_project_passes_its_own_tests_and_labels_a_picture(project: Path) -> None:
    assert "OK" in _call(project, "-m", "unittest", "discover", "tests")
    Image.new("RGB", (50, 40), "white").save(project / "picture.jpg")
    lines = _call(project, "-m", "picture_model", "picture.jpg").splitlines()
    assert len(lines) == 3
    assert "cannot read 'none.jpg'" in _call(project, "-m", "picture_model", "none.jpg", status=1)


@pytest.mark.parametrize("project", ["tflite-int8"], indirect=True)
def test_python_project_fails_its_test_where_a_score_is_another(project: Path) -> None:
    scores = project / "tests" / "parity" / "golden-scores.bin"
    wrong = np.fromfile(scores, "<f4")
    wrong[3] += 0.5
    wrong.tofile(scores)
    said = _call(project, "-m", "unittest", "discover", "tests", status=1)
    assert "test_golden_images_get_their_scores" in said


@pytest.mark.parametrize("project", ["tflite-int8"], indirect=True)
def test_python_project_watches_a_camera_until_it_is_told_to_end(project: Path) -> None:
    command = [sys.executable, "-c", _CAMERA]
    with subprocess.Popen(command, cwd=project, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        first, second = child.stdout.readline(), child.stdout.readline()
        child.send_signal(signal.SIGTERM)
        assert child.wait(30) == 0
    assert first
    assert second
    assert first != second


@pytest.mark.parametrize("project", ["tflite-int8"], indirect=True)
def test_python_project_says_what_a_camera_needs(project: Path) -> None:
    code = "import sys; sys.modules.update(picamera2=None, cv2=None)\n"
    code += "from picture_model import camera; camera.main()"
    said = _call(project, "-c", code, status=1)
    assert "expected picamera2 (apt install python3-picamera2) or OpenCV" in said


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd")
@pytest.mark.parametrize("project", ["tflite-int8"], indirect=True)
def test_python_projects_unit_is_one(project: Path) -> None:
    unit = project / "picture-model.service"
    unit.write_text(unit.read_text().replace("/opt/picture-model/.venv/bin/python", sys.executable))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, env=os.environ
    )
    assert (done.returncode, done.stderr) == (0, "")
