"""`edgewright export` on the command line: what is left out is told, what was there is kept."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgewright.runtime import Bundle, load
from edgewright.runtime.cli import main
from edgewright.runtime.errors import InputError, UnprovenWarning
from edgewright.train.checkpoint import CHECKPOINT, Checkpoint, DataRecord
from edgewright.train.datasets import Dataset

Run = Callable[..., tuple[int, str, str]]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def on_few(checkpoint: Path, fashion_mini: Dataset, tmp_path: Path) -> Callable[[int], Path]:
    """The checkpoint, as if its data had so few test images."""

    def call(count: int) -> Path:
        parts = {
            "x_train": fashion_mini.x_train,
            "y_train": fashion_mini.y_train,
            "x_test": fashion_mini.x_test[:count],
            "y_test": fashion_mini.y_test[:count],
        }
        source = tmp_path / "few.npz"
        np.savez(source, **parts, labels=np.array(fashion_mini.labels))
        few = Dataset(name="few", source=str(source), labels=fashion_mini.labels, **parts)
        changed = dataclasses.replace(Checkpoint.open(checkpoint), data=DataRecord.of(few))
        (checkpoint / CHECKPOINT).write_bytes(changed.to_bytes())
        return checkpoint

    return call


@pytest.fixture
def hard_to_quantize(
    keras: Any, trained: Path, make_checkpoint: Callable[..., Path], fashion_mini: Dataset
) -> Path:
    """The same function, some of whose hidden units are 1,000 times as large: int8 loses all the others."""
    model = keras.saving.load_model(trained / "model.keras", compile=False)
    first, bias, second, scores = model.get_weights()
    first[:, :8] *= 1000
    bias[:8] *= 1000
    second[:8] /= 1000
    model.set_weights([first, bias, second, scores])
    return make_checkpoint(model, fashion_mini, name="hard")


@pytest.mark.slow
def test_export_leaves_out_a_variant_that_drops_too_much_and_writes_the_others(
    run: Run, hard_to_quantize: Path, tmp_path: Path
) -> None:
    words = ("--out", tmp_path / "bundle", "--variants", "tflite-float32,tflite-int8", "--no-repair")
    status, said, complaints = run("export", hard_to_quantize, *words)
    assert status == 1
    assert complaints.count("\n") == 1
    assert complaints.startswith("edgewright: tflite-int8 left out, refused: accuracy drop +0.")
    assert "over 2,000 images, limit 0.01" in complaints
    manifest = Bundle.open(tmp_path / "bundle").manifest
    assert [variant.name for variant in manifest.variants] == ["tflite-float32"]
    assert [entry["name"] for entry in manifest.refused] == ["tflite-int8"]
    assert manifest.refused[0]["parity"]["drop"] > 0.05
    found = set(contents(tmp_path / "bundle"))
    assert found == {"manifest.json", "golden.npz", "evidence.npz", "labels.txt", "tflite-float32.tflite"} | {
        *("provenance.intoto.json", "sbom.cdx.json")
    }
    for word in ("keras float32", "tflite-float32", "passed", "tflite-int8", "refused", "reference"):
        assert word in said


def test_export_on_five_test_images_proves_nothing_and_the_old_bundle_stays(
    run: Run, on_few: Callable[[int], Path], bundle: Path
) -> None:
    before = contents(bundle)
    words = ("--out", bundle, "--variants", "tflite-float32,tflite-float16", "--overwrite")
    status, said, complaints = run("export", on_few(5), *words)
    assert status == 1
    assert "too few test images to see these classes lost: T-shirt/top, " in said
    first, second = complaints.splitlines()
    both = "edgewright: tflite-float32, tflite-float16 left out, not proven: accuracy drop +0.0000"
    assert first.startswith(both)
    assert "to +0.4345 over 5 images" in first
    assert "about 390 test images would settle it" in first
    assert second == f"edgewright: no variant passed; {bundle} was not written"
    assert contents(bundle) == before
    assert not list(bundle.parent.glob(".*"))


@pytest.mark.slow
def test_export_keep_unproven_writes_flagged_files_that_load_takes_by_name_alone(
    run: Run, on_few: Callable[[int], Path], tmp_path: Path, fashion_mini: Dataset
) -> None:
    words = ("export", on_few(60), "--variants", "tflite-int8,onnx-float32", "--out", tmp_path / "kept")
    status, _, complaints = run(*words)
    assert status == 1
    assert "it would pass now with --max-drop 0.0" in complaints
    assert not (tmp_path / "kept").exists()
    status, said, complaints = run(*words, "--keep-unproven")
    assert status == 0
    assert all(name in complaints for name in ("tflite-int8", "onnx-float32"))
    assert complaints.count("written, but not proven: accuracy drop") == complaints.count("\n") <= 2
    assert "wrote" in said
    assert run(*words, "--keep-unproven", "--strict", "--overwrite")[0] == 1

    bundle = Bundle.open(tmp_path / "kept")
    assert [v.parity.verdict for v in bundle.manifest.variants] == ["not proven"] * 2
    assert bundle.manifest.refused == ()
    picture = fashion_mini.x_test[0]
    with pytest.raises(InputError, match=r"is proven in .*name one of: tflite-int8, onnx-float32"):
        load(bundle.folder)
    with (
        pytest.warns(UnprovenWarning, match="not proven: it was written though"),
        load(bundle.folder, variant="tflite-int8") as inside,
        load(bundle.path(bundle.variant("tflite-int8").file)) as alone,
    ):
        assert alone.contract.verdict == inside.contract.verdict == "not proven"
        assert alone.predict(picture) == inside.predict(picture)
    Image.fromarray(picture[:, :, 0]).save(tmp_path / "boot.png")
    for variant, file in (("tflite-int8", "tflite-int8.tflite"), ("onnx-float32", "onnx-float32.onnx")):
        assert "verdict    not proven" in run("inspect", bundle.folder / file)[1]
        status, said, complaints = run("predict", bundle.folder, tmp_path / "boot.png", "--variant", variant)
        assert (status, complaints.count("\n")) == (0, 1)
        assert "is not proven: it was written though" in complaints
    status, said, complaints = run("verify", bundle.folder)
    assert status == 0
    assert "tflite-int8 is not proven: accuracy drop" in complaints


def test_export_bundle_wide_wants_variants_to_keep_their_limits_together(
    run: Run, on_few: Callable[[int], Path], tmp_path: Path
) -> None:
    """Of 400 images without a difference the drop is at most .0095; .0104 is kept with a chance of 2 %."""
    both, out = "tflite-float32,onnx-float32", tmp_path / "bundle"
    words = ("export", on_few(400), "--max-drop", "0.0104", "--out", out, "--overwrite", "--variants")
    status, said, _ = run(*words, "tflite-float32", "--bundle-wide")
    assert (status, "bundle-wide" in said) == (0, False)
    (entry,) = Bundle.open(out).manifest.variants
    assert entry.parity.chance is not None
    assert (entry.parity.bundle_wide, 0.0125 < entry.parity.chance < 0.025) == (True, True)
    before = contents(out)
    status, _, complaints = run(*words, both, "--bundle-wide")
    assert status == 1
    assert "tflite-float32, onnx-float32 left out, not proven: by itself it is proven" in complaints
    assert (
        "together with all 2 variants it may in 1.25%: ask for fewer, or give more test images" in complaints
    )
    assert contents(out) == before
    status, said, _ = run(*words, both, "--seed", "1")
    assert status == 0
    assert "it would be without tflite-float32, onnx-float32" in said
    assert "2 seeds of this model were judged on these test images" in said
    manifest = Bundle.open(out).manifest
    assert [v.parity.bundle_wide for v in manifest.variants] == [False, False]
    assert manifest.provenance["seeds_tried"] == 2
    status, _, complaints = run(*words, both, "--bundle-wide", "--keep-unproven")
    assert (status, "expected --bundle-wide or --keep-unproven, got both" in complaints) == (1, True)


def test_export_limits_that_cannot_be_held_get_one_line(run: Run, trained: Path, tmp_path: Path) -> None:
    words = ("export", trained, "--out", tmp_path / "out")
    for limit in ("--max-class-drop", "--min-agreement", "--max-calibration-drop"):
        status, _, complaints = run(*words, limit, "1.5")
        assert (status, complaints.count("\n")) == (1, 1)
        assert f"expected a share from 0 to 1 for {limit} (0.01 is one point), got 1.5" in complaints
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_export_max_drop_of_0_can_never_be_proven(run: Run, trained: Path, tmp_path: Path) -> None:
    words = ("--out", tmp_path / "bundle", "--variants", "onnx-float32", "--max-drop", "0")
    status, _, complaints = run("export", trained, *words)
    assert status == 1
    assert "not proven" in complaints
    assert "no number of test images would settle it" in complaints
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--variants", "tflite-int88"], "did you mean 'tflite-int8'"),
        (["--max-drop", "1"], "largest drop"),
        (["--calibration-size", "9"], "at least 10 calibration images"),
        (["--seed", "-1"], "seed"),
        (["--data", "fashion-minni"], "did you mean 'fashion-mini'"),
        (["--data", "nowhere.npz"], "nowhere.npz"),
    ],
)
def test_export_options_that_cannot_be_used_get_one_line(
    run: Run, trained: Path, tmp_path: Path, words: list[str], says: str
) -> None:
    status, said, complaints = run("export", trained, "--out", tmp_path / "bundle", *words)
    assert (status, said) == (1, "")
    assert complaints.startswith("edgewright: ")
    assert complaints.count("\n") == 1
    assert says in complaints
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"labels": None}, "labels"),
        ({"schema_version": 99}, "newer edgewright"),
        ({"validation": 1.5}, "validation"),
        ({"seed": 2**40}, "seed"),
    ],
)
def test_export_broken_checkpoint_gets_one_line(
    run: Run, checkpoint: Path, tmp_path: Path, changes: dict[str, Any], says: str
) -> None:
    path = checkpoint / CHECKPOINT
    path.write_text(json.dumps({**json.loads(path.read_bytes()), **changes}))
    words = ("--out", tmp_path / "bundle", "--variants", "tflite-float32")
    status, said, complaints = run("export", checkpoint, *words)
    assert (status, said) == (1, "")
    assert complaints.count("\n") == 1
    assert says in complaints
    assert list(tmp_path.iterdir()) == [checkpoint]


def test_export_missing_checkpoint_gets_one_line(run: Run, tmp_path: Path) -> None:
    status, _, complaints = run("export", tmp_path / "nowhere", "--out", tmp_path / "bundle")
    assert status == 1
    assert (
        "expected a checkpoint folder (edgewright train makes one), a .keras, .h5 or .onnx file" in complaints
    )
    assert complaints.count("\n") == 1


def test_export_out_that_holds_something_needs_overwrite(run: Run, trained: Path, bundle: Path) -> None:
    before = contents(bundle)
    status, _, complaints = run("export", trained, "--out", bundle)
    assert status == 1
    assert "--overwrite" in complaints
    assert complaints.count("\n") == 1
    assert contents(bundle) == before


def test_export_overwrite_never_takes_what_is_no_bundle(run: Run, trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "checkpoint")
    before = contents(tmp_path / "checkpoint")
    status, _, complaints = run("export", trained, "--out", tmp_path / "checkpoint", "--overwrite")
    assert status == 1
    assert "which --overwrite would lose" in complaints
    assert contents(tmp_path / "checkpoint") == before


@pytest.mark.parametrize(
    "package", ["tensorflow", "tf2onnx", "onnxruntime", "ai_edge_litert", "ai_edge_quantizer", "sympy"]
)
def test_export_without_a_package_names_the_command_that_cures_it(
    run: Run, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    status, _, complaints = run("export", trained, "--out", tmp_path / "bundle")
    assert status == 1
    assert complaints.count("\n") == 1
    assert f"{package}, which export needs, is not installed" in complaints
    assert "pip install 'edgewright[export]'" in complaints
    assert list(tmp_path.iterdir()) == []


def test_export_does_without_a_package_only_another_format_needs(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    for variant, says in (("onnx-float32", "tf2onnx"), ("tflite-float32", "expected a checkpoint")):
        words = ("--out", tmp_path / "bundle", "--variants", variant)
        _, _, complaints = run("export", tmp_path / "nowhere", *words)
        assert complaints.startswith(f"edgewright: {says}")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--batch", "0"), "expected a number from 1 to 1024 or 'dynamic', got '0'"),
        (("--batch", "1025"), "got '1025'"),
        (("--batch", "-1"), "got '-1'"),
        (("--batch", "any"), "got 'any'"),
        (("--io", "int8"), "invalid choice: 'int8'"),
    ],
)
def test_export_batch_or_dtype_that_no_file_has_is_wrong_usage(
    words: tuple[str, ...], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["export", str(tmp_path), "--out", str(tmp_path / "bundle"), *words])
    assert ended.value.code == 2
    assert says in capsys.readouterr().err


def test_export_without_out_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["export", "checkpoint"])
    assert ended.value.code == 2
    assert "--out" in capsys.readouterr().err
