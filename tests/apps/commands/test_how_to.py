"""`edgewright how-to` on the command line: the code for a platform, from a bundle alone."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., tuple[int, str, str]]
Fresh = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.mark.parametrize("platform", ["android", "ios", "raspberry-pi"])
def test_how_to_shows_how_an_app_feeds_a_file(run: Run, bundle: Path, platform: str) -> None:
    before = {path.name: path.read_bytes() for path in bundle.iterdir()}
    status, said, complaints = run("how-to", bundle, platform, "--variant", "tflite-int8")
    assert (status, complaints) == (0, "")
    assert said.partition(" ")[2].startswith("file    tflite-int8.tflite, ")
    assert len(said.splitlines()) > 10
    assert {path.name: path.read_bytes() for path in bundle.iterdir()} == before
    assert (bundle / "labels.txt").read_text().splitlines()[-1] == "Ankle boot"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["ios", "--variant", "onnx-int8"], "expected a .tflite file for ios"),
        (["ios", "--variant", "tflite-int9"], "did you mean 'tflite-int8'"),
    ],
)
def test_how_to_of_what_cannot_be_shown_gets_one_line(
    run: Run, bundle: Path, words: list[str], says: str
) -> None:
    status, said, complaints = run("how-to", bundle, *words)
    assert (status, said) == (1, "")
    assert says in complaints
    assert complaints.count("\n") == 1


def test_how_to_imports_nothing_that_converts_or_trains(fresh: Fresh, bundle: Path) -> None:
    heavy = ("tensorflow", "keras", "tf_keras", "onnx", "onnxruntime", "ai_edge_litert", "flatbuffers")
    done = fresh("how-to", bundle, "android", blocked=heavy)
    assert (done.returncode, done.stderr) == (0, "")
