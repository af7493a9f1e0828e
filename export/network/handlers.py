"""TensorFlow's ops that tf2onnx has no word for, by what ONNX has.

Handlers as tf2onnx calls them: they change one node of its graph in place.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def _erfc(context: Any, node: Any, name: str, args: Any) -> None:
    """1 - Erf, which exact GELU is made of in Keras; apart from Erfc by 1e-7 in float32.

    tf2onnx only warns, and writes a node of TensorFlow's name that no runtime knows.
    """
    dtype = context.get_dtype(node.output[0])
    shape = context.get_shape(node.output[0])
    kind = np.float16 if dtype == _FLOAT16 else np.float32
    one = context.make_const(f"{name}__one", np.array(1, kind)).output[0]
    erf = context.make_node("Erf", [node.input[0]], shapes=[shape], dtypes=[dtype])
    context.remove_node(node.name)
    context.make_node(
        "Sub", [one, erf.output[0]], name=name, outputs=node.output, shapes=[shape], dtypes=[dtype]
    )


_FLOAT16 = 10  # onnx.TensorProto.FLOAT16
HANDLERS: dict[str, tuple[Any, list[Any]]] = {"Erfc": (_erfc, [])}
