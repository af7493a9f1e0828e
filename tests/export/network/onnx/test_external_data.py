"""ONNX files whose weights lie in a file beside them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from edgewright.export.network.model import Model
from edgewright.export.network.onnx.network import OnnxNetwork
from edgewright.runtime.errors import ExportError, InputError
from edgewright.train.datasets import Images
from tests.export.network.onnx.conftest import UNIT, Layers, Make, Score, network_of, written


def external(path: Path, location: str) -> None:
    """Move the dense layer's weights into a file beside it, which it calls `location`."""
    model = onnx.load(path)
    dense = next(c for c in model.graph.initializer if c.name == "dense")
    weights = numpy_helper.to_array(dense).tobytes()
    path.with_name("weights.bin").write_bytes(weights)
    dense.ClearField("raw_data")
    dense.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", str(len(weights)))):
        dense.external_data.add(key=key, value=value)
    path.write_bytes(model.SerializeToString())


def test_onnx_weights_beside_the_file_are_read_and_packed_into_what_is_written(
    make: Make, layers: Layers, images: Images, score: Score, tmp_path: Path
) -> None:
    path = make(*layers)
    expected = network_of(path).scores(images)
    external(path, "weights.bin")
    model = Model.at(path, UNIT)
    assert model.sizes()[0] == sum(p.stat().st_size for p in tmp_path.iterdir())
    network = OnnxNetwork(model)
    np.testing.assert_allclose(network.scores(images), expected, atol=1e-6)
    alone = tmp_path / "elsewhere"
    alone.mkdir()
    np.testing.assert_allclose(score(written(network, "float32", images, alone), images), expected, atol=1e-4)
    raw = bytearray(path.with_name("weights.bin").read_bytes())
    raw[0] ^= 1
    path.with_name("weights.bin").write_bytes(raw)
    assert Model.at(path, UNIT).sha256 != model.sha256
    with pytest.raises(ExportError, match="not the model it was"):
        OnnxNetwork(model)


@pytest.mark.parametrize("location", ["../weights.bin", "/etc/passwd", "gone.bin", "link.bin", ""])
def test_onnx_weights_that_lie_elsewhere_are_refused(
    location: str, make: Make, layers: Layers, tmp_path: Path
) -> None:
    path = make(*layers, name="model.onnx")
    external(path, location)
    (tmp_path.parent / "weights.bin").write_bytes(b"1")
    (tmp_path / "link.bin").symlink_to("/etc/passwd")
    with pytest.raises(InputError, match="in files of its own folder"):
        Model.at(path, UNIT)


def test_onnx_weights_shorter_than_said_are_refused(make: Make, layers: Layers) -> None:
    path = make(*layers)
    external(path, "weights.bin")
    path.with_name("weights.bin").write_bytes(b"1234")
    with pytest.raises(ExportError, match="expected a valid ONNX model"):
        network_of(path)


def test_onnx_file_of_more_than_two_gigabytes_is_refused(make: Make, layers: Layers) -> None:
    path = make(*layers)
    external(path, "weights.bin")
    with path.with_name("weights.bin").open("r+b") as file:
        file.truncate(2**31)
    with pytest.raises(InputError, match="at most 2 GB"):
        Model.at(path, UNIT)
