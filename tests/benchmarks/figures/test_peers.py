"""Peers are timed side by side on the same pictures; what is missing or fails is said and stops nothing."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
import sys
from pathlib import Path

import pytest

from edgewright.benchmarks.figures import peers
from edgewright.benchmarks.figures import render as readme
from edgewright.benchmarks.figures.peers import __main__ as side_by_side
from edgewright.benchmarks.figures.peers.__main__ import Running, main
from edgewright.runtime.bundle.manifest import Bundle
from edgewright.runtime.errors import InputError


@pytest.fixture
def no_clients(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEWRIGHT_CLIENTS", str(tmp_path / "nowhere"))


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.usefixtures("no_clients")
def test_peers_of_this_python_are_compared_and_missing_ones_are_named(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(bundle), "--rounds", "6", "--out", str(tmp_path)]) == 0
    complaints = capsys.readouterr().err.splitlines()
    assert len(complaints) == 4
    assert "none of --model" in complaints[0]
    assert sum("is not installed; make clients" in line for line in complaints) == 3
    written = json.loads((tmp_path / "peers.json").read_text())
    assert {"edgewright", "ai-edge-litert", "onnxruntime"} <= set(written["environment"]["versions"])
    rows = written["rows"]
    found = [(row["peer"], row["variant"]) for row in rows]
    assert found[:4] == [("edgewright-runtime", name) for name in peers.VARIANTS]
    beside = [row for row in found[4:] if row[0] != "openvino-f32"]  # which may not be installed
    assert sorted(beside) == [
        ("bare-litert", "tflite-float32"),
        ("bare-litert", "tflite-int8"),
        ("bare-onnxruntime", "onnx-float32"),
        ("bare-onnxruntime", "onnx-int8"),
    ]
    for row in rows:
        assert (row["recipe"], row["against"], row["reason"]) == ("fashion-mlp", row["variant"], "")
        assert 0 < row["low_ms"] <= row["p50_ms"] <= row["high_ms"]
        assert row["ratio_low"] <= row["ratio"] <= row["ratio_high"]
        assert row["agreement"] >= 15 / 16
        assert row["ratio"] == 1 or row["peer"] != side_by_side.OURS

    (tmp_path / "README.md").write_text("<!-- table: peers -->\n<!-- end -->\n")
    readme.main([str(tmp_path / "README.md"), "--results", str(tmp_path)])
    table = (tmp_path / "README.md").read_text().splitlines()
    assert table[2].startswith("| recipe | variant | Edgewright | bare-litert | bare-onnxruntime |")
    assert len([line for line in table if line.startswith("| `fashion-mlp`")]) == 4


def job(path: Path, pictures: list[Path]) -> dict[str, object]:
    model = {"path": str(path), "height": 28, "width": 28, "channels": 1}
    return {"model": model, "pictures": [str(picture) for picture in pictures]}


def test_peers_refusal_of_a_file_has_its_reason(tmp_path: Path) -> None:
    (tmp_path / "broken.tflite").write_bytes(b"no model")
    running = Running("bare-litert", "tflite-int8", sys.executable, job(tmp_path / "broken.tflite", []))
    running.close()
    assert running.failed.startswith("ValueError: ")
    assert running.labels == []
    row = side_by_side.row("birds", running, running)
    assert row["reason"] == running.failed
    assert "ratio" not in row


def test_peers_crash_of_the_process_has_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(Path(side_by_side.__file__).with_name("_runner.py"), tmp_path)
    (tmp_path / "fatal.py").write_text(
        "import os\n"
        "class Fatal:\n"
        "    package = 'numpy'\n"
        "    def open(self, model, decode):\n"
        "        def label(jpeg):\n"
        "            if label.calls == 1: os.abort()\n"
        "            label.calls += 1\n"
        "            return 7\n"
        "        label.calls = 0\n"
        "        return label\n"
        "PEER = Fatal()\n"
    )
    monkeypatch.setattr(side_by_side, "_HERE", tmp_path)
    running = Running("fatal", "tflite-int8", sys.executable, job(tmp_path, [tmp_path / "fatal.py"]))
    assert (running.labels, running.failed) == ([7], "")
    assert math.isnan(running.round())
    running.close()
    assert running.failed == "the process ended with SIGABRT"


def test_peers_that_hang_are_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(Path(side_by_side.__file__).with_name("_runner.py"), tmp_path)
    (tmp_path / "slow.py").write_text("import time\ntime.sleep(60)\n")
    monkeypatch.setattr(side_by_side, "_HERE", tmp_path)
    monkeypatch.setattr(side_by_side, "LIMIT_SECONDS", 1)
    running = Running("slow", "tflite-int8", sys.executable, job(tmp_path, []))
    running.close()
    assert running.failed == "the process ended with SIGKILL"


def test_peers_refuse_a_fit_that_crops_pictures(bundle: Path) -> None:
    opened = Bundle.open(bundle)
    contract = dataclasses.replace(opened.manifest.input, fit="crop")
    cropped = dataclasses.replace(opened, manifest=dataclasses.replace(opened.manifest, input=contract))
    with pytest.raises(InputError, match="got crop with bilinear"):
        side_by_side.measure(cropped, [], 6)


def test_peers_refuse_wrong_words(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least 6 rounds"):
        main([str(bundle), "--rounds", "5", "--out", str(tmp_path)])
    with pytest.raises(InputError, match=r"model\.keras, got"):
        main([str(bundle), "--model", str(tmp_path / "none.keras"), "--out", str(tmp_path)])
    assert not (tmp_path / "peers.json").exists()
