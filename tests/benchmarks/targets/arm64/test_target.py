"""The target arm64: a bundle's files run on two emulated processors and give what they gave here."""

from __future__ import annotations

import dataclasses
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewright.benchmarks.record.measurement import Plan
from edgewright.benchmarks.targets.arm64 import machine
from edgewright.benchmarks.targets.arm64.machine import Machine
from edgewright.benchmarks.targets.arm64.target import TARGET
from edgewright.export.exporter import Result
from edgewright.runtime import Bundle
from edgewright.runtime.errors import BundleError, DataError, InputError, UnknownNameError
from edgewright.train.datasets import Dataset

Run = Callable[..., tuple[int, str, str]]
FILES = ("tflite-int8", "tflite-float32", "onnx-float32")
LSB = 1 / 256


@pytest.fixture(scope="session")
def thousand(fashion_mini: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("images") / "test.npz"
    x, y = np.asarray(fashion_mini.x_test), np.asarray(fashion_mini.y_test)
    np.savez(file, x=x[:1000], y=y[:1000])
    return file


def test_arm64_target_counts_one_thread_so_more_are_refused(exported: tuple[Path, Result]) -> None:
    with pytest.raises(InputError, match="expected 1 thread for target arm64, got 2"):
        TARGET.check(Bundle.open(exported[0]), "tflite-int8", Plan(threads=2))


def test_arm64_target_refuses_images_that_cannot_be_used_before_anything_is_set_up(
    exported: tuple[Path, Result], tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="cannot read"):
        TARGET.check(
            Bundle.open(exported[0]), "tflite-int8", Plan(options={"images": str(tmp_path / "none.npz")})
        )


def test_arm64_target_tells_a_wrong_name_and_a_damaged_file_before_anything_is_set_up(bundle: Path) -> None:
    opened = Bundle.open(bundle)
    with pytest.raises(UnknownNameError, match="did you mean 'tflite-int8'"):
        TARGET.run(opened, "tflite-int88", Plan())
    raw = bytearray((bundle / "tflite-int8.tflite").read_bytes())
    raw[len(raw) // 2] ^= 1
    (bundle / "tflite-int8.tflite").write_bytes(raw)
    with pytest.raises(BundleError, match=r"tflite-int8\.tflite is damaged"):
        TARGET.run(opened, "tflite-int8", Plan())


@pytest.fixture
def benched(
    made_once: Callable[..., Any],
    run: Run,
    exported: tuple[Path, Result],
    thousand: Path,
    emulated: Machine,
) -> tuple[str, dict[str, Any]]:
    """What `bench` printed, and its measurements by variant."""

    def make(folder: Path) -> tuple[str, dict[str, Any]]:
        start = time.monotonic()
        words = ("--target", "arm64", "--variants", ",".join(FILES), "--images", thousand)
        status, said, complaints = run("bench", exported[0], *words, "--out", folder / "out.json")
        assert (status, complaints) == (0, "")
        assert time.monotonic() - start < 600
        measurements = json.loads((folder / "out.json").read_bytes())["measurements"]
        return said, {measured["variant"]: measured for measured in measurements}

    found: tuple[str, dict[str, Any]] = made_once("arm64-benched", make)
    return found


@pytest.mark.slow
def test_arm64_target_runs_three_files_and_a_thousand_images_on_two_processors(
    exported: tuple[Path, Result], benched: tuple[str, dict[str, Any]]
) -> None:
    said, found = benched
    assert "no cycles, milliseconds or memory" in said
    assert set(found) == set(FILES)
    for variant, measured in found.items():
        assert measured["samples_ns"] == {}
        assert measured["notes"] == []
        assert measured["kernels"] == ("xnnpack" if variant.startswith("tflite") else "onnxruntime-cpu")
        assert measured["environment"]["test_images"] == 1000
        expected = Bundle.open(exported[0]).variant(variant).parity.accuracy
        for processor in ("a53", "a76"):
            counts = {name: measured["counts"][f"{processor}_{name}"] for name in _NAMES}
            limit = LSB * 1.001 if variant == "tflite-int8" else 1e-5
            assert counts["golden_max_abs_error"][0] <= limit
            assert abs(counts["accuracy"][0] - expected) < 0.03
            assert counts["same_class_as_host"][0] >= 0.998
            middle = statistics.median(counts["instructions"])
            assert len(counts["instructions"]) == 16
            close = [count for count in counts["instructions"] if abs(count / middle - 1) < 0.005]
            assert len(close) >= 12
    # Its dot-product instructions are used: the interpreter knows the processor.
    int8 = found["tflite-int8"]["counts"]
    assert statistics.median(int8["a76_instructions"]) < 0.9 * statistics.median(int8["a53_instructions"])


_NAMES = ("instructions", "golden_max_abs_error", "accuracy", "same_class_as_host")


@pytest.mark.slow
@pytest.mark.parametrize(
    "variant", ["tflite-int8", *(pytest.param(name, marks=pytest.mark.long) for name in FILES[1:])]
)
def test_arm64_target_counts_the_same_in_another_run_within_half_a_per_cent(
    exported: tuple[Path, Result], emulated: Machine, benched: tuple[str, dict[str, Any]], variant: str
) -> None:
    again = TARGET.run(Bundle.open(exported[0]), variant, Plan())
    for name in ("a53_instructions", "a76_instructions"):
        one, two = (
            statistics.median(counts[name]) for counts in (benched[1][variant]["counts"], again.counts)
        )
        assert abs(one / two - 1) < 0.005
    assert json.loads(json.dumps(dataclasses.asdict(again))) == dataclasses.asdict(again)


@pytest.mark.slow
def test_arm64_target_notes_scores_that_differ_and_counts_nothing_with_a_qemu_without_plugins(
    bundle: Path, emulated: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The manifest of this copy allows nothing."""
    plain = dataclasses.replace(emulated, about={**emulated.about, "counts": False})
    monkeypatch.setattr(machine, "ready", lambda say: plain)
    opened = Bundle.open(bundle)
    entry = opened.variant("tflite-int8")
    strict = dataclasses.replace(
        entry, tolerance=dataclasses.replace(entry.tolerance, max_abs=-1.0, max_abs_elsewhere=-1.0)
    )
    others = tuple(v for v in opened.manifest.variants if v.name != entry.name)
    changed = dataclasses.replace(opened.manifest, variants=(strict, *others))
    measured = TARGET.run(dataclasses.replace(opened, manifest=changed), entry.name, Plan())
    differ = [note for note in measured.notes if "does not give what was recorded" in note]
    assert len(differ) == 2
    expected = "tflite-int8 does not give what was recorded on Arm Cortex-A53: scores differ by "
    assert differ[0].startswith(expected)
    assert not any("instructions" in name for name in measured.counts)
    assert measured.counts["a53_golden_max_abs_error"][0] <= LSB * 1.001
    assert any("takes no plugins, so no instructions were counted" in note for note in measured.notes)
