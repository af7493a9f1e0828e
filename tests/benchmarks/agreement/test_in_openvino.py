"""OpenVINO as an engine: parts of a file run there, one process for all, and one that it refuses says why."""

from __future__ import annotations

import numpy as np
import pytest

from edgewright.benchmarks.agreement import EngineError, in_openvino
from edgewright.benchmarks.agreement.cpu import Plain
from edgewright.runtime import plugins
from tests.benchmarks.agreement.planted import SIDE, net

pytestmark = pytest.mark.skipif(not plugins.installed("openvino"), reason="OpenVINO is not installed")


def test_file_and_its_parts_run_in_one_process() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (1, SIDE, SIDE, 3)).astype(np.uint8)
    with in_openvino.engine() as engine, Plain(net(), [picture]) as plain:
        with pytest.raises(EngineError):
            engine.open(b"no model")
        child = engine._child
        with engine.open(net()) as running:
            (got,) = running.run([picture])
            assert got.shape == plain.outputs[0][0].shape
        piece = plain.piece((plain.alone[0],), engine.steps, engine.error)
        with engine.open(piece.raw) as running:
            assert not piece.judged(0, running.run(piece.inputs[0]), engine.steps, engine.error)[1]
        assert engine._child is child
        assert list(engine._folder.iterdir()) == []
    assert engine._child is None
