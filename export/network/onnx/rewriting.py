"""Brings a float graph to what quantization works on: 32-bit floats, dense layers that show their weights, an
opset that has scales a channel."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgewright.export.network.onnx import graphs
from edgewright.export.network.onnx.reading import ML
from edgewright.runtime.errors import ExportError

LEAST_OPSET = 13  # the first whose DequantizeLinear takes a scale a channel
_POSTS = {"NONE": "Identity", "SOFTMAX": "Softmax", "LOGISTIC": "Sigmoid"}


def as_float32(graph: Any) -> None:
    """Make 32-bit floats of all others: constants, casts, and what inner graphs declare.

    onnxruntime's quantizer wants them; that a 16-bit or 64-bit network gives the same scores then is left to
    the gate.
    """
    from onnx import TensorProto, numpy_helper

    floats = (TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE)

    def widen(constant: Any) -> None:
        if constant.data_type in floats:
            array = numpy_helper.to_array(constant).astype(np.float32)
            constant.CopyFrom(numpy_helper.from_array(array, constant.name))

    for part in graphs.everywhere(graph):
        for constant in part.initializer:
            widen(constant)
        for sparse in part.sparse_initializer:
            widen(sparse.values)
        for value in (*part.input, *part.output):
            if value.type.tensor_type.elem_type in floats:
                value.type.tensor_type.elem_type = TensorProto.FLOAT
        del part.value_info[:]
        for node in part.node:
            for attribute in node.attribute:
                if attribute.HasField("t"):
                    widen(attribute.t)
                elif attribute.name in ("to", "dtype") and attribute.i in floats:
                    attribute.i = TensorProto.FLOAT


def upgraded(model: Any) -> Any:
    """The model in an opset that has scales a channel; its own if that is as new. Raises `ExportError`."""
    import onnx

    versions = {entry.domain: entry.version for entry in model.opset_import}
    if "" not in versions:
        model.opset_import.add(domain="", version=LEAST_OPSET)
    elif versions[""] < LEAST_OPSET:
        try:
            return onnx.version_converter.convert_version(model, LEAST_OPSET)
        except Exception as failure:  # it raises what its adapters do
            reason = " ".join(str(failure).split())
            raise ExportError(
                f"expected a model of opset {LEAST_OPSET} or newer, got {versions['']}, which onnx cannot "
                f"upgrade ({reason[:200]}); save it in a newer opset"
            ) from failure
    return model


def spell_out_classifiers(graph: Any) -> None:
    """Write each LinearClassifier, in which scikit-learn's linear models come, as the dense layer it is.

    Its weights are an attribute there, which no quantizer looks into. One that gives a column more than it
    has rows of weights is left.
    """
    import onnx
    from onnx import numpy_helper

    for place, node in reversed(list(enumerate(graph.node))):
        if (node.domain, node.op_type) != (ML, "LinearClassifier"):
            continue
        said = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        labels = said.get("classlabels_ints") or said.get("classlabels_strings") or ()
        weights = np.array(said.get("coefficients", ()), np.float32)
        biases = np.array(said.get("intercepts") or np.zeros(len(labels)), np.float32)
        post = _POSTS.get(said.get("post_transform", b"NONE").decode())
        if not len(biases) == len(labels) > 1 or weights.size % len(labels) or post is None:
            continue
        given, scores = node.input[0], node.output[1]
        names = {part: f"{scores}/{part}" for part in ("pixels", "weights", "biases", "sums")}
        graph.initializer.append(numpy_helper.from_array(weights.reshape(len(labels), -1), names["weights"]))
        graph.initializer.append(numpy_helper.from_array(biases, names["biases"]))
        to, sums = onnx.TensorProto.FLOAT, names["sums"]
        dense = [names["pixels"], names["weights"], names["biases"]]
        steps = [
            onnx.helper.make_node("Cast", [given], [names["pixels"]], to=to),
            onnx.helper.make_node("Gemm", dense, [sums], transB=1),
            onnx.helper.make_node(post, [sums], [scores], **({"axis": -1} if post == "Softmax" else {})),
        ]
        del graph.node[place]
        for step in reversed(steps):
            graph.node.insert(place, step)
