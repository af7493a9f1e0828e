"""Files made to do harm: they are refused, and nothing outside them is read or filled."""

from __future__ import annotations

import pickle
import zlib
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path

import flatbuffers
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

from edgewright.runtime import backends
from edgewright.runtime.backends import litert, ort
from edgewright.runtime.contract import InputContract
from edgewright.runtime.errors import ImageError, MissingExtraError, ModelFileError, UnknownNameError
from edgewright.runtime.preprocess import to_pixels

Run = Callable[..., tuple[int, str, str]]


def elsewhere(name: str, count: int) -> onnx.TensorProto:
    """A tensor whose numbers lie in another file."""
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[count])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="secret.bin")
    return tensor


def model(nodes: list[onnx.NodeProto], initializers: list[onnx.TensorProto], classes: int = 3) -> bytes:
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, [1, 2, 2, 1])
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, classes])
    graph = helper.make_graph(nodes, "graph", [image], [scores], initializers)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(made.SerializeToString())


def constant(tensor: onnx.TensorProto) -> onnx.NodeProto:
    return helper.make_node("Constant", [], [tensor.name], value=tensor)


BRANCH = helper.make_graph(
    [constant(elsewhere("b", 3))], "branch", [], [helper.make_tensor_value_info("b", TensorProto.FLOAT, [3])]
)


@pytest.mark.parametrize(
    ("nodes", "initializers"),
    [
        ([helper.make_node("Identity", ["w"], ["scores"])], [elsewhere("w", 3)]),
        ([constant(elsewhere("scores", 3))], []),
        ([helper.make_node("If", ["c"], ["scores"], then_branch=BRANCH, else_branch=BRANCH)], []),
    ],
    ids=["initializer", "constant node", "branch"],
)
def test_hostile_onnx_weights_in_other_files_are_refused_wherever_they_stand(
    tmp_path: Path, nodes: list[onnx.NodeProto], initializers: list[onnx.TensorProto]
) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(model(nodes, initializers))
    with pytest.raises(ModelFileError, match="expected all weights inside"):
        backends.for_path(path).read(path)


def _in_function_defaults(proto: onnx.ModelProto) -> None:
    proto.functions.add(name="f").attribute_proto.add(name="a").t.CopyFrom(elsewhere("w", 3))


def _in_training(proto: onnx.ModelProto) -> None:
    proto.training_info.add().algorithm.initializer.append(elsewhere("w", 3))


def _said_to_be_inside(proto: onnx.ModelProto) -> None:
    tensor = elsewhere("w", 3)
    tensor.data_location = TensorProto.DEFAULT
    proto.graph.initializer.append(tensor)


@pytest.mark.parametrize("hide", [_in_function_defaults, _in_training, _said_to_be_inside])
def test_hostile_onnx_weights_in_other_files_are_refused_in_every_corner(hide: Callable[..., None]) -> None:
    proto = onnx.ModelProto.FromString(model([helper.make_node("Identity", ["image"], ["scores"])], []))
    hide(proto)
    with pytest.raises(ModelFileError, match="expected all weights inside"):
        ort.BACKEND.parse(Path("a.onnx"), proto.SerializeToString())


def test_hostile_onnx_file_of_two_readings_is_refused() -> None:
    """onnxruntime would read weights.bin beside it: protobuf truncates the one and merges the other."""
    nodes = [helper.make_node("Identity", ["w"], ["scores"])]
    beside = elsewhere("w", 3).SerializeToString()
    inside = helper.make_tensor("w", TensorProto.FLOAT, [3], [1, 2, 3]).SerializeToString()
    truncated = beside.replace(b"\x70\x01", b"\x70\x81\x80\x80\x80\x10")
    assert TensorProto.FromString(truncated).data_location == TensorProto.EXTERNAL
    raw = model(nodes, [TensorProto.FromString(inside)])
    assert ort.BACKEND.parse(Path("a.onnx"), raw).inputs
    size = (
        bytes([len(truncated) & 0x7F | 0x80, len(truncated) >> 7])
        if len(truncated) > 127
        else bytes([len(truncated)])
    )
    graph = b"\x2a" + size + truncated
    for more in (b"\x3a" + bytes([len(graph)]) + graph, b"\x3a\x00", b"\x08\x07"):
        with pytest.raises(ModelFileError, match=r"given twice|no DataLocation"):
            ort.BACKEND.parse(Path("a.onnx"), raw + more)
    with pytest.raises(ModelFileError, match="ORT format"):
        ort.BACKEND.parse(Path("a.onnx"), b"\x12\x06abORTM" + raw)
    twice = onnx.ModelProto.FromString(raw)
    for value in "ab":
        twice.metadata_props.add(key="edgewright", value=value)
    with pytest.raises(ModelFileError, match="two values of 'edgewright'"):
        ort.BACKEND.parse(Path("a.onnx"), twice.SerializeToString())


def test_hostile_tflite_weights_in_other_files_are_refused() -> None:
    from ai_edge_litert import schema_py_generated as schema

    raw = zlib.decompress(b64decode(litert.BACKEND.sample))
    made = schema.ModelT.InitFromObj(schema.Model.GetRootAs(bytearray(raw)))
    group = schema.ExternalBufferGroupT()
    group.name = "weights.bin"
    made.externalBufferGroups = [group]
    builder = flatbuffers.Builder(1024)
    builder.Finish(made.Pack(builder), b"TFL3")
    with pytest.raises(ModelFileError, match="expected all weights inside"):
        litert.BACKEND.parse(Path("a.tflite"), bytes(builder.Output()))


def test_hostile_model_that_gives_other_scores_than_it_declares_is_refused(tmp_path: Path) -> None:
    weights = helper.make_tensor("w", TensorProto.FLOAT, [1, 5], range(5))
    path = tmp_path / "model.onnx"
    path.write_bytes(model([helper.make_node("Identity", ["w"], ["scores"])], [weights]))
    backend = backends.for_path(path)
    with pytest.raises(ModelFileError):
        backend.open(backend.read(path), 1).run(np.zeros((1, 2, 2, 1), np.uint8))


def test_session_run_of_a_hostile_model_that_fails_is_an_error_of_ours(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Cast", ["image"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["floats"], ["sum"], keepdims=0),
        helper.make_node("Cast", ["sum"], ["count"], to=TensorProto.INT64),
        helper.make_node("Reshape", ["count", "shape"], ["size"]),
        helper.make_node("Expand", ["one", "size"], ["many"]),
        helper.make_node("Reshape", ["many", "wanted"], ["scores"]),
    ]
    constants = [
        helper.make_tensor("shape", TensorProto.INT64, [1], [1]),
        helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0]),
        helper.make_tensor("wanted", TensorProto.INT64, [2], [1, 3]),
    ]
    path = tmp_path / "model.onnx"
    path.write_bytes(model(nodes, constants))
    backend = backends.for_path(path)
    session = backend.open(backend.read(path), 1)
    three = np.array([0, 1, 1, 1], np.uint8).reshape(1, 2, 2, 1)
    assert session.run(three).tolist() == [[1.0, 1.0, 1.0]]
    with pytest.raises(ModelFileError, match="cannot run"):
        session.run(np.full((1, 2, 2, 1), 9, np.uint8))


def test_hostile_postscript_picture_is_not_handed_to_another_program() -> None:
    contract = InputContract(height=4, width=4, channels=1)
    with pytest.raises(ImageError, match="expected a picture"):
        to_pixels(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", contract)


@pytest.mark.parametrize("suffix", ["jpg", "png", "gif", "bmp", "ppm", "webp", "tiff"])
def test_pictures_of_the_usual_formats_are_decoded(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.new("RGB", (9, 9), (200, 200, 200)).save(path)
    assert to_pixels(path, InputContract(height=4, width=4, channels=1)).min() > 190


def test_hostile_file_names_cannot_steer_the_terminal(bundle: Path, run: Run) -> None:
    status, _, err = run("predict", bundle, "\x1b[2J\x07.png")
    assert status == 1
    assert "\x1b" not in err
    assert "\\x1b[2J" in err


@pytest.mark.parametrize("error", [MissingExtraError("a", "b"), UnknownNameError("recipe", "x", ["y", "z"])])
def test_errors_of_worker_processes_survive_pickle(error: Exception) -> None:
    assert str(pickle.loads(pickle.dumps(error))) == str(error)  # noqa: S301
