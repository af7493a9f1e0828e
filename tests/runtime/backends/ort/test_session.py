"""What only .onnx files can do wrong: weights elsewhere, free sizes, types this runtime does not know."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgewright.export.exporter import Result
from edgewright.runtime import backends
from edgewright.runtime.errors import ModelFileError


def save(path: Path, *, shape: tuple[int | str, ...] = (1, 2, 2, 1), count: int = 1) -> onnx.ModelProto:
    """A flatten-and-multiply network of `count` inputs that are added up."""
    names = [f"x{i}" for i in range(count)]
    weights = numpy_helper.from_array(np.eye(4, 3, dtype=np.float32), "w")
    nodes = [helper.make_node("Sum", names, ["sum"]), helper.make_node("Flatten", ["sum"], ["flat"])]
    nodes.append(helper.make_node("MatMul", ["flat", "w"], ["y"]))
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in names],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [shape[0], 3])],
        [weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return model


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.onnx"


def test_onnx_shapes_types_and_operators_are_read_as_onnx_reads_them(path: Path) -> None:
    save(path, shape=("n", 2, 2, 1))
    file = backends.for_path(path).read(path)
    assert [(t.name, t.shape, t.dtype) for t in file.inputs] == [("x0", (-1, 2, 2, 1), "float32")]
    assert [(t.name, t.shape, t.dtype) for t in file.outputs] == [("y", (-1, 3), "float32")]
    assert file.facts["format"] == "ONNX IR 8, opset ai.onnx 17"
    assert backends.for_path(path).graph(file).operators() == {"Sum": 1, "Flatten": 1, "MatMul": 1}


def test_onnx_constants_that_are_also_listed_as_inputs_are_none(path: Path) -> None:
    model = save(path)
    model.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [4, 3]))
    onnx.save(model, path)
    assert [t.name for t in backends.for_path(path).read(path).inputs] == ["x0"]


def test_ort_session_of_a_free_batch_takes_any_number_of_images(path: Path) -> None:
    save(path, shape=("n", 2, 2, 1))
    backend = backends.for_path(path)
    session = backend.open(backend.read(path), threads=1)
    pixels = np.arange(12, dtype=np.float32).reshape(3, 2, 2, 1)
    assert session.run(pixels).tolist() == [[0, 1, 2], [4, 5, 6], [8, 9, 10]]


def test_onnx_weights_in_another_file_are_refused(path: Path) -> None:
    model = save(path)
    onnx.save(model, path, save_as_external_data=True, location="weights", size_threshold=0)
    with pytest.raises(ModelFileError, match=r"expected all weights inside .*a\.onnx, got references"):
        backends.for_path(path).read(path)


@pytest.mark.parametrize(("shape", "count"), [((1, 2, 2, 1), 2), ((1, 4), 1)])
def test_ort_open_refuses_what_is_no_image_classifier(path: Path, shape: tuple[int, ...], count: int) -> None:
    save(path, shape=shape, count=count)
    backend = backends.for_path(path)
    with pytest.raises(ModelFileError, match=r"expected one \(batch, height, width, channels\) input"):
        backend.open(backend.read(path), threads=1)


def test_a_model_that_onnxruntime_refuses_is_refused_in_one_line(path: Path) -> None:
    model = save(path)
    model.graph.node[0].op_type = "NoSuchOperator"
    onnx.save(model, path)
    backend = backends.for_path(path)
    with pytest.raises(ModelFileError, match=r"onnxruntime cannot load .*NoSuchOperator") as failure:
        backend.open(backend.read(path), threads=1)
    assert "\n" not in str(failure.value)


def test_ort_session_scores_are_the_callers_to_keep_and_pixels_may_lie_in_memory_as_they_like(
    exported: tuple[Path, Result],
) -> None:
    path = exported[0] / "onnx-int8.onnx"
    session = backends.for_path(path).open(backends.for_path(path).read(path), threads=1)
    first, second = np.random.default_rng(0).integers(0, 256, (2, 1, 28, 28, 1), np.uint8)
    kept = session.run(first)
    before = kept.copy()
    assert not np.array_equal(session.run(second), before)
    assert np.array_equal(kept, before)
    kept[:] = 0
    assert np.array_equal(session.run(first), before)
    turned = first[:, ::-1, ::-1]
    assert not turned.flags.c_contiguous
    assert np.array_equal(session.run(turned), session.run(turned.copy()))


def test_onnx_session_run_gives_exact_sums_of_8_bit_products(tmp_path: Path) -> None:
    """Without being asked for, they saturate on x86 processors that have no VNNI."""
    weights = np.random.default_rng(0).integers(-128, 128, (256, 64)).astype(np.int8)
    nodes = [
        helper.make_node("Flatten", ["image"], ["row"]),
        helper.make_node("MatMulInteger", ["row", "weights"], ["sums"]),
        helper.make_node("Cast", ["sums"], ["scores"], to=TensorProto.FLOAT),
    ]
    graph = helper.make_graph(
        nodes,
        "products",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, (1, 16, 16, 1))],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, (1, 64))],
        [numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path / "products.onnx"
    onnx.save(model, path)
    backend = backends.get("ort")
    pixels = np.full((1, 16, 16, 1), 255, np.uint8)
    scores = backend.open(backend.read(path), threads=1).run(pixels)
    np.testing.assert_array_equal(scores[0], 255.0 * weights.astype(np.int64).sum(axis=0))
