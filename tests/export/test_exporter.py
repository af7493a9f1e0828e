"""The main job on real images: every default variant is proven and written, and nothing else is."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from edgewright.export import formats, variants
from edgewright.export.exporter import Options, Result, export
from edgewright.export.network.network import Network
from edgewright.export.source.calibration import choose
from edgewright.runtime import Bundle, load
from edgewright.runtime.errors import CheckpointError, DataError, InputError
from edgewright.runtime.verification import (
    GOLDEN_BOUNDARY,
    GOLDEN_INPUTS,
    GOLDEN_REFERENCE,
    read_golden,
    verify,
)
from edgewright.train import datasets
from edgewright.train.checkpoint import CHECKPOINT, Checkpoint
from edgewright.train.datasets import Dataset, Images

NetworkOf = Callable[[Path], Network]
MakeCheckpoint = Callable[..., Path]
Score = Callable[[Path, Images], NDArray[np.float32]]
Fresh = Callable[..., "subprocess.CompletedProcess[str]"]
SIX = [variant.name for variant in variants.defaults()]


@pytest.fixture(scope="module")
def reference(network_of: NetworkOf, trained: Path, fashion_mini: Dataset) -> NDArray[np.float32]:
    """The Keras model's scores of all test images."""
    return network_of(trained).scores(fashion_mini.x_test)


def test_export_every_default_variant_passes_and_agrees(exported: tuple[Path, Result]) -> None:
    _, result = exported
    assert [o.name for o in result.outcomes if o.passed] == [
        "tflite-float32",
        "tflite-float16",
        "tflite-dynamic-int8",
        "tflite-int8",
        "onnx-float32",
        "onnx-int8",
    ]
    for outcome in result.outcomes:
        assert outcome.parity is not None
        assert outcome.parity.samples == 2000
        assert outcome.parity.tie_agreement >= 0.995, outcome


def test_export_bundle_holds_what_its_manifest_lists_and_nothing_lies_beside_it(
    exported: tuple[Path, Result],
) -> None:
    folder, result = exported
    bundle = Bundle.open(folder)
    listed = {bundle.path(variant.file).name for variant in bundle.manifest.variants}
    assert bundle.manifest.evidence is not None
    listed |= {"manifest.json", "labels.txt", bundle.path(bundle.manifest.golden).name}
    listed |= {bundle.path(entry).name for entry in bundle.manifest.besides}
    assert {"evidence.npz", "provenance.intoto.json", "sbom.cdx.json"} <= listed
    assert {path.name for path in folder.iterdir()} == listed
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    for outcome in result.outcomes:
        entry = bundle.variant(outcome.name)
        assert (entry.parity, entry.file.bytes, entry.gzip_bytes) == (
            outcome.parity,
            outcome.bytes,
            outcome.gzip_bytes,
        )


def test_export_manifest_says_where_everything_comes_from(
    exported: tuple[Path, Result], trained: Path, fashion_mini: Dataset
) -> None:
    manifest = Bundle.open(exported[0]).manifest
    checkpoint = Checkpoint.open(trained)
    chosen = choose(fashion_mini, checkpoint.validation, checkpoint.seed, 256, seed=0)
    assert manifest.calibration["sha256"] == datasets.digest(fashion_mini.x_train[chosen])
    assert (manifest.calibration["split"], manifest.calibration["images"]) == ("train", 256)
    assert manifest.provenance["model_sha256"] == checkpoint.model_sha256
    assert manifest.provenance["data"]["sha256"] == fashion_mini.sha256
    assert "MIT" in manifest.provenance["data"]["licence"]
    assert manifest.labels == checkpoint.labels
    assert manifest.reference["accuracy"] == checkpoint.metrics["test_accuracy"]
    assert manifest.refused == ()


def test_export_float32_files_agree_on_every_image_the_reference_is_sure_of(
    exported: tuple[Path, Result], reference: NDArray[np.float32], fashion_mini: Dataset, score: Score
) -> None:
    best = np.sort(reference, axis=1)
    sure = best[:, -1] - best[:, -2] > 1e-4
    assert sure.mean() > 0.99
    for file in ("tflite-float32.tflite", "onnx-float32.onnx"):
        scores = score(exported[0] / file, fashion_mini.x_test)
        assert np.array_equal(scores[sure].argmax(1), reference[sure].argmax(1))
        np.testing.assert_allclose(scores, reference, atol=1e-5)


@pytest.mark.parametrize("name", SIX)
def test_export_parity_report_is_what_the_written_file_gives_again(
    exported: tuple[Path, Result],
    reference: NDArray[np.float32],
    fashion_mini: Dataset,
    score: Score,
    name: str,
) -> None:
    entry = Bundle.open(exported[0]).variant(name)
    scores = score(exported[0] / entry.file.file, fashion_mini.x_test)
    right = scores.argmax(1) == fashion_mini.y_test
    reference_class = reference.argmax(1)
    assert entry.parity.accuracy == float(np.mean(right))
    assert entry.parity.drop == pytest.approx(
        np.mean(reference_class == fashion_mini.y_test) - np.mean(right)
    )
    assert entry.parity.agreement == float(np.mean(scores.argmax(1) == reference_class))
    assert entry.parity.max_abs_error == pytest.approx(np.abs(scores - reference).max(), abs=1e-6)


def test_export_golden_scores_are_what_keras_and_the_runtime_give(
    exported: tuple[Path, Result], reference: NDArray[np.float32], fashion_mini: Dataset
) -> None:
    bundle = Bundle.open(exported[0])
    golden = read_golden(bundle)
    names = {GOLDEN_INPUTS, GOLDEN_REFERENCE, *SIX}
    assert set(golden) == names | {GOLDEN_BOUNDARY + name for name in names}
    places = {image.tobytes(): i for i, image in enumerate(fashion_mini.x_test)}
    picked = [places[image.tobytes()] for image in golden[GOLDEN_INPUTS]]
    assert len(set(picked)) == 16
    assert set(fashion_mini.y_test[picked]) == set(range(10))
    for of in ("", GOLDEN_BOUNDARY):
        images = golden[of + GOLDEN_INPUTS]
        picked = [places[image.tobytes()] for image in images]
        np.testing.assert_allclose(golden[of + GOLDEN_REFERENCE], reference[picked], atol=1e-6)
        for name in SIX:
            with load(exported[0], variant=name) as predictor:
                scores = np.concatenate([predictor.scores(image[np.newaxis]) for image in images])
            np.testing.assert_array_equal(scores, golden[of + name])


@pytest.mark.slow
def test_export_of_the_same_checkpoint_gives_the_same_bytes_in_a_fresh_process(
    exported: tuple[Path, Result], trained: Path, fresh: Fresh, tmp_path: Path
) -> None:
    done = fresh("export", trained, "--out", tmp_path / "again", PYTHONHASHSEED="77")
    assert (done.returncode, done.stderr) == (0, "")
    first, second = (
        {path.name: path.read_bytes() for path in folder.iterdir()}
        for folder in (exported[0], tmp_path / "again")
    )
    assert {name for name in first if first[name] != second.get(name)} == set()
    assert (
        set(first)
        == set(second)
        == {
            *(v.file for v in variants.defaults()),
            "manifest.json",
            "golden.npz",
            "evidence.npz",
            "labels.txt",
            "provenance.intoto.json",
            "sbom.cdx.json",
        }
    )


def test_export_leaves_out_a_variant_that_cannot_be_converted_and_writes_the_others(
    keras: Any, colour: Dataset, make_checkpoint: MakeCheckpoint, tmp_path: Path
) -> None:
    image = keras.Input(colour.x_train.shape[1:])
    flat = keras.layers.Flatten()(image)
    bent = keras.ops.tan(flat * 0.5)  # ONNX has it, TFLite has not
    model = keras.Model(image, keras.layers.Dense(10, activation="softmax")(bent))
    chosen = variants.parse("tflite-float32,onnx-float32")
    result = export(make_checkpoint(model, colour), Options(out=tmp_path / "bundle", variants=chosen))
    failed, passed = result.outcomes
    assert failed.reason.startswith("cannot be converted: ")
    assert (failed.parity, failed.passed, passed.passed) == (None, False, True)
    manifest = Bundle.open(tmp_path / "bundle").manifest
    assert [variant.name for variant in manifest.variants] == ["onnx-float32"]
    assert [entry["name"] for entry in manifest.refused] == ["tflite-float32"]
    assert manifest.refused[0]["reason"] == failed.reason


def test_export_model_that_gives_nan_is_refused_and_nothing_is_written(
    keras: Any, colour: Dataset, make_checkpoint: MakeCheckpoint, tmp_path: Path
) -> None:
    layers = [keras.Input(colour.x_train.shape[1:]), keras.layers.Flatten(), keras.layers.Dense(10)]
    model = keras.Sequential(layers)
    model.set_weights([weight * np.nan for weight in model.get_weights()])
    options = Options(out=tmp_path / "bundle", variants=variants.parse("tflite-float32"))
    with pytest.raises(CheckpointError, match="NaN"):
        export(make_checkpoint(model, colour, head="logits"), options)
    assert {path.name for path in tmp_path.iterdir()} == {"made", "made-data.npz"}


def test_export_test_images_that_also_calibrate_are_refused(
    build_conv: Any, colour: Dataset, make_checkpoint: MakeCheckpoint, tmp_path: Path
) -> None:
    training = choose(colour, 0.1, 0, 256, seed=0)
    test = colour.x_test.copy()
    test[3] = colour.x_train[training[100]]
    folder = make_checkpoint(build_conv(), dataclasses.replace(colour, x_test=test))
    with pytest.raises(DataError, match=r"got 1 of 600 that do \(the first is test image 3\)"):
        export(folder, Options(out=tmp_path / "bundle", variants=variants.defaults()))
    assert not (tmp_path / "bundle").exists()


def test_export_data_that_the_model_was_not_trained_on_is_refused(
    trained: Path, colour: Dataset, tmp_path: Path
) -> None:
    stored = {key: getattr(colour, key) for key in ("x_train", "y_train", "x_test", "y_test")}
    np.savez(tmp_path / "other.npz", **stored)
    options = Options(out=tmp_path / "bundle", variants=variants.defaults(), data=str(tmp_path / "other.npz"))
    with pytest.raises(CheckpointError, match="the checkpoint was trained on, fashion-mini"):
        export(trained, options)


@pytest.mark.parametrize("max_drop", [-0.01, 1.0, float("nan"), float("inf")])
def test_export_max_drop_that_makes_no_sense_is_refused(
    trained: Path, tmp_path: Path, max_drop: float
) -> None:
    options = Options(out=tmp_path / "bundle", variants=variants.defaults(), max_drop=max_drop)
    with pytest.raises(InputError, match="largest drop"):
        export(trained, options)


@pytest.mark.slow
def test_export_hand_made_checkpoint_of_moved_data_by_the_datas_new_path(
    build_conv: Any, colour: Dataset, make_checkpoint: MakeCheckpoint, tmp_path: Path
) -> None:
    folder = make_checkpoint(build_conv(), colour, input_range=(-1.0, 1.0))
    moved = (tmp_path / "made-data.npz").rename(tmp_path / "moved.npz")
    chosen = variants.parse("tflite-int8")
    with pytest.raises(DataError, match=r"made-data\.npz, which does not exist"):
        export(folder, Options(out=tmp_path / "bundle", variants=chosen))
    options = Options(out=tmp_path / "bundle", variants=chosen, max_drop=0.1, data=str(moved))
    result = export(folder, options)
    assert [outcome.passed for outcome in result.outcomes] == [True]
    recipe = json.loads((folder / CHECKPOINT).read_text())["recipe"]
    assert Bundle.open(tmp_path / "bundle").manifest.name == recipe


@pytest.mark.slow
def test_export_most_samples_judges_a_slow_scheme_on_some_images_drawn_at_random(
    build_conv: Any, colour: Dataset, make_checkpoint: MakeCheckpoint, tmp_path: Path, monkeypatch: Any
) -> None:
    """Test images may lie class by class: the first ones would be all of one class."""
    order = np.argsort(colour.y_test, kind="stable")
    sorted_test = {"x_test": colour.x_test[order], "y_test": colour.y_test[order]}
    folder = make_checkpoint(
        build_conv(), dataclasses.replace(colour, **sorted_test), input_range=(-1.0, 1.0)
    )
    schemes = formats.get("tflite").schemes
    monkeypatch.setitem(schemes, "float16", dataclasses.replace(schemes["float16"], most_samples=200))
    chosen = variants.parse("tflite-float16,tflite-float32")
    export(folder, Options(out=tmp_path / "bundle", variants=chosen, max_drop=0.1))
    bundle = Bundle.open(tmp_path / "bundle")
    assert [entry.parity.samples for entry in bundle.manifest.variants] == [200, 600]
    assert (
        abs(bundle.variant("tflite-float16").parity.accuracy - bundle.manifest.reference["accuracy"]) < 0.15
    )
    assert [found.status for found in verify(tmp_path / "bundle")] == ["ok", "ok"]
    golden = read_golden(bundle)
    assert np.abs(golden["tflite-float16"] - golden[GOLDEN_REFERENCE]).max() < 0.01


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [("--batch", "dynamic", "--io", "float32"), pytest.param(("--batch", "7"), marks=pytest.mark.long)],
)
def test_export_batch_and_dtype_files_are_proven_verified_and_predict(
    words: tuple[str, ...],
    build_conv: Any,
    colour: Dataset,
    make_checkpoint: MakeCheckpoint,
    tmp_path: Path,
    run: Callable[..., tuple[int, str, str]],
) -> None:
    folder = make_checkpoint(build_conv(), colour, input_range=(-1.0, 1.0))
    out = tmp_path / "bundle"
    names = "tflite-float32,tflite-int8,onnx-float32,onnx-int8"
    status, _, err = run("export", folder, "--out", out, "--variants", names, "--max-drop", "0.1", *words)
    assert status == 0, err
    manifest = Bundle.open(out).manifest
    batch, dtype = (-1, "float32") if "dynamic" in words else (7, "uint8")
    assert {(v.input.shape, v.input.dtype) for v in manifest.variants} == {((batch, 14, 14, 3), dtype)}
    assert {v.parity.samples for v in manifest.variants} == {600}
    assert run("verify", out)[0] == 0
    Image.fromarray(colour.x_test[0]).save(tmp_path / "picture.png")
    assert run("predict", out, tmp_path / "picture.png")[0] == 0
    assert run("inspect", out / "tflite-int8.tflite")[0] == 0


def test_manifest_peak_activation_bytes_say_how_much_is_held_between_layers(
    exported: tuple[Path, Result],
) -> None:
    peaks = {v.name: v.peak_activation_bytes for v in Bundle.open(exported[0]).manifest.variants}
    # The pixels and the hidden layer of 256 at one moment, as bytes or as floats.
    assert peaks["tflite-int8"] is not None
    assert 784 + 256 <= peaks["tflite-int8"] < 3000
    assert peaks["tflite-float32"] is not None
    assert 4 * (784 + 256) <= peaks["tflite-float32"] < 12_000
    assert peaks["onnx-float32"] is not None
