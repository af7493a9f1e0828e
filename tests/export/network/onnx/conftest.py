"""Small ONNX files as other programs write them, by onnx.helper alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgewright.export import formats
from edgewright.export.network.model import FileInterface, Model
from edgewright.export.network.onnx.network import OnnxNetwork
from edgewright.train.datasets import Images
from edgewright.train.normalization import Normalization

Make = Callable[..., Path]
Layers = tuple[list[Any], dict[str, NDArray[np.float32]]]
Score = Callable[[Path, Images], NDArray[np.float32]]
SHAPE = (12, 12, 3)
UNIT = Normalization.of_range(0, 1)


def network_of(path: Path, says: Normalization = UNIT, **more: Any) -> OnnxNetwork:
    interface = more.pop("interface", FileInterface())
    return OnnxNetwork(Model.at(path, says, **more), interface)


def run(path: Path, given: NDArray[Any], output: str = "y") -> NDArray[np.float32]:
    """What the file itself gives, by onnxruntime alone."""
    scores = onnxruntime.InferenceSession(path).run([output], {"x": given})[0]
    return np.asarray(scores, np.float32)


def written(network: OnnxNetwork, scheme: str, images: Images, folder: Path) -> Path:
    formats.get("onnx").export(network, scheme, images, folder / "out.onnx")
    return folder / "out.onnx"


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Write a file of `nodes`, from the value "x" to the values `outputs` (dtypes by name)."""

    def call(
        nodes: Sequence[Any],
        constants: Mapping[str, NDArray[Any]],
        dims: Sequence[int | str | None] = ("n", 3, 12, 12),
        *,
        outputs: Mapping[str, int | Any] | None = None,
        dtype: int = TensorProto.FLOAT,
        opset: int = 17,
        ir_version: int = 8,
        domains: Sequence[str] = (),
        more: Sequence[Any] = (),
        name: str = "model.onnx",
    ) -> Path:
        declared = [
            helper.make_tensor_value_info(name, kind, None) if isinstance(kind, int) else kind
            for name, kind in (outputs or {"y": TensorProto.FLOAT}).items()
        ]
        graph = helper.make_graph(
            list(nodes),
            "made",
            [helper.make_tensor_value_info("x", dtype, dims), *more],
            declared,
            [numpy_helper.from_array(value, key) for key, value in constants.items()],
        )
        opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in domains)]
        onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=ir_version), tmp_path / name)
        return tmp_path / name

    return call


@pytest.fixture(scope="session")
def layers() -> tuple[list[Any], dict[str, NDArray[np.float32]]]:
    """A convolution and a dense layer, channels first: nodes from "x" to "y", and their constants."""
    random = np.random.default_rng(0)
    constants = {
        "kernel": random.normal(0, 0.3, (8, 3, 3, 3)),
        "bias": random.normal(0, 0.1, 8),
        "dense": random.normal(0, 0.2, (8 * 25, 10)),
        "shift": random.normal(0, 0.1, 10),
    }
    nodes = [
        helper.make_node("Conv", ["x", "kernel", "bias"], ["c"], strides=[2, 2]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("Flatten", ["r"], ["f"]),
        helper.make_node("Gemm", ["f", "dense", "shift"], ["y"]),
    ]
    return nodes, {name: value.astype(np.float32) for name, value in constants.items()}


@pytest.fixture(scope="session")
def images() -> Images:
    return np.random.default_rng(1).integers(0, 256, (40, *SHAPE), np.uint8)
