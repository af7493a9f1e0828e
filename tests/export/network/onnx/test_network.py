"""ONNX files of any origin become files of raw pixels that give the scores their own graph gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from edgewright.export.network.model import FileInterface
from edgewright.runtime.errors import ExportError
from edgewright.train.datasets import Images
from edgewright.train.normalization import Normalization
from tests.export.network.onnx.conftest import UNIT, Layers, Make, Score, network_of, run, written

TORCH = Normalization.of_statistics((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CAFFE = Normalization(factor=(1.0,), offset=(-104.0, -117.0, -124.0), bgr=True)


@pytest.mark.slow
@pytest.mark.parametrize("says", [UNIT, TORCH, CAFFE], ids=["unit", "torch", "caffe"])
@pytest.mark.parametrize("dims", [("n", 3, 12, 12), (1, 3, 12, 12), ("n", "c", "h", "w")], ids=str)
def test_onnx_file_of_channels_first_takes_raw_pixels_in_every_scheme(
    says: Normalization,
    dims: tuple[Any, ...],
    make: Make,
    layers: Layers,
    images: Images,
    score: Score,
    tmp_path: Path,
) -> None:
    path = make(*layers, dims)
    network = network_of(path, says, size=(12, 12))
    facts = network.facts()
    assert (facts.shape, facts.classes, facts.head) == ((12, 12, 3), 10, "logits")
    assert (facts.input, facts.output) == ("x", "y")
    pixels = images[..., ::-1] if says.bgr else images
    scaled = (pixels * np.array(says.factor) + np.array(says.offset)).astype(np.float32)
    turned = np.moveaxis(scaled, -1, 1)
    expected = np.concatenate([run(path, turned[i : i + 1]) for i in range(len(images))])
    spread = float(np.ptp(expected))
    np.testing.assert_allclose(network.scores(images), expected, atol=1e-5 * spread)
    for scheme, limit in (("float32", 1e-5), ("float16", 5e-3), ("int8", 0.05), ("dynamic-int8", 0.05)):
        found = score(written(network, scheme, images, tmp_path), images)
        np.testing.assert_allclose(found, expected, atol=limit * spread, err_msg=scheme)


def test_onnx_file_written_with_integer_weights_and_names_of_the_house(
    make: Make, layers: Layers, images: Images, tmp_path: Path
) -> None:
    model = onnx.load(written(network_of(make(*layers)), "int8", images, tmp_path))
    stored = {c.data_type for c in model.graph.initializer if len(c.dims) > 1}
    assert stored == {TensorProto.INT8}
    assert [value.name for value in (*model.graph.input, *model.graph.output)] == ["image", "scores"]
    assert "Cast" not in [node.op_type for node in model.graph.node]


@pytest.mark.parametrize(
    ("dims", "shape", "size"),
    [
        (("n", 12, 12, 3), (12, 12, 3), None),
        (("n", None, None, 3), (12, 12, 3), (12, 12)),
        (("n", 12, 36), (12, 36, 1), None),
        (("n", 432), (12, 12, 3), (12, 12)),
        (("n", 432), (18, 24, 1), (18, 24)),
    ],
    ids=str,
)
def test_onnx_file_of_pixels_in_order_or_in_a_row(
    dims: tuple[Any, ...],
    shape: tuple[int, int, int],
    size: tuple[int, int] | None,
    make: Make,
    images: Images,
    score: Score,
    tmp_path: Path,
) -> None:
    dense = np.random.default_rng(0).normal(0, 0.1, (432, 4)).astype(np.float32)
    row = np.array([-1, 432], np.int64)
    nodes = [
        helper.make_node("Reshape", ["x", "row"], ["f"]),
        helper.make_node("MatMul", ["f", "dense"], ["y"]),
    ]
    network = network_of(make(nodes, {"dense": dense, "row": row}, dims), size=size)
    assert network.facts().shape == shape
    expected = images.reshape(40, -1) / 255 @ dense
    pixels = images.reshape(40, *shape)
    np.testing.assert_allclose(network.scores(pixels), expected, atol=1e-4)
    np.testing.assert_allclose(
        score(written(network, "float32", pixels, tmp_path), pixels), expected, atol=1e-4
    )


@pytest.mark.parametrize("dims", [("n", "c", "h", "w"), (None, None, None, None)], ids=str)
def test_onnx_file_that_leaves_all_open_and_turns_its_image_has_channels_last(
    dims: tuple[Any, ...], make: Make, layers: Layers
) -> None:
    nodes, constants = layers
    first = [
        helper.make_node("Sub", ["x", "half"], ["s"]),
        helper.make_node("Transpose", ["s"], ["t"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["t", "kernel", "bias"], ["c"], strides=[2, 2]),
    ]
    half = {"half": np.array(0.5, np.float32)}
    network = network_of(make([*first, *nodes[1:]], {**constants, **half}, dims), size=(12, 12))
    assert network.facts().shape == (12, 12, 3)


@pytest.mark.parametrize("dtype", [TensorProto.FLOAT16, TensorProto.DOUBLE])
def test_onnx_file_of_other_floats_is_quantized_and_held_against_its_own_scores(
    dtype: int, make: Make, layers: Layers, images: Images, score: Score, tmp_path: Path
) -> None:
    nodes, constants = layers
    if dtype == TensorProto.DOUBLE:  # of which onnxruntime has no convolutions
        dense = np.random.default_rng(0).normal(0, 0.1, (432, 10))
        nodes, constants = (
            [helper.make_node("Flatten", ["x"], ["f"]), nodes[-1]],
            {**constants, "dense": dense},
        )
    kind = helper.tensor_dtype_to_np_dtype(dtype)
    typed = {name: value.astype(kind) for name, value in constants.items()}
    path = make(nodes, typed, dtype=dtype, outputs={"y": dtype})
    network = network_of(path)
    expected = run(path, np.moveaxis(images / 255, -1, 1).astype(kind))
    np.testing.assert_allclose(network.scores(images), expected, atol=1e-2)
    for scheme in ("float32", "int8"):
        model = written(network, scheme, images, tmp_path)
        np.testing.assert_allclose(score(model, images), expected, atol=0.3, err_msg=scheme)
        kinds = {c.data_type for c in onnx.load(model).graph.initializer}
        assert not kinds & {TensorProto.FLOAT16, TensorProto.DOUBLE}


@pytest.mark.parametrize("dtype", [TensorProto.UINT8, TensorProto.INT32])
def test_onnx_file_of_whole_numbers_takes_pixels_as_they_are(
    dtype: int, make: Make, layers: Layers, images: Images, score: Score, tmp_path: Path
) -> None:
    nodes, constants = layers
    first = [
        helper.make_node("Cast", ["x"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Conv", ["float", "kernel", "bias"], ["c"], strides=[2, 2]),
    ]
    path = make([*first, *nodes[1:]], constants, dtype=dtype)
    with pytest.raises(ExportError, match=r"--input-range 0\.\.255"):
        network_of(path)
    network = network_of(path, Normalization.of_range(0, 255))
    expected = run(path, np.moveaxis(images, -1, 1).astype(helper.tensor_dtype_to_np_dtype(dtype)))
    for scheme, limit in (("float32", 1e-2), ("int8", 30.0)):
        found = score(written(network, scheme, images, tmp_path), images)
        np.testing.assert_allclose(found, expected, atol=limit, err_msg=scheme)


@pytest.mark.parametrize(
    ("opset", "ir_version", "kept"), [(21, 10, (21, 10)), (17, 8, (17, 8)), (11, 6, (13, 8))]
)
@pytest.mark.parametrize("scheme", ["float32", "int8"])
def test_onnx_file_keeps_its_opset_unless_quantization_needs_a_newer_one(
    opset: int,
    ir_version: int,
    kept: tuple[int, int],
    scheme: str,
    make: Make,
    layers: Layers,
    images: Images,
    tmp_path: Path,
) -> None:
    network = network_of(make(*layers, opset=opset, ir_version=ir_version))
    model = onnx.load(written(network, scheme, images, tmp_path))
    assert ([entry.version for entry in model.opset_import], model.ir_version) == ([kept[0]], kept[1])


@pytest.mark.parametrize(("batch", "dtype"), [(None, "uint8"), (5, "float32")])
@pytest.mark.parametrize("scheme", ["float32", "int8"])
def test_onnx_file_of_a_free_batch_is_written_with_any_edge(
    scheme: str,
    batch: int | None,
    dtype: str,
    make: Make,
    layers: Layers,
    images: Images,
    tmp_path: Path,
) -> None:
    network = network_of(make(*layers), interface=FileInterface(batch=batch, dtype=dtype))
    path = written(network, scheme, images, tmp_path)
    session = onnxruntime.InferenceSession(path)
    given = session.get_inputs()[0]
    assert given.shape == [batch or "batch", 12, 12, 3]
    found = session.run(["scores"], {"image": images[:5].astype(dtype)})[0]
    np.testing.assert_allclose(found, network.scores(images[:5]), atol=1e-4 if scheme == "float32" else 0.3)


def test_onnx_dense_layers_as_scikit_learn_writes_them_are_quantized(
    make: Make, images: Images, score: Score, tmp_path: Path
) -> None:
    """MLPClassifier: biases are (1, n), which onnxruntime's quantizer cannot take; what is behind the last
    layer stays in floats."""
    random = np.random.default_rng(0)
    shapes = {"w": (432, 64), "b": (1, 64), "v": (64, 1), "c": (1, 1)}
    constants: dict[str, Any] = {
        name: random.normal(0, 0.1, shape).astype(np.float32) for name, shape in shapes.items()
    }
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["xw"]),
        helper.make_node("Add", ["xw", "b"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("MatMul", ["r", "v"], ["rv"]),
        helper.make_node("Add", ["rv", "c"], ["s"]),
        helper.make_node("Sigmoid", ["s"], ["p"]),
        helper.make_node("Sub", ["one", "p"], ["q"]),
        helper.make_node("Concat", ["q", "p"], ["y"], axis=1),
    ]
    constants["one"] = np.array(1, np.float32)
    network = network_of(make(nodes, constants, ("n", 432)), size=(12, 12))
    path = written(network, "int8", images, tmp_path)
    np.testing.assert_allclose(score(path, images), network.scores(images), atol=0.05)
    kinds = [node.op_type for node in onnx.load(path).graph.node]
    assert "QuantizeLinear" not in kinds[kinds.index("Sigmoid") :]
    assert {"QuantizeLinear", "Gemm"} <= {*kinds}


def test_onnx_scores_of_one_pixel_are_a_row(
    make: Make, layers: Layers, images: Images, score: Score, tmp_path: Path
) -> None:
    """As fully convolutional networks give them, (batch, classes, 1, 1)."""
    nodes, constants = layers
    last = helper.make_node("GlobalAveragePool", ["r"], ["y"])
    path = make([*nodes[:2], last], constants)
    network = network_of(path)
    expected = run(path, np.moveaxis(images / np.float32(255), -1, 1))[:, :, 0, 0]
    assert network.facts().classes == 8
    np.testing.assert_allclose(network.scores(images), expected, atol=1e-5)
    found = score(written(network, "float32", images, tmp_path), images)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("batch", [4, None])
def test_onnx_file_of_a_fixed_batch_is_filled_up(
    batch: int | None, make: Make, layers: Layers, images: Images
) -> None:
    path = make(*layers, (4, 3, 12, 12))
    if batch is None:
        with pytest.raises(ExportError, match="expected --batch 4"):
            network_of(path, interface=FileInterface(batch=batch))
        return
    network = network_of(path, interface=FileInterface(batch=batch))
    assert network.facts().classes == 10
    expected = network_of(make(*layers, name="free.onnx")).scores(images[:6])
    np.testing.assert_allclose(network.scores(images[:6]), expected, atol=1e-5)


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("post", ["SOFTMAX", "LOGISTIC"])
def test_onnx_file_of_scikit_learn_gives_its_probabilities_and_has_dense_weights(
    zipped: bool,
    post: str,
    make: Make,
    images: Images,
    score: Score,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """LinearClassifier, Normalizer, ZipMap: as skl2onnx writes a LogisticRegression."""
    random, ml = np.random.default_rng(0), "ai.onnx.ml"
    coefficients = random.normal(0, 0.05, 4 * 432).astype(np.float32)
    nodes = [
        helper.make_node(
            "LinearClassifier",
            ["x"],
            ["label", "raw"],
            domain=ml,
            coefficients=coefficients.tolist(),
            intercepts=[0.1, 0.2, 0.3, 0.4],
            classlabels_ints=[0, 1, 2, 3],
            post_transform=post,
        ),
        helper.make_node("Normalizer", ["raw"], ["p"], domain=ml, norm="L1"),
    ]
    outputs: dict[str, Any] = {"label": TensorProto.INT64, "p": TensorProto.FLOAT}
    if zipped:
        nodes.append(helper.make_node("ZipMap", ["p"], ["zip"], domain=ml, classlabels_int64s=[0, 1, 2, 3]))
        pairs = helper.make_map_type_proto(TensorProto.INT64, helper.make_tensor_type_proto(1, []))
        kind = helper.make_sequence_type_proto(pairs)
        outputs = {"label": TensorProto.INT64, "zip": helper.make_value_info("zip", kind)}
    path = make(nodes, {}, ("n", 432), outputs=outputs, domains=[ml])
    network = network_of(path, size=(12, 12))
    facts = network.facts()
    assert (facts.head, facts.classes, facts.output) == ("softmax", 4, "zip" if zipped else "p")
    sums = images.reshape(40, -1) / 255 @ coefficients.reshape(4, -1).T + [0.1, 0.2, 0.3, 0.4]
    raw = np.exp(sums) if post == "SOFTMAX" else 1 / (1 + np.exp(-sums))
    expected = raw / raw.sum(1, keepdims=True)
    np.testing.assert_allclose(network.scores(images), expected, atol=1e-5)
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    for scheme, limit in (("float32", 1e-5), ("int8", 0.05), ("dynamic-int8", 0.05)):
        model = written(network, scheme, images, tmp_path)
        np.testing.assert_allclose(score(model, images), expected, atol=limit, err_msg=scheme)
        stored = [c.data_type for c in onnx.load(model).graph.initializer if np.prod(c.dims) == 1728]
        assert stored == [TensorProto.FLOAT if scheme == "float32" else TensorProto.INT8]
    assert not list(here.iterdir())  # onnxruntime leaves what it cannot infer the shapes of


def test_onnx_int8_of_what_has_no_dense_layer_says_so(make: Make, images: Images, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["y"], axes=[2, 3], keepdims=0),
    ]
    with pytest.raises(ExportError, match="int8 would quantize nothing"):
        written(network_of(make(nodes, {})), "int8", images, tmp_path)


def test_onnx_output_is_chosen_by_name_among_several(make: Make, layers: Layers, images: Images) -> None:
    nodes, constants = layers
    path = make(
        [*nodes, helper.make_node("ReduceMean", ["r"], ["z"], axes=[2, 3], keepdims=0)],
        constants,
        outputs={"y": TensorProto.FLOAT, "z": TensorProto.FLOAT},
    )
    with pytest.raises(ExportError, match="got 2: y, z; add --output y"):
        network_of(path)
    with pytest.raises(ExportError, match="--output to be one of y, z, got 'w'"):
        network_of(path, output="w")
    network = network_of(path, output="z")
    assert (network.facts().classes, network.scores(images).shape) == (8, (40, 8))


def test_onnx_branches_keep_what_they_take_from_around_them(
    make: Make, layers: Layers, images: Images, score: Score, tmp_path: Path
) -> None:
    """An If whose branches read a value and a constant of the graph around it."""
    nodes, constants = layers
    branches = {}
    for branch, operator in (("then_branch", "Add"), ("else_branch", "Sub")):
        value = helper.make_tensor_value_info("b", TensorProto.FLOAT, None)
        inside = [helper.make_node(operator, ["s", "outer"], ["b"])]
        branches[branch] = helper.make_graph(inside, branch, [], [value])
    more = [
        helper.make_node("Gemm", ["f", "dense", "shift"], ["s"]),
        helper.make_node("ReduceMax", ["s"], ["most"], keepdims=0),
        helper.make_node("Greater", ["most", "limit"], ["much"]),
        helper.make_node("If", ["much"], ["y"], **branches),
    ]
    constants = constants | {"outer": np.arange(10, dtype=np.float32), "limit": np.array(1.0, np.float32)}
    network = network_of(make([*nodes[:-1], *more], constants, (1, 3, 12, 12)))
    expected = network.scores(images)
    found = score(written(network, "float32", images, tmp_path), images)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert np.ptp(expected[:, 9] - expected[:, 0]) > 10  # both branches were taken
