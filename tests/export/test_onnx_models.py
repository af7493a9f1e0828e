"""ONNX files from file to proven bundle, on a machine that has no TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgewright.export import variants
from edgewright.export.network.model import ONNX
from edgewright.runtime import Bundle, load
from edgewright.train.datasets import Dataset

Run = Callable[..., tuple[int, str, str]]

BLOCK = """
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("tensorflow", "keras", "tf_keras", "tf2onnx"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Block())
"""


@pytest.fixture
def no_tensorflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the processes that an export starts."""
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "sitecustomize.py").write_text(BLOCK)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "path"))


@pytest.fixture
def words(fashion_mini: Dataset, tmp_path: Path) -> list[object]:
    """A small network of fixed random features and a fitted dense layer, channels first, and what is said
    of it on the command line."""
    random = np.random.default_rng(0)
    kernel = random.normal(0, 1, (12, 1, 7, 7)).astype(np.float32)

    def features(images: np.ndarray) -> np.ndarray:
        scaled = images[..., 0].astype(np.float32) / 127.5 - 1
        windows = np.lib.stride_tricks.sliding_window_view(scaled, (7, 7), (1, 2))[:, ::3, ::3]
        return np.maximum(np.einsum("nhwij,kij->nkhw", windows, kernel[:, 0]), 0).reshape(len(images), -1)

    x, y = fashion_mini.x_train[:2500], np.eye(10)[fashion_mini.y_train[:2500]]
    given = features(x)
    dense = np.linalg.solve(given.T @ given + 1e3 * np.eye(given.shape[1]), given.T @ y) * 8
    constants = {"kernel": kernel, "dense": dense.astype(np.float32)}
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["input.1", "kernel"], ["c"], strides=[3, 3]),
            helper.make_node("Relu", ["c"], ["r"]),
            helper.make_node("Flatten", ["r"], ["f"]),
            helper.make_node("MatMul", ["f", "dense"], ["s"]),
            helper.make_node("Softmax", ["s"], ["23"], axis=-1),
        ],
        "torch",
        [helper.make_tensor_value_info("input.1", TensorProto.FLOAT, [1, 1, 28, 28])],
        [helper.make_tensor_value_info("23", TensorProto.FLOAT, [1, 10])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, tmp_path / "net.onnx")
    np.savez(tmp_path / "test.npz", x=fashion_mini.x_test[:1000], y=fashion_mini.y_test[:1000])
    np.savez(tmp_path / "calibration.npz", x=x[:100], y=fashion_mini.y_train[:100])
    return [
        *("export", tmp_path / "net.onnx", "--out", tmp_path / "bundle", "--input-range", "-1..1"),
        *("--test", tmp_path / "test.npz", "--calibration", tmp_path / "calibration.npz"),
    ]


def test_onnx_model_is_quantized_and_proven_without_tensorflow(
    run: Run, words: list[object], no_tensorflow: None, fashion_mini: Dataset, tmp_path: Path
) -> None:
    status, _, complaints = run(*words)
    assert (status, complaints) == (0, "")
    bundle = Bundle.open(tmp_path / "bundle")
    manifest = bundle.manifest
    model = manifest.provenance["model"]
    assert (model["kind"], model["input"], model["output"]) == ("onnx", "input.1", "23")
    assert [entry.name for entry in manifest.variants] == ["onnx-float32", "onnx-int8"]
    assert (manifest.name, manifest.head, manifest.input.shape) == ("net", "softmax", (28, 28, 1))
    assert manifest.reference["accuracy"] > 0.7
    exact, int8 = manifest.variants
    assert exact.parity.agreement == 1
    assert exact.parity.max_abs_error < 1e-5
    assert int8.parity.tie_agreement > 0.97
    assert int8.file.bytes < exact.file.bytes / 2
    assert int8.conversion["tool"].startswith("onnxslim")
    with load(tmp_path / "bundle", variant="onnx-int8") as predictor:
        best = [predictor.predict(image, k=1)[0].label for image in fashion_mini.x_test[:200]]
    right = np.mean([int(label) == number for label, number in zip(best, fashion_mini.y_test, strict=False)])
    assert right > 0.7


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ("tflite-int8", "such as onnx-float32,onnx-int8, got tflite-int8"),
        ("onnx-int8,tflite-float32", "got tflite-float32"),
        ("prune80+onnx-int8", "passes, which train Keras models"),
    ],
)
def test_onnx_model_becomes_onnx_files_without_passes(
    asked: str, says: str, run: Run, words: list[object], tmp_path: Path
) -> None:
    status, said, complaints = run(*words, "--variants", asked)
    assert (status, said, complaints.count("\n")) == (1, "", 1)
    assert says in complaints
    assert not (tmp_path / "bundle").exists()


def test_onnx_defaults_are_the_usual_ones_that_an_onnx_file_can_become() -> None:
    assert [variant.name for variant in variants.defaults(ONNX)] == ["onnx-float32", "onnx-int8"]
    assert {variant.format for variant in variants.parse("all", ONNX)} == {"onnx"}
    assert {variant.format for variant in variants.defaults()} == {"tflite", "onnx"}


def test_onnx_model_that_is_damaged_is_one_line_and_leaves_nothing(
    run: Run, words: list[object], tmp_path: Path
) -> None:
    raw = (tmp_path / "net.onnx").read_bytes()
    (tmp_path / "net.onnx").write_bytes(raw[: len(raw) // 2])
    before = sorted(tmp_path.iterdir())
    status, said, complaints = run(*words)
    assert (status, said, complaints.count("\n")) == (1, "", 1)
    assert "is no ONNX model, or damaged or cut off" in complaints
    assert sorted(tmp_path.iterdir()) == before
