"""A lone file of anyone is measured as the bundle of one variant, on noise, and leaves nothing behind."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgewright.benchmarks import runner
from edgewright.benchmarks.compare import comparison
from edgewright.benchmarks.measure import lone
from edgewright.benchmarks.record import measurement
from edgewright.runtime import backends, load
from edgewright.runtime.bundle.manifest import Bundle
from edgewright.runtime.errors import InputError, ModelFileError
from edgewright.runtime.foreign import told_of
from edgewright.runtime.verification import GOLDEN_INPUTS, read_golden

Run = Callable[..., tuple[int, str, str]]


def network(
    path: Path, shape: tuple[object, ...], dtype: int = TensorProto.FLOAT, end: str = "Identity"
) -> Path:
    """A convolution and its means."""
    weights = np.random.default_rng(0).normal(size=(4, 3, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Cast", ["image"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Conv", ["real", "weights"], ["found"]),
        helper.make_node("ReduceMean", ["found"], ["means"], axes=[2, 3], keepdims=0),
        helper.make_node(end, ["means"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("image", dtype, shape)],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, (shape[0], 4))],
        [numpy_helper.from_array(weights, "weights")],
    )
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 13)]), path)
    return path


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Takes floats of any size with channels first, and says nothing at all."""
    return network(tmp_path_factory.mktemp("theirs") / "their model.onnx", ("n", 3, "h", "w"))


def test_a_file_that_says_nothing_becomes_a_bundle_and_the_folder_goes(theirs: Path) -> None:
    bundle = lone.as_bundle(theirs, (20, 30))
    folder, (entry,) = bundle.folder, bundle.manifest.variants
    assert Bundle.open(folder).manifest == bundle.manifest
    assert (bundle.manifest.name, entry.name, entry.arithmetic) == ("their model", "their model", "float32")
    assert (entry.file.sha256, entry.file.bytes) == (
        backends.for_path(theirs).read(theirs).sha256,
        theirs.stat().st_size,
    )
    golden = read_golden(bundle)
    assert golden[GOLDEN_INPUTS].shape == (16, 20, 30, 3)
    assert len(np.unique(golden[GOLDEN_INPUTS])) > 50
    with load(bundle.path(entry.file), **told_of(bundle.manifest)) as predictor:
        scores = np.concatenate([predictor.scores(image[None]) for image in golden[GOLDEN_INPUTS]])
    assert np.array_equal(scores, golden["their model"])
    del bundle
    gc.collect()
    assert not folder.exists()
    assert theirs.exists()


@pytest.mark.parametrize("name", ["inputs.onnx", "file.onnx", "keras.onnx", ".hidden.onnx", "a:b.onnx"])
def test_odd_names_do_no_harm(tmp_path: Path, name: str) -> None:
    bundle = lone.as_bundle(network(tmp_path / name, (1, 3, 8, 8)))
    read_golden(bundle)
    assert bundle.path(bundle.manifest.variants[0].file).exists()


@pytest.mark.slow
def test_bench_of_a_file_of_others(
    run: Run, theirs: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(measurement, "PROCESSES", 1)
    out = tmp_path / "found.json"
    words = ("bench", theirs, "--size", "12x16", "--seconds", 0.02, "--out", out, "--profile")
    status, said, complaints = run(*words)
    assert (status, complaints) == (0, "")
    assert "a lone file has no images: it ran on noise" in said
    assert "JPEG to label" in said and "operators of their model: " in said
    record = json.loads(out.read_bytes())
    assert record["bundle"] == "their model"
    (measured,) = record["measurements"]
    assert (measured["variant"], measured["kernels"]) == ("their model", "onnxruntime-cpu")
    assert record["models"]["their model"]["macs"] is None  # of no size of its own


@pytest.mark.slow
@pytest.mark.parametrize("end", ["Identity", pytest.param("LpNormalization", marks=pytest.mark.slow)])
def test_bench_of_a_size_nobody_says_says_which_it_took(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    monkeypatch.setattr(measurement, "PROCESSES", 1)
    path = network(tmp_path / "theirs.onnx", (1, 3, "h", "w"), end=end)
    found = runner.bench(path, runner.Options(seconds=0.01))
    (measured,) = found.measurements
    assert "its size is free: it ran on 224x224 pixels" in measured.notes
    assert measured.samples_ns["warm_run"] and measured.samples_ns["jpeg_to_label"]


def test_bench_of_a_lone_file_of_ours(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measurement, "PROCESSES", 1)
    found = runner.bench(bundle / "tflite-int8.tflite", runner.Options(seconds=0.01))
    assert (found.bundle, found.models["tflite-int8"].arithmetic) == ("tflite-int8", "int8")
    assert [m.kernels for m in found.measurements] == ["xnnpack"]
    with pytest.raises(InputError, match="expected --size with a lone model file"):
        runner.bench(bundle, runner.Options(size=(28, 28)))


@pytest.mark.parametrize("variant", ["tflite-float32", "tflite-dynamic-int8", "onnx-float32", "onnx-int8"])
def test_arithmetic_is_what_the_manifest_of_a_bundle_says(
    exported: tuple[Path, object], variant: str
) -> None:
    opened = Bundle.open(exported[0])
    entry = opened.variant(variant)
    path = opened.path(entry.file)
    backend = backends.for_path(path)
    assert lone.arithmetic(backend.graph(backend.read(path))) == entry.arithmetic


def test_bench_of_what_is_no_image_classifier_is_refused(tmp_path: Path, run: Run) -> None:
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 7))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 7))],
    )
    path = tmp_path / "table.onnx"
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 13)]), path)
    with pytest.raises(ModelFileError, match=r"expected one \(batch, height, width, channels\) input"):
        lone.as_bundle(path)
    assert run("bench", path)[0] == 1
    (tmp_path / "text.onnx").write_text("no")
    assert run("bench", tmp_path / "text.onnx")[0] == 1
    assert list(tmp_path.glob("*.json")) == []


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        (("n", 3, "h", "w"), TensorProto.FLOAT),
        ((1, 3, 9, 11), TensorProto.UINT8),
        pytest.param(("n", 3, "h", "w"), TensorProto.UINT8, marks=pytest.mark.slow),
        pytest.param((1, 3, 9, 11), TensorProto.FLOAT, marks=pytest.mark.slow),
    ],
)
def test_compare_times_files_that_say_nothing(tmp_path: Path, shape: tuple[object, ...], dtype: int) -> None:
    path = network(tmp_path / "theirs.onnx", shape, dtype)
    tiny = comparison.Design(pairs=1, turns=2, block_seconds=0.001, warmup_seconds=0.01)
    found = comparison.compare(comparison.side(str(path)), comparison.side(str(path)), tiny)
    assert found.a_ns > 0
    said = any("its size is free: it ran on 224x224 pixels" in note for note in found.notes)
    assert said == ("h" in shape)
