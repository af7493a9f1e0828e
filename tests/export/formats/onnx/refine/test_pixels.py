"""Which scaling of pixels a graph begins with, however it is written."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from edgewright.export.formats.onnx.refine.pixels import scaling
from edgewright.export.network.float_network import INPUT, OUTPUT


@pytest.mark.parametrize(
    ("steps", "factor", "offset"),
    [
        ([("Mul", 1 / 255)], 1 / 255, 0.0),
        ([("Mul", 2 / 255), ("Add", -1.0)], 2 / 255, -1.0),
        ([("Sub", 127.5), ("Mul", 1 / 127.5)], 1 / 127.5, -1.0),
        ([("Add", -127.5), ("Div", 127.5)], 1 / 127.5, -1.0),
        ([("Div", 255.0), ("Sub", 0.5), ("Mul", 4.0)], 4 / 255, -2.0),
        ([("Cast", None), ("Identity", None), ("Mul", 0.5)], 0.5, 0.0),
        ([("Mul", 0.5), ("Relu", None), ("Mul", 3.0)], 0.5, 0.0),
    ],
)
def test_scaling_is_followed_as_long_as_it_is_one_factor_and_one_offset(
    steps: Sequence[tuple[str, float | None]], factor: float, offset: float
) -> None:
    from onnx import TensorProto, helper, numpy_helper

    nodes, constants, value = [], [], INPUT
    for place, (kind, number) in enumerate(steps):
        after = OUTPUT if place == len(steps) - 1 else f"v{place}"
        inputs = [value] if number is None else [value, f"c{place}"]
        nodes.append(
            helper.make_node(kind, inputs, [after], **({"to": TensorProto.FLOAT} if kind == "Cast" else {}))
        )
        if number is not None:
            constants.append(numpy_helper.from_array(np.float32(number), f"c{place}"))
        value = after
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in (INPUT, OUTPUT)]
    found = scaling(helper.make_graph(nodes, "made", ends[:1], ends[1:], constants))
    assert (found.factor, found.offset) == pytest.approx((factor, offset), rel=1e-6)
    assert len(found.nodes) == next((i for i, (kind, _) in enumerate(steps) if kind == "Relu"), len(steps))
