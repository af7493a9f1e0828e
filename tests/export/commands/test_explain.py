"""`edgewright explain`, from end to end on the bundle that all tests share."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgewright.export.explaining import trial
from edgewright.export.formats.tflite import tree as tflite_tree
from edgewright.runtime.trust import known
from tests.conftest import Run


@pytest.fixture
def broken(bundle: Path) -> Path:
    """The int8 file of the bundle with one of its layers' kernels turned round."""
    path = bundle / "tflite-int8.tflite"
    tree = tflite_tree.read(path.read_bytes())
    dense = next(op for op in tflite_tree.operators(tree) if op.name == "FULLY_CONNECTED")
    kernel = tflite_tree.constant(tree, dense.inputs[1])
    tflite_tree.set_constant(tree, dense.inputs[1], kernel[::-1])
    changed = bundle / "changed.tflite"
    changed.write_bytes(tflite_tree.write(tree))
    return changed


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """`--trust` is for the process, which is the tests' too."""
    monkeypatch.setattr(known, "_apart", False)


def test_a_file_that_nobody_vouched_for_is_not_explained_unless_it_is_trusted(run: Run, broken: Path) -> None:
    status, said, complained = run("explain", broken)
    assert (status, said) == (1, "")
    assert "changed.tflite; if you trust it, add --trust" in complained
    assert complained.count("\n") == 1


def test_every_file_of_a_bundle_is_explained(run: Run, bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "explain.json"
    status, said, complained = run("explain", bundle, "--out", out)
    assert (status, complained) == (0, "")
    for words in ("tflite-int8 on xnnpack", "tflite-int8 on reference", "onnx-int8 on onnxruntime-cpu"):
        assert f"{words} beside" in said
    assert "tflite-int8: no layer diverges" in said
    assert "xnnpack and reference do not part" in said
    assert "tflite-float32 in LiteRT and onnx-float32 in onnxruntime do not part" in said
    told = json.loads(out.read_text())
    assert told["images"] == len(np.load(bundle / "golden.npz")["inputs"])
    files = {file["variant"]: file for file in told["files"]}
    assert {"tflite-int8", "onnx-int8", "tflite-float16", "tflite-dynamic-int8"} <= files.keys()
    assert "tflite-float32" not in files
    steps = files["tflite-int8"]["kernels"][0]["steps"]
    assert next(s["layer"] for s in steps if s["operator"] == "FULLY_CONNECTED").startswith("dense")
    assert [s["layer"] for s in files["onnx-int8"]["kernels"][0]["steps"]] == [s["layer"] for s in steps]
    assert all(s["own_snr"] > 15 for s in steps[:-2])


def test_a_changed_file_is_explained_beside_its_bundle(run: Run, broken: Path) -> None:
    status, said, complained = run("explain", "--trust", broken, "--json")
    assert (status, complained) == (0, "")
    (file,) = json.loads(said)["files"]
    assert "SHA-256" in file["notes"][0]
    for one in file["kernels"]:
        assert one["diverges"] == one["loses_most"] == file["named"] == one["steps"][0]["layer"]
        assert one["steps"][0]["own_snr"] < 10
        assert all(step["score_snr"] > 20 for step in one["steps"][1:])
    status, said, _ = run("explain", "--trust", broken)
    assert f"{file['named']} diverges first, {file['named']} loses most" in said


def test_a_file_alone_wants_pictures_and_a_float_file(run: Run, broken: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone" / "alone.tflite"
    alone.parent.mkdir()
    shutil.copyfile(broken, alone)
    status, said, complained = run("explain", "--trust", alone)
    assert (status, said) == (1, "")
    assert "--images" in complained
    picture = tmp_path / "picture.png"
    Image.fromarray(np.load(broken.parent / "golden.npz")["inputs"][0, :, :, 0]).save(picture)
    status, _, complained = run("explain", "--trust", alone, "--images", picture)
    assert status == 1
    assert "--model" in complained
    assert len(complained.splitlines()) == 1
    float32 = broken.parent / "tflite-float32.tflite"
    status, said, complained = run(
        "explain", "--trust", alone, "--images", picture, "--model", float32, "--json"
    )
    assert (status, complained) == (0, "")
    told = json.loads(said)
    assert (told["images"], told["files"][0]["reference"]) == (1, "tflite-float32.tflite")
    assert told["files"][0]["named"] == told["files"][0]["kernels"][0]["steps"][0]["layer"]


@pytest.mark.slow
def test_the_checkpoint_stands_in_for_float_files(run: Run, bundle: Path, trained: Path) -> None:
    status, said, complained = run("explain", bundle, "--model", trained, "--variants", "onnx-int8", "--json")
    assert (status, complained) == (0, "")
    (file,) = json.loads(said)["files"]
    assert file["reference"] == "onnx-float32 of model.keras"
    steps = file["kernels"][0]["steps"]
    assert sum(step["layer"].startswith("dense") for step in steps) >= 2
    assert file["kernels"][0]["decided"] > 0.9


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["{bundle}", "--variants", "tflite-int9"], "tflite-int8"),
        (["{bundle}", "--variants", "tflite-float32"], "add --model"),
        (["{bundle}/tflite-int8.tflite", "--variants", "onnx-int8"], "expected a bundle folder"),
        (["{bundle}/none.tflite"], "does not exist"),
        (["{bundle}/labels.txt"], "expected a .tflite or .onnx file"),
        (["{bundle}", "--images", "{bundle}/labels.txt"], "labels.txt"),
        (["{bundle}", "--model", "{bundle}/labels.txt"], "--model"),
        (["{bundle}", "--model", "{bundle}/none.keras"], "none.keras"),
    ],
)
def test_what_cannot_be_explained_is_said_in_a_line(
    run: Run, bundle: Path, words: list[str], said: str
) -> None:
    status, out, complained = run("explain", *(word.format(bundle=bundle) for word in words))
    assert (status, out) == (1, "")
    assert said in complained
    assert len(complained.splitlines()) == 1


@pytest.mark.parametrize("damage", ["cut", "noise"])
def test_damaged_files_are_refused_in_a_line(run: Run, bundle: Path, damage: str) -> None:
    for name in ("tflite-int8.tflite", "onnx-int8.onnx"):
        raw = (bundle / name).read_bytes()
        path = bundle / f"damaged{Path(name).suffix}"
        noise = np.random.default_rng(0).integers(0, 256, len(raw) // 4, np.uint8).tobytes()
        path.write_bytes(raw[: len(raw) // 2] if damage == "cut" else raw[: len(raw) // 2] + noise)
        status, out, complained = run("explain", "--trust", path)
        assert (status, out) == (1, "")
        assert len(complained.splitlines()) == 1


def test_a_file_that_others_wrote_says_nothing_of_its_pixels(run: Run, bundle: Path, tmp_path: Path) -> None:
    """As TensorFlow's converter writes one by default: int8 from end to end, no contract."""
    tree = tflite_tree.read((bundle / "tflite-int8.tflite").read_bytes())
    graph = tree.subgraphs[0]
    first = graph.operators.pop(0)
    graph.inputs, tree.signatureDefs, tree.metadata = first.outputs, None, None
    path = tmp_path / "other.tflite"
    path.write_bytes(tflite_tree.write(tree))
    picture = tmp_path / "picture.png"
    Image.fromarray(np.load(bundle / "golden.npz")["inputs"][0, :, :, 0]).save(picture)
    float32 = bundle / "tflite-float32.tflite"
    status, _, complained = run("explain", "--trust", path, "--images", picture, "--model", float32)
    assert status == 1
    assert "--input-range" in complained
    words = (
        "explain",
        "--trust",
        path,
        "--images",
        picture,
        "--model",
        float32,
        "--json",
        "--input-range",
        "0..1",
    )
    status, said, complained = run(*words)
    assert (status, complained) == (0, "")
    found = json.loads(said)["files"][0]["kernels"][0]
    assert found["diverges"] is None
    assert found["steps"][0]["own_snr"] > 20


def test_kernels_that_crash_cost_what_they_would_have_said(
    run: Run, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "import os, sys; sys.stdin.readline(); os.abort()"
    monkeypatch.setattr(trial, "_COMMAND", ("-c", code))
    status, said, complained = run("explain", bundle, "--variants", "tflite-int8", "--json")
    assert (status, complained) == (0, "")
    (file,) = json.loads(said)["files"]
    assert [one["kernels"] for one in file["kernels"]] == ["xnnpack"]
    assert file["parting"] is None
    assert "reference kernels crash (SIGABRT)" in file["notes"][0]


def test_other_pictures_are_taken(run: Run, bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i, image in enumerate(np.load(bundle / "golden.npz")["inputs"][:3]):
        Image.fromarray(image[:, :, 0]).save(folder / f"{i}.png")
    status, said, _ = run("explain", bundle, "--variants", "tflite-int8", "--images", folder)
    assert status == 0
    assert f"on 3 pictures of {folder}" in said
