"""Tiny files that nobody vouched for, and a cache of each test's own."""

from __future__ import annotations

import base64
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgewright.runtime import backends
from edgewright.runtime.machine.child import ChildProcess
from edgewright.runtime.trust import process

Impostor = Callable[[str], None]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGEWRIGHT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(params=["litert", "ort"])
def stranger(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A file that adds up two columns of two pixels each."""
    backend = backends.get(request.param)
    path = tmp_path / f"stranger{backend.suffixes[0]}"
    path.write_bytes(zlib.decompress(base64.b64decode(backend.sample)))
    return path


@pytest.fixture
def impostor(monkeypatch: pytest.MonkeyPatch) -> Impostor:
    """Have some code run where the process apart should."""

    def take_over(code: str) -> None:
        monkeypatch.setattr(
            process, "start", lambda *words, **more: ChildProcess([sys.executable, "-I", "-S", "-c", code])
        )

    return take_over


@pytest.fixture
def huge(tmp_path: Path) -> Path:
    """A small file that asks for 16 GB if the first pixel is not grey, 100."""
    constants = {"many": np.array([1, 2**32], np.int64), "one": np.array([1, 1], np.int64)}
    body = {
        name: helper.make_graph(
            [helper.make_node("Tile", ["real", count], [name])],
            name,
            [],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None)],
        )
        for name, count in (("meek", "one"), ("wild", "many"))
    }
    nodes = [
        helper.make_node("Flatten", ["image"], ["flat"]),
        helper.make_node("Cast", ["flat"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Equal", ["real", "grey"], ["same"]),
        helper.make_node("Squeeze", ["same"], ["is_grey"]),
        helper.make_node("If", ["is_grey"], ["much"], then_branch=body["meek"], else_branch=body["wild"]),
        helper.make_node("ReduceMean", ["much"], ["scores"], axes=[1]),
    ]
    constants["grey"] = np.array([[100]], np.float32)  # type: ignore[assignment]
    return _saved(nodes, constants, tmp_path / "huge.onnx")


@pytest.fixture
def endless(tmp_path: Path) -> Path:
    """A small file that adds for hours if the first pixel is not grey, 100."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["on"]),
            helper.make_node("Mul", ["was", "less"], ["is"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, ()),
            helper.make_tensor_value_info("go", TensorProto.BOOL, ()),
            helper.make_tensor_value_info("was", TensorProto.FLOAT, (1, 1)),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, ()),
            helper.make_tensor_value_info("is", TensorProto.FLOAT, (1, 1)),
        ],
    )
    nodes = [
        helper.make_node("Flatten", ["image"], ["flat"]),
        helper.make_node("Cast", ["flat"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Equal", ["real", "grey"], ["same"]),
        helper.make_node("Squeeze", ["same"], ["is_grey"]),
        helper.make_node("Not", ["is_grey"], ["wild"]),
        helper.make_node("Loop", ["turns", "wild", "real"], ["scores"], body=body),
    ]
    constants = {
        "grey": np.array([[100]], np.float32),
        "turns": np.array(2**50, np.int64),
        "less": np.array([[0.5]], np.float32),
    }
    return _saved(nodes, constants, tmp_path / "endless.onnx")


def _saved(nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray], path: Path) -> Path:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, (1, 1, 1, 1))],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, (1, 1))],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path
