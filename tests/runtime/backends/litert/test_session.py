"""The int8 .tflite file is what NPUs want, and gives the same scores on LiteRT's other kernels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from edgewright.export.exporter import Result
from edgewright.runtime import load
from edgewright.runtime.backends.litert.session import _dequantizer
from edgewright.runtime.bundle.manifest import Bundle
from edgewright.runtime.contract import TensorSpec
from edgewright.runtime.verification import GOLDEN_INPUTS, read_golden

INT8 = "tflite-int8"


def builtin(raw: bytes) -> Any:
    """An interpreter without XNNPACK: its operators are the file's own."""
    interpreter = Interpreter(
        model_content=raw, experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    )
    interpreter.allocate_tensors()
    return interpreter


@pytest.fixture(scope="module")
def opened(exported: tuple[Path, Result]) -> Bundle:
    return Bundle.open(exported[0])


def test_tflite_int8_has_one_quantize_at_each_end_and_no_other_step_before_its_first_layer(
    opened: Bundle,
) -> None:
    interpreter = builtin((opened.folder / f"{INT8}.tflite").read_bytes())
    names = [op["op_name"] for op in interpreter._get_ops_details()]
    assert names[0] == names[-1] == "QUANTIZE"
    assert names.count("QUANTIZE") == 2
    before = names[1 : names.index("FULLY_CONNECTED")]
    assert set(before) <= {"RESHAPE"}
    assert not {"DEQUANTIZE", "CAST", "MUL"} & set(names)


def test_tflite_int8_takes_raw_pixels_by_its_inputs_own_quantization(opened: Bundle) -> None:
    spec = opened.variant(INT8).input
    assert (spec.dtype, spec.zero_point) == ("uint8", 0)
    assert spec.scale == pytest.approx(1 / 255, rel=1e-5)
    assert opened.variant(INT8).output.dtype == "uint8"


@pytest.mark.parametrize("variant", [INT8, "tflite-float32", "tflite-float16"])
def test_litert_builtin_kernels_give_the_same_scores_within_the_manifests_tolerance(
    variant: str, opened: Bundle
) -> None:
    entry = opened.variant(variant)
    interpreter = builtin((opened.folder / entry.file.file).read_bytes())
    given, taken = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    golden = read_golden(opened)
    scores = []
    for image in golden[GOLDEN_INPUTS]:
        interpreter.set_tensor(given["index"], image[np.newaxis])
        interpreter.invoke()
        raw = interpreter.get_tensor(taken["index"])[0]
        scale, zero_point = taken["quantization"]
        scores.append((raw.astype(np.float32) - zero_point) * scale if scale else raw)
    expected = golden[variant]
    limit = (
        entry.tolerance.max_abs if entry.tolerance.kernels == "builtin" else entry.tolerance.max_abs_elsewhere
    )
    assert np.abs(np.stack(scores) - expected).max() <= limit
    assert (np.argmax(scores, axis=1) == expected.argmax(1)).all()


def test_xnnpack_computes_where_it_can(opened: Bundle) -> None:
    with load(opened.folder, variant=INT8) as predictor:
        assert predictor.session.kernels == "xnnpack"


def test_dequantized_scores_are_the_interpreters_codes_times_the_scale(opened: Bundle) -> None:
    with load(opened.folder, variant=INT8) as predictor:
        scores = predictor.scores(np.zeros((1, 28, 28, 1), np.uint8))
        spec = predictor.session.output
    codes = scores / np.float32(spec.scale) + spec.zero_point
    assert np.array_equal(codes, np.round(codes))
    assert codes.min() >= 0
    assert codes.max() <= 255


def test_litert_opening_a_file_prints_nothing(opened: Bundle, capfd: pytest.CaptureFixture[str]) -> None:
    capfd.readouterr()
    with load(opened.folder, variant=INT8) as predictor:
        predictor.scores(np.zeros((1, 28, 28, 1), np.uint8))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("dtype", "zero_point"), [("int8", -20), ("uint8", 3), ("int16", 7)])
def test_dequantized_scores_are_codes_less_the_zero_point(dtype: str, zero_point: int) -> None:
    """Probabilities of 8 bits have a zero point of 0, or -128 of int8: logits and embeddings have others."""
    limits = np.iinfo(dtype)
    codes = np.array([[limits.min, 1, 100, limits.max]], dtype)
    spec = TensorSpec(name="y", shape=(1, 4), dtype=dtype, scale=0.5, zero_point=zero_point)
    dequantize = _dequantizer(spec)
    assert dequantize is not None
    np.testing.assert_array_equal(dequantize(codes), (codes.astype(np.float32) - zero_point) * 0.5)
