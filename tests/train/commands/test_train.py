"""`edgewright train` on the command line: what it prints, and one line for what it cannot do."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgewright.train.datasets import Dataset

Run = Callable[..., tuple[int, str, str]]
Fresh = Callable[..., "subprocess.CompletedProcess[str]"]


def test_train_command_says_in_its_last_line_how_well_it_did_and_where_it_lies(
    run: Run, fashion_mini: Dataset, tmp_path: Path
) -> None:
    parts = {"train": 400, "test": 50}
    stored = {f"{a}_{p}": getattr(fashion_mini, f"{a}_{p}")[:n] for p, n in parts.items() for a in "xy"}
    np.savez(tmp_path / "few.npz", **stored)
    out = tmp_path / "deep/checkpoint"
    status, said, complaints = run(
        "train", "fashion-mlp", "--data", tmp_path / "few.npz", "--epochs", 2, "--out", out
    )
    assert (status, complaints) == (0, "")
    lines = said.splitlines()
    assert lines[0].startswith("fashion-mlp (Flatten, Dense 256 ReLU")
    assert lines[0].endswith(" on few: 400 training and 50 test images, 10 classes")
    assert lines[-1].startswith("test accuracy 0.")
    assert lines[-1].endswith(f"wrote {out}")
    assert (out / "checkpoint.json").is_file()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["fashon-mlp"], "did you mean 'fashion-mlp'"),
        (["fashion-mlp", "--data", "fashon-mini"], "did you mean 'fashion-mini'"),
        (["fashion-mlp", "--data", "nowhere.npz"], "nowhere.npz"),
        (["fashion-mlp", "--epochs", "0"], "at least 1"),
        (["fashion-mlp", "--seed", "-1"], "--seed"),
        (["fashion-mlp", "--data", "mnist", "--data-dir", "."], "mnist.npz"),
    ],
)
def test_train_command_on_what_cannot_be_trained_gets_one_line(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    status, _, complaints = run("train", *words, "--out", "out")
    assert status == 1
    assert complaints.startswith("edgewright: ")
    assert says in complaints
    assert complaints.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_train_out_that_holds_something_needs_overwrite(run: Run, checkpoint: Path) -> None:
    before = {path.name: path.read_bytes() for path in checkpoint.iterdir()}
    status, _, complaints = run("train", "fashion-mlp", "--out", checkpoint)
    assert status == 1
    assert "--overwrite" in complaints
    assert complaints.count("\n") == 1
    assert {path.name: path.read_bytes() for path in checkpoint.iterdir()} == before


@pytest.mark.parametrize("package", ["tensorflow", "matplotlib", "sklearn"])
def test_train_command_without_a_package_names_the_command_that_cures_it(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    for module in [m for m in sys.modules if m == package or m.startswith(f"{package}.")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, package, None)
    status, _, complaints = run("train", "fashion-mlp", "--out", tmp_path / "out")
    assert status == 1
    assert complaints.count("\n") == 1
    assert "pip install 'edgewright[train]'" in complaints
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_train_data_without_a_network_fails_in_one_line_that_tells_where_to_put_a_named_set(
    fresh: Fresh, tmp_path: Path
) -> None:
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    homes = {"KERAS_HOME": str(tmp_path / "keras"), "EDGEWRIGHT_DATA": str(tmp_path / "data")}
    words = ("train", "fashion-mlp", "--data", "mnist", "--out", tmp_path / "out")
    done = fresh(*words, **nowhere, **homes, no_proxy="", NO_PROXY="")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("edgewright: cannot download mnist")
    assert f"mnist.npz with arrays x_train, y_train, x_test, y_test into {tmp_path / 'data'}" in done.stderr
    assert "EDGEWRIGHT_DATA" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no limit on file sizes to set")
def test_train_command_on_a_full_disk_gets_one_line_and_leaves_nothing(fresh: Fresh, tmp_path: Path) -> None:
    """A limit on the size of files stands for it: the weights of fashion-mlp are larger."""
    code = """
import resource, sys
from edgewright.runtime.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))
sys.exit(main(sys.argv[1:]))
"""
    found = fresh("train", "fashion-mlp", "--epochs", "1", "--out", tmp_path / "out", code=code)
    assert found.returncode == 1
    assert "is the disk full?" in found.stderr
    assert found.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
