"""A file that carries no contract runs with labels and a range given, and says what it assumed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgewright.export.exporter import Result
from edgewright.runtime import load
from edgewright.runtime.errors import InputError, ModelFileError

LABELS = ("first", "second", "third")
WEIGHTS = np.random.default_rng(0).normal(size=(3, 3)).astype(np.float32)


def network(
    path: Path, shape: tuple[Any, ...], dtype: int = TensorProto.FLOAT, *, softmax: bool = True
) -> Path:
    """The mean of each channel times a matrix."""
    axes = [2, 3] if shape[1] == 3 else [1, 2]
    nodes = [
        helper.make_node("Cast", ["image"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["real"], ["means"], axes=axes, keepdims=0),
        helper.make_node("MatMul", ["means", "w"], ["logits"]),
        helper.make_node("Softmax" if softmax else "Identity", ["logits"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("image", dtype, shape)],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, (shape[0], 3))],
        [numpy_helper.from_array(WEIGHTS, "w")],
    )
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path


def expected(pixels: NDArray[np.uint8], low: float, high: float) -> NDArray[np.float64]:
    logits = (pixels.mean((0, 1)) / 255 * (high - low) + low) @ WEIGHTS
    return np.exp(logits) / np.exp(logits).sum()


@pytest.fixture(scope="module")
def pixels() -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (10, 12, 3), np.uint8)


@pytest.mark.parametrize("shape", [(1, 10, 12, 3), (1, 3, 10, 12), ("n", 3, 10, 12), (4, 10, 12, 3)], ids=str)
@pytest.mark.parametrize("ends", [(0, 1), (-1, 1), (0, 255)], ids=str)
def test_load_without_a_contract_scales_by_input_range(
    tmp_path: Path, pixels: NDArray[np.uint8], shape: tuple[Any, ...], ends: tuple[float, float]
) -> None:
    path = network(tmp_path / "theirs.onnx", shape)
    with load(path, labels=LABELS, input_range=ends) as predictor:
        assert predictor.contract.input.shape == (10, 12, 3)
        assert predictor.contract.head == "softmax"
        scores = predictor.scores(pixels[np.newaxis])
        assert np.allclose(scores, expected(pixels, *ends), rtol=1e-3)
        best = predictor.predict(pixels)[0]
        assert (best.index, best.label) == (scores.argmax(), LABELS[scores.argmax()])
        assert list(predictor.predict_many([pixels] * 5, workers=2)) == [predictor.predict(pixels)] * 5


@pytest.mark.parametrize("shape", [(1, 10, 12, 3), (2, 3, 10, 12)], ids=str)
@pytest.mark.parametrize("std", [(0.229, 0.224, 0.225), 0.25], ids=str)
def test_load_mean_and_std_are_those_of_torchvision(
    tmp_path: Path, pixels: NDArray[np.uint8], shape: tuple[Any, ...], std: float | tuple[float, ...]
) -> None:
    path, mean = network(tmp_path / "theirs.onnx", shape), (0.485, 0.456, 0.406)
    logits = ((pixels / 255 - mean) / std).mean((0, 1)) @ WEIGHTS
    with load(path, labels=LABELS, mean=mean, std=std) as predictor:
        scores = predictor.scores(pixels[np.newaxis])
        assert np.allclose(scores, np.exp(logits) / np.exp(logits).sum(), rtol=1e-3)
        assert "a mean of 0.485, 0.456, 0.406" in predictor.assumptions[0]


def test_load_scaling_that_contradicts_itself_or_the_file_is_refused(tmp_path: Path) -> None:
    path = network(tmp_path / "theirs.onnx", (1, 3, 10, 12))
    for given, message in (
        ({"mean": 0.5}, "both mean and std"),
        ({"std": 0.5, "input_range": (0, 1)}, "either an input range, or both"),
        ({"mean": (0.5, 0.5), "std": 0.5}, r"mean to be one number or 3, got \[0.5, 0.5\]"),
        ({"mean": 0.5, "std": (0.5, 0.5, float("nan"))}, "std to be one number or 3"),
        ({"mean": 0.5, "std": 0}, "std above 0"),
        ({"mean": (123.7, 116.3, 103.5), "std": 1}, "divide values of 0..255 by 255"),
    ):
        with pytest.raises(InputError, match=message):
            load(path, labels=LABELS, **given)  # type: ignore[arg-type]


def test_predictor_assumptions_say_what_was_assumed_without_a_contract(tmp_path: Path) -> None:
    path = network(tmp_path / "theirs.onnx", (1, 3, 10, 12))
    with load(path, labels=LABELS, input_range=(-1, 1)) as predictor:
        assert predictor.assumptions == (
            "RGB pixels, channels first, brought to -1..1 as told",
            "pictures are stretched to size, bilinear",
            "scores are probabilities, as the graph ends in Softmax",
        )


def test_load_without_a_contract_notices_logits(tmp_path: Path, pixels: NDArray[np.uint8]) -> None:
    path = network(tmp_path / "theirs.onnx", (1, 3, 10, 12), softmax=False)
    with load(path, labels=LABELS, input_range=(0, 1)) as predictor:
        assert predictor.contract.head == "logits"
        found = {p.index: p.probability for p in predictor.predict(pixels)}
    assert [found[i] for i in range(3)] == pytest.approx(expected(pixels, 0, 1), rel=1e-3)


def test_load_without_a_contract_needs_no_input_range_for_raw_pixels(
    tmp_path: Path, pixels: NDArray[np.uint8]
) -> None:
    path = network(tmp_path / "theirs.onnx", (1, 10, 12, 3), TensorProto.UINT8)
    with load(path, labels=LABELS) as predictor:
        assert predictor.assumptions[0] == "RGB pixels, channels last, 0-255 as they are"
        assert np.allclose(predictor.scores(pixels[np.newaxis]), expected(pixels, 0, 255), rtol=1e-3)


@pytest.mark.parametrize("file", ["tflite-int8.tflite", "tflite-float32.tflite"])
def test_tflite_files_without_a_contract_give_what_they_gave_with_one(
    exported: tuple[Path, Result], tmp_path: Path, picture: Path, file: str
) -> None:
    own = exported[0] / file
    (tmp_path / file).write_bytes(own.read_bytes().replace(b"edgewright", b"someoneels"))
    with load(own) as ours, load(tmp_path / file, labels=ours.contract.labels) as theirs:
        assert ours.assumptions == ()
        assert ours.predict(picture) == theirs.predict(picture)
    if file == "tflite-int8.tflite":  # its scale is 1/255: the range 0..1 quantizes to the pixels themselves
        with load(tmp_path / file, labels=ours.contract.labels, input_range=(0, 1)) as theirs:
            assert "then quantized" in theirs.assumptions[0]


def test_load_without_a_contract_refuses_what_does_not_fit_with_what_to_do(
    exported: tuple[Path, Result], tmp_path: Path
) -> None:
    path = network(tmp_path / "theirs.onnx", (1, 3, 10, 12))
    with pytest.raises(ModelFileError, match=r"carries no contract .*--labels FILE --input-range"):
        load(path)
    with pytest.raises(InputError, match=r"takes float32 and does not say of which range"):
        load(path, labels=LABELS)
    with pytest.raises(InputError, match=r"expected 3 labels for .*, got 2"):
        load(path, labels=LABELS[:2], input_range=(0, 1))
    for ends in ((1, 0), (0, 0), (0, float("nan"))):
        with pytest.raises(InputError, match="the lower first"):
            load(path, labels=LABELS, input_range=ends)
    with pytest.raises(InputError, match="carries its own labels"):
        load(exported[0] / "onnx-int8.onnx", labels=["a"] * 10)
    with pytest.raises(InputError, match="carries its own labels"):
        load(exported[0] / "onnx-int8.onnx", mean=0.5, std=0.5)
    open_size = network(tmp_path / "open.onnx", (1, 3, "h", "w"))
    with pytest.raises(ModelFileError, match="expected an input of fixed size"):
        load(open_size, labels=LABELS, input_range=(0, 1))
