"""One codebook in each clustered layer of a QDQ graph, see `edgewright.export.weights.codebooks`."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from edgewright.export.formats import Context
from edgewright.export.weights import codebooks


def refine(model: Any, context: Context) -> str | None:
    """Store each clustered layer with one codebook; None where no layer is clustered."""
    from onnx import numpy_helper

    graph = model.graph
    constants = {constant.name: constant for constant in graph.initializer}
    made = {node.output[0]: node for node in graph.node if node.op_type == "DequantizeLinear"}
    uses = Counter(name for node in graph.node for name in node.input)
    turned = [
        np.moveaxis(kernel, -1, 1) for kernel in context.network.clustered
    ]  # input channels before height and width
    done = 0
    for node in graph.node:
        parts = [made[name] for name in node.input[1:] if name in made]
        owned = [name for part in parts for name in (*part.input[:2], part.output[0])]
        if (
            node.op_type not in ("Conv", "Gemm", "MatMul")
            or not parts
            or node.input[1] != parts[0].output[0]
            or not all(uses[name] == 1 for name in owned)
            or not constants.keys() >= {name for part in parts for name in part.input}
        ):
            continue
        stored, scales = (numpy_helper.to_array(constants[name]) for name in parts[0].input[:2])
        if stored.dtype != np.int8 or scales.ndim != 1:
            continue
        axis = next((a.i for a in parts[0].attribute if a.name == "axis"), 1)
        recoded = codebooks.recode(np.moveaxis(stored, axis, 0), scales, turned)
        if recoded is None:
            continue
        codes, shared = recoded
        anew = {parts[0].input[0]: np.moveaxis(codes, 0, axis), parts[0].input[1]: shared}
        if len(parts) > 1:
            bias, steps = (numpy_helper.to_array(constants[name]) for name in parts[1].input[:2])
            moved = np.rint(bias * (scales / shared.astype(np.float64)))
            if np.abs(moved).max() > 2**31 - 1:
                continue
            anew |= {parts[1].input[0]: moved.astype(np.int32), parts[1].input[1]: steps * shared / scales}
        for name, array in anew.items():
            constants[name].CopyFrom(numpy_helper.from_array(np.ascontiguousarray(array), name))
        done += 1
    return codebooks.note(done) if done else None
