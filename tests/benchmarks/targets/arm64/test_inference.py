"""What a program in the emulated machine has left is read as it was counted; no emulator is asked here."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from edgewright.benchmarks.measure import images
from edgewright.benchmarks.record.measurement import Plan
from edgewright.benchmarks.targets.arm64 import inference, machine, target
from edgewright.benchmarks.targets.arm64.inference import Inference, infer
from edgewright.benchmarks.targets.arm64.machine import Machine
from edgewright.benchmarks.targets.arm64.processors import PROCESSORS
from edgewright.export.exporter import Result
from edgewright.runtime import Bundle
from edgewright.runtime.errors import TargetError
from edgewright.runtime.verification import read_golden

GOLDEN = np.eye(2, dtype=np.float32)


class Emulated:
    """A machine whose program writes what it is told to."""

    def __init__(self, folder: Path, marks: str) -> None:
        self.folder, self._marks, self.about = folder, marks, {"counts": True, "qemu": "7.2"}

    def run(
        self, processor: Any, words: tuple[str, ...], *, marks: Path, environment: Any
    ) -> subprocess.CompletedProcess[str]:
        job = json.loads(words[2])
        marks.write_text(self._marks)
        np.savez(job["scores"], golden=GOLDEN, images=GOLDEN[:0])
        Path(job["out"]).write_text(json.dumps({"kernels": "xnnpack", "outside": []}))
        return subprocess.CompletedProcess(words, 0, "", "")


def inferred(folder: Path, marks: str) -> Inference:
    emulated, bundle = cast(Machine, Emulated(folder, marks)), cast(Bundle, SimpleNamespace(folder=folder))
    return infer(emulated, PROCESSORS[0], bundle, "tflite-int8", None)


def test_infer_counts_what_lies_between_two_marks_of_an_image(tmp_path: Path) -> None:
    found = inferred(tmp_path, "1000\n1450\n2000\n2470\n")
    assert found.instructions == [450, 470]
    assert (found.kernels, found.outside) == ("xnnpack", [])
    np.testing.assert_array_equal(found.golden, GOLDEN)


def test_infer_refuses_other_marks_than_two_an_image(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="expected 4 marks in the counts, got 3"):
        inferred(tmp_path, "1000\n1450\n2000\n")


def test_arm64_target_holds_classes_against_the_truth_and_against_this_machines(
    exported: tuple[Path, Result], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Of eight images the device has five right, and decides six as this machine does."""
    opened = Bundle.open(exported[0])
    golden = read_golden(opened)["tflite-int8"]
    truth = np.arange(8)
    device, host = truth.copy(), truth.copy()
    device[:3] = 9
    host[:1] = 9
    scores = {name: np.eye(10, dtype=np.float32)[classes] for name, classes in (("d", device), ("h", host))}
    told = Inference(
        kernels="xnnpack", golden=golden, images=scores["d"], instructions=[7] * 16, outside=None
    )
    pixels = np.zeros((8, 28, 28, 1), np.uint8)
    monkeypatch.setattr(machine, "ready", lambda say: Emulated(tmp_path, ""))
    monkeypatch.setattr(inference, "infer", lambda *_, **__: told)
    monkeypatch.setattr(images, "read", lambda path, manifest: (pixels, truth))
    monkeypatch.setattr(target, "_on_this_machine", lambda *_: scores["h"])
    measured = target.TARGET.run(opened, "tflite-int8", Plan(options={"images": "some.npz"}))
    for processor in PROCESSORS:
        assert measured.counts[f"{processor.name}_accuracy"] == [5 / 8]
        assert measured.counts[f"{processor.name}_same_class_as_host"] == [6 / 8]
        assert measured.counts[f"{processor.name}_instructions"] == [7.0] * 16
        assert measured.counts[f"{processor.name}_golden_max_abs_error"] == [0.0]
