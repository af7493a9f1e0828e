"""ONNX by tf2onnx, quantized by onnxruntime; values are renamed in graph order, so bytes repeat.

IR version 8 and opset 17 suit the oldest runtimes still on phones, and opset 17 leaves the fewest
Transposes; onnx 1.23's own defaults are newer than onnxruntime 1.31 loads.
"""

from __future__ import annotations

import math
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from edgewright.export.formats import SMALL_CLASSIFIER, WHY_FLOAT_CLASSIFIER, Conversion, Scheme
from edgewright.export.network import INPUT, OUTPUT, Network
from edgewright.runtime.contract import CONTRACT_KEY, ModelContract, stamp
from edgewright.train.datasets import Images
from edgewright.train.stack import versions

OPSET, IR_VERSION = 17, 8


class Onnx:
    suffix = ".onnx"
    modules = ("tf2onnx", "onnx", "onnxruntime", "sympy")
    schemes = {  # noqa: RUF012
        "float32": Scheme(summary="32-bit floats"),
        "int8": Scheme(
            summary="static, QDQ, 8-bit weights and activations", calibrated=True, repeats="kernel"
        ),
    }

    def export(self, network: Network, scheme: str, calibration: Images, path: Path) -> Conversion:
        import onnx

        model = onnx.load_from_string(_float32_file(network))
        tool = f"tf2onnx {versions('tf2onnx')['tf2onnx']}"
        chosen: dict[str, Any] = {"opset": OPSET, "ir_version": IR_VERSION}
        if scheme == "int8":
            model, kept = _int8(model, calibration)
            tool += f", onnxruntime {versions('onnxruntime')['onnxruntime']} quantize_static"
            chosen |= {
                "weights": "int8 per channel",
                "activations": "int8 per tensor, asymmetric, ranges from the calibration images",
                "float32": " and ".join(kept),
                "why": "int8 by int8 does not saturate on CPUs without VNNI; "
                f"the dense layer {WHY_FLOAT_CLASSIFIER}",
            }
        _write(_normalized(model), path)
        return Conversion(tool=tool, chosen=chosen)

    def attach(self, path: Path, contract: ModelContract) -> None:
        import onnx

        model = onnx.load(path)
        kept = {p.key: p.value for p in model.metadata_props if p.key != CONTRACT_KEY}
        onnx.helper.set_model_props(model, {**kept, CONTRACT_KEY: contract.to_bytes().decode()})
        _write(model, path)
        path.write_bytes(stamp(path.read_bytes()))


@lru_cache(maxsize=1)  # every scheme starts from it
def _float32_file(network: Network) -> bytes:
    import tf2onnx

    model, _ = tf2onnx.convert.from_function(
        network.on_pixels, input_signature=network.on_pixels.input_signature, opset=OPSET
    )
    _hold(model.graph, network.on_pixels.get_concrete_function())
    model.ir_version = IR_VERSION
    raw: bytes = model.SerializeToString()
    return raw


def _hold(graph: Any, function: Any) -> None:
    """Make tensors that a layer keeps outside of variables, such as Normalization's mean, constants.

    tf2onnx takes them for further inputs of the file.
    """
    from onnx import numpy_helper

    kept = zip(function.graph.internal_captures, function.captured_inputs, strict=True)
    values = {inside.name: outside for inside, outside in kept if inside.dtype.name != "resource"}
    for place in reversed(range(len(graph.input))):
        name = graph.input[place].name
        if name in values:
            graph.initializer.append(numpy_helper.from_array(values[name].numpy(), name))
            del graph.input[place]


def _int8(model: Any, calibration: Images) -> tuple[Any, list[str]]:
    """The quantized model, and the types of the nodes that were left in float32."""
    import onnx
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._images = iter(calibration)

        def get_next(self) -> dict[str, Any] | None:
            image = next(self._images, None)
            return None if image is None else {INPUT: image[np.newaxis]}

    with tempfile.TemporaryDirectory() as folder:
        given, prepared, quantized = (
            str(Path(folder, f"{name}.onnx")) for name in ("given", "prepared", "int8")
        )
        onnx.save(model, given)
        quant_pre_process(given, prepared)
        kept = _float_nodes(onnx.load(prepared).graph)
        quantization.quantize_static(
            prepared,
            quantized,
            Reader(),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            activation_type=quantization.QuantType.QInt8,
            weight_type=quantization.QuantType.QInt8,
            nodes_to_exclude=list(kept),
        )
        result = onnx.load(quantized)
    result.ir_version = IR_VERSION
    return result, sorted(kept.values())


def _float_nodes(graph: Any) -> dict[str, str]:
    """Name and type of the nodes to leave in float32: the softmax, and a small last dense layer."""
    sizes = {constant.name: math.prod(constant.dims) for constant in graph.initializer}
    dense = [node for node in graph.node if node.op_type in ("Gemm", "MatMul")]
    nodes = {node.name: node.op_type for node in graph.node if node.op_type == "Softmax"}
    if dense and sizes.get(dense[-1].input[1], 0) <= SMALL_CLASSIFIER * sum(sizes.values()):
        nodes[dense[-1].name] = dense[-1].op_type
    return nodes


def _normalized(model: Any) -> Any:
    """The same graph with every value, constant and node named and ordered by its place.

    tf2onnx numbers names by what it converted before, and orders constants by hash.
    """
    graph = model.graph
    names = {INPUT: INPUT, OUTPUT: OUTPUT, "": ""}
    for node in graph.node:
        node.name, node.doc_string = "", ""
        for value in (*node.input, *node.output):
            names.setdefault(value, f"v{len(names)}")
    for i, node in enumerate(graph.node):
        node.name = f"{node.op_type}_{i}"
        node.input[:] = [names[value] for value in node.input]
        node.output[:] = [names[value] for value in node.output]
    constants = sorted(
        (c for c in graph.initializer if c.name in names), key=lambda c: int(names[c.name][1:])
    )
    for constant in constants:
        constant.name, constant.doc_string = names[constant.name], ""
    del graph.value_info[:]
    ordered = [type(constant).FromString(constant.SerializeToString()) for constant in constants]
    del graph.initializer[:]
    graph.initializer.extend(ordered)
    used = {node.domain for node in graph.node}
    for place in reversed(range(len(model.opset_import))):
        if model.opset_import[place].domain not in used:
            del model.opset_import[place]
    graph.name, graph.doc_string, model.doc_string = "edgewright", "", ""
    return model


def _write(model: Any, path: Path) -> None:
    import onnx

    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


FORMAT = Onnx()
