"""What a device installs: numpy and Pillow, then one backend; no TensorFlow anywhere."""

from __future__ import annotations

import json
import shutil
import subprocess
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "ankle-boot.png"


@pytest.mark.slow
def test_base_install_is_numpy_and_pillow_and_one_backend_predicts(bundle: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    skip = shutil.ignore_patterns(".*", "demo", "build", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT, source, ignore=skip)
    venv.create(tmp_path / "venv", with_pip=True)
    bin_folder = tmp_path / "venv" / "bin"

    def call(*words: str | Path, status: int = 0) -> str:
        done = subprocess.run([str(w) for w in words], capture_output=True, text=True, check=False)
        assert done.returncode == status, done.stderr
        return done.stdout if status == 0 else done.stderr

    def packages() -> set[str]:
        listed = json.loads(call(bin_folder / "pip", "list", "--format=json"))
        return {package["name"] for package in listed} - {"pip", "setuptools", "wheel"}

    call(bin_folder / "pip", "wheel", "--no-deps", "--wheel-dir", tmp_path, source)
    (wheel,) = tmp_path.glob("edgewright-*.whl")
    install = [bin_folder / "pip", "install", "--no-compile", "-c", ROOT / "constraints.txt"]
    call(*install, wheel)
    assert packages() == {"edgewright", "numpy", "pillow"}
    assert "train" in call(bin_folder / "edgewright", "--help")
    code = "from importlib.util import find_spec; print(find_spec('edgewright.benchmarks.figures'))"
    assert call(bin_folder / "python", "-c", code).strip() == "None"
    predict = [bin_folder / "edgewright", "predict", bundle, PICTURE]
    assert "pip install 'edgewright[" in call(*predict, status=1)
    train = call(
        bin_folder / "edgewright", "train", "fashion-mlp", "--out", tmp_path / "checkpoint", status=1
    )
    assert train.count("\n") == 1
    assert "pip install 'edgewright[train]'" in train

    call(*install, f"{wheel}[tflite]")
    assert not packages() & {"tensorflow", "keras", "onnx", "onnxruntime"}
    assert "Ankle boot" in call(*predict)
    assert "not run" in call(bin_folder / "edgewright", "verify", bundle)
