"""What scores mean is read off the operator that gives them, and is what the bare interpreter gives."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgewright.runtime import backends, load
from edgewright.runtime.errors import InputError, ModelFileError, UnknownNameError

PIXELS = np.random.default_rng(3).integers(0, 256, (1, 12, 10, 3), np.uint8)
REAL = (PIXELS / 127.5 - 1).astype(np.float32)
RANGE = {"input_range": (-1, 1)}


def named(count: int) -> list[str]:
    return [f"class {i}" for i in range(count)]


@pytest.mark.slow
def test_an_8_bit_softmax_of_many_classes_is_no_logits(plain: dict[str, Path], bare: SimpleNamespace) -> None:
    """As google-coral's mobilenet_v2_1.0_224_quant.tflite, of which .789 became .002."""
    expected = bare.tflite(plain["uint8"], PIXELS)[0]
    assert abs(expected.sum() - 1) > 0.05  # so that what scores add up to says nothing
    with load(plain["uint8"], labels=named(301)) as predictor:
        assert predictor.head.kind == "softmax"
        assert "scores are probabilities, as the graph ends in SOFTMAX" in predictor.assumptions
        assert predictor.assumptions[0] == "RGB pixels, channels last, 0-255 as they are"
        best = predictor.predict(PIXELS[0])[0]
    assert (best.index, best.probability) == (expected.argmax(), expected.max())
    assert best.probability > 0.1  # the softmax of these would be below .005


def test_int8_pixels_are_scaled_as_the_quantization_of_the_file_covers(
    plain: dict[str, Path], bare: SimpleNamespace
) -> None:
    with load(plain["int8"], labels=named(301)) as predictor:
        spec = backends.for_path(plain["int8"]).read(plain["int8"]).inputs[0]
        codes = np.clip(np.round(REAL / spec.scale) + spec.zero_point, -128, 127).astype(np.int8)
        assert np.array_equal(predictor.scores(PIXELS), bare.tflite(plain["int8"], codes))
        assert "brought to -1..1 as its quantization covers, then quantized" in predictor.assumptions[0]


@pytest.mark.parametrize(
    ("name", "kind", "count", "ending"),
    [
        ("float", "softmax", 4, "SOFTMAX"),
        ("binary", "sigmoid", 2, "LOGISTIC"),
        ("several", "sigmoid", 4, "LOGISTIC"),
        ("log", "logits", 4, "LOG_SOFTMAX"),
    ],
)
def test_head_is_what_a_tflite_graph_ends_in(
    plain: dict[str, Path], bare: SimpleNamespace, name: str, kind: str, count: int, ending: str
) -> None:
    with load(plain[name], labels=named(count), **RANGE) as predictor:  # type: ignore[arg-type]
        assert predictor.head.kind == kind
        assert any(f"as the graph ends in {ending}" in line for line in predictor.assumptions)
        if name != "several":  # which takes int8
            scores = predictor.scores(PIXELS)
            assert np.array_equal(scores, bare.tflite(plain[name], REAL))
        if name == "log":
            assert predictor.top(scores[0], 1)[0].probability == pytest.approx(np.exp(scores.max()), rel=1e-5)
        if name == "binary":
            found = {p.label: p.probability for p in predictor.predict(PIXELS[0])}
            assert found == pytest.approx({"class 1": scores[0, 0], "class 0": 1 - scores[0, 0]}, abs=1e-6)


def ending_in(path: Path, *chain: str, count: int = 3) -> Path:
    """An ONNX file whose last operators are those."""
    nodes, before = [helper.make_node("ReduceMean", ["image"], ["0"], axes=[2, 3], keepdims=0)], "0"
    for i, operator in enumerate(chain, 1):
        given, extra = [before], {}
        if operator == "Cast":
            extra = {"to": TensorProto.FLOAT}
        elif operator == "Div":  # e^x by its sum
            given = ["0" if "ReduceL2" in chain else str(i - 2), before]
        elif operator == "ReduceSum":
            extra = {"keepdims": 1}
        elif operator == "ReduceL2":
            extra = {"keepdims": 1, "axes": [1]}
        elif operator == "Mul":
            given = [before, before]
        elif operator == "LpNormalization":
            extra = {"p": 2, "axis": 1}
        nodes.append(helper.make_node(operator, given, [str(i)], **extra))
        before = str(i)
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, (1, 3, 12, 10))],
        [helper.make_tensor_value_info(before, TensorProto.FLOAT, (1, count))],
    )
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 13)]), path)
    return path


@pytest.mark.parametrize(
    ("chain", "kind"),
    [
        (("Softmax",), "softmax"),
        (("Softmax", "Flatten", "Identity", "Cast"), "softmax"),
        (("Exp", "ReduceSum", "Div"), "softmax"),
        (("Sigmoid",), "sigmoid"),
        (("Sigmoid", "Cast"), "sigmoid"),
        (("HardSigmoid",), "sigmoid"),
        (("LogSoftmax",), "logits"),
        (("Softmax", "Mul"), "logits"),  # whatever that is, it adds up to no 1
        (("Relu",), "logits"),
    ],
    ids=str,
)
def test_head_is_what_an_onnx_graph_ends_in(tmp_path: Path, chain: tuple[str, ...], kind: str) -> None:
    path = ending_in(tmp_path / "theirs.onnx", *chain)
    if chain == ("Exp", "ReduceSum", "Div"):
        model = onnx.load(path)
        model.graph.node[2].attribute.append(helper.make_attribute("keepdims", 1))
        del model.graph.node[2].attribute[0]
        model.graph.node[2].input.append("axes")
        model.graph.initializer.append(helper.make_tensor("axes", TensorProto.INT64, [1], [1]))
        onnx.save(model, path)
    with load(path, labels=named(3), input_range=(0, 1)) as predictor:
        assert predictor.head.kind == kind
        scores = predictor.scores(PIXELS)
    if kind == "softmax":
        assert scores.sum() == pytest.approx(1, abs=1e-6)


def test_head_of_the_user_comes_first(tmp_path: Path) -> None:
    path = ending_in(tmp_path / "theirs.onnx", "Relu")
    for kind in ("softmax", "logits", "sigmoid", "sigmoid-logits"):
        with load(path, labels=named(3), input_range=(0, 1), head=kind, **_threshold(kind)) as predictor:
            assert predictor.head.kind == kind
            assert predictor.head.threshold == (0.25 if kind.startswith("sigmoid") else 0.5)
            assert any(line.endswith("as told") and "scores" in line for line in predictor.assumptions)
    with load(path, input_range=(0, 1), head="embedding") as predictor:
        assert predictor.contract.labels == ()
        assert np.allclose(predictor.scores(PIXELS), PIXELS.mean((1, 2)) / 255)
        with pytest.raises(InputError, match="gives an embedding"):
            predictor.predict(PIXELS[0])


def _threshold(kind: str) -> dict[str, Any]:
    return {"threshold": 0.25} if kind.startswith("sigmoid") else {}


def test_a_normalized_vector_is_an_embedding_and_needs_no_labels(tmp_path: Path) -> None:
    path = ending_in(tmp_path / "theirs.onnx", "LpNormalization")
    with load(path, input_range=(0, 1)) as predictor:
        assert predictor.head.is_embedding
        assert np.linalg.norm(predictor.scores(PIXELS)) == pytest.approx(1)
    with load(path, labels=named(3), input_range=(0, 1)) as predictor:
        assert predictor.head.kind == "logits"


def test_one_score_is_a_sigmoid_and_its_label_may_be_the_one_of_a_yes(
    tmp_path: Path, plain: dict[str, Path]
) -> None:
    with load(plain["binary"], labels=["cat"], **RANGE) as predictor:  # type: ignore[arg-type]
        assert predictor.contract.labels == ("not cat", "cat")
    with pytest.raises(InputError, match=r"expected 2 labels for .*binary\.tflite, got 3"):
        load(plain["binary"], labels=named(3), **RANGE)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"head": "sofmax"}, UnknownNameError, "did you mean 'softmax'"),
        ({"head": "softmax", "threshold": 0.3}, InputError, "expected a threshold for sigmoids alone"),
        ({"head": "sigmoid", "threshold": 1.0}, InputError, "threshold between 0 and 1, got 1"),
        ({"head": "embedding"}, InputError, "expected no labels"),
        ({"size": (12, 11)}, InputError, r"or its own 12x10, got \(12, 11\)"),
        ({"size": (0, 11)}, InputError, "expected a size of 1 to 16384"),
    ],
    ids=str,
)
def test_what_the_user_says_wrongly_is_refused(
    tmp_path: Path, given: dict[str, Any], error: type[Exception], message: str
) -> None:
    path = ending_in(tmp_path / "theirs.onnx", "Relu")
    with pytest.raises(error, match=message):
        load(path, labels=named(3), input_range=(0, 1), **given)


def test_a_file_of_free_size_takes_the_one_that_is_told(
    plain: dict[str, Path], bare: SimpleNamespace
) -> None:
    with pytest.raises(ModelFileError, match="give the size it was trained on"):
        load(plain["logits"], labels=named(4), **RANGE)  # type: ignore[arg-type]
    with load(plain["logits"], labels=named(4), size=(12, 10), **RANGE) as predictor:  # type: ignore[arg-type]
        assert np.array_equal(predictor.scores(PIXELS), bare.tflite(plain["logits"], REAL))
        assert "12x10 pixels, as told" in predictor.assumptions
        assert len(list(predictor.scores_many([PIXELS[0]] * 3, workers=2))) == 3


def test_what_is_missing_is_asked_for_and_no_value_is_recommended(plain: dict[str, Path]) -> None:
    with pytest.raises(ModelFileError) as refused:
        load(plain["uint8"])
    assert "carries no contract" in str(refused.value) and "go in as they are" in str(refused.value)
    assert "range" not in str(refused.value)  # its own quantization scales
    with pytest.raises(InputError, match=r"--input-range 0\.\.1, -1\.\.1 or 0\.\.255, or --mean and --std"):
        load(plain["float"], labels=named(4))


def test_a_vector_divided_by_its_length_is_an_embedding(tmp_path: Path) -> None:
    """As torch.nn.functional.normalize is exported."""
    path = ending_in(tmp_path / "theirs.onnx", "ReduceL2", "Clip", "Div")
    with load(path, input_range=(0, 1)) as predictor:
        assert predictor.head.is_embedding
        assert np.linalg.norm(predictor.scores(PIXELS)) == pytest.approx(1)
