"""ONNX by tf2onnx, slimmed by onnxslim, quantized by onnxruntime; values are named in graph order, so
bytes repeat.

IR version 8 and opset 17 suit the oldest runtimes still on phones, and opset 17 leaves the fewest
Transposes; onnx 1.23's own defaults are newer than onnxruntime 1.31 loads.

int8 takes unsigned activations (U8S8) for every network: its input then reads pixels as they are, and
on x86 onnxruntime makes signed ones unsigned when it loads a file, fusing less. Told not to
(`session.qdqisint8allowed`), it needs 953 microseconds for ResNet-8. Signed ones are for what takes
nothing else. dynamic-int8 leaves convolutions alone: ConvInteger is 5 to 15 times slower than float.

    microseconds an image    float32  float16  dynamic-int8  int8-u8s8  int8-s8s8
    fashion-mlp                   19       21            14        7.6         14
    mnist-cnn                     46       49            38         33         39
    cifar10-cnn                  120      134           109         74         71
    cifar10-resnet8              159      149           153        102        201
    MobileNetV2 .35, 224        1727     2289          1627       1438       1752
    MobileNetV2 1.0, 224        4521     5661          4359       2459       3751
    EfficientNetB0, 224         6833     6921          6669       6618      20416

Medians of a thread's CPU time, the files in turn, at least 149 rounds; random weights, batch 1, one
thread, onnxruntime 1.31.1, x86_64 with AVX-512 VNNI. To measure again, export by these names and time
`onnxruntime.InferenceSession.run`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from edgewright.export.formats import WHY_FLOAT_CLASSIFIER, Conversion, Remedy, Scheme
from edgewright.export.formats.onnx import graph as onnx_graph
from edgewright.export.formats.onnx import rounding as onnx_rounding
from edgewright.export.formats.onnx.quantizer import (
    Quantizer,
    dense_nodes,
    float32_file,
    ir_version,
    small_classifier,
)
from edgewright.export.formats.onnx.refine import pixels
from edgewright.export.network.float_network import FloatNetwork
from edgewright.export.network.model import KERAS, ONNX, SAVED_MODEL
from edgewright.export.weights import rounding
from edgewright.export.weights.summary import Weights
from edgewright.runtime.contract import CONTRACT_KEY, ModelContract, stamp
from edgewright.runtime.errors import ExportError
from edgewright.train.datasets import Images
from edgewright.train.stack import versions

WHY_UNSIGNED = (
    "activations unsigned: 0.3 to 1.04 times the time of signed ones on all networks measured, and a "
    "pixel is uint8 already"
)
Converted: TypeAlias = tuple[Any, dict[str, Any]]  # the ModelProto, and what was chosen


def _float32(network: FloatNetwork, _: Images) -> Converted:
    import onnx

    return onnx.load_from_string(float32_file(network)), {}


def _float16(network: FloatNetwork, calibration: Images) -> Converted:
    """By onnxruntime's function; onnxconverter-common's of the same name leaves Resize with mixed types."""
    from onnxruntime.quantization.onnx_model import ONNXModel
    from onnxruntime.transformers.float16 import convert_float_to_float16

    model, _ = _float32(network, calibration)
    scaled = [node.name for node in pixels.scaling(model.graph).nodes]
    halved = ONNXModel(convert_float_to_float16(model, keep_io_types=True, node_block_list=scaled))
    halved.topological_sort()  # casts stand at the end
    return halved.model, {"weights": "float16", "float32": "scaling of pixels"}


def _dynamic_int8(network: FloatNetwork, calibration: Images) -> Converted:
    import onnx
    from onnxruntime import quantization

    if network.interface.batch != 1:
        raise ExportError(
            "expected batch 1 for dynamic-int8, got another: onnxruntime takes one range for a whole batch, "
            "so that an image's scores would depend on its neighbours; take int8"
        )
    model, _ = _float32(network, calibration)
    dense = dense_nodes(model.graph)
    if not dense:
        raise ExportError(
            "expected a dense layer (MatMul or Gemm with constant weights), got none: dynamic-int8 would "
            "quantize nothing; take int8"
        )
    small = small_classifier(model.graph)
    quantized = [node for node in dense if node.name not in small] or dense
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "int8.onnx"))
        quantization.quantize_dynamic(
            model,
            path,
            op_types_to_quantize=["MatMul"],  # onnxruntime splits a Gemm and calls its part so
            nodes_to_quantize=[name for node in quantized for name in (node.name, f"{node.name}_MatMul")],
            per_channel=True,
            weight_type=quantization.QuantType.QInt8,
        )
        result = onnx.load(path)
    sizes = onnx_graph.sizes(model.graph)
    share = sum(sizes[node.input[1]] for node in quantized) / sum(sizes.values())
    chosen = {
        "weights": f"{share:.1%} of them int8 per channel",
        "activations": "uint8 per tensor, ranges as they come",
    }
    if len(quantized) < len(dense):
        chosen |= {"float32": "the last dense layer", "why": f"it {WHY_FLOAT_CLASSIFIER}"}
    return result, chosen


def _int8(network: FloatNetwork, calibration: Images) -> Converted:
    model, chosen = _static(network, calibration, signed=False)
    return model, chosen | {"rule": WHY_UNSIGNED}


def _static(network: FloatNetwork, calibration: Images, *, signed: bool) -> Converted:
    return Quantizer(network, calibration, signed=signed).model(Remedy())


def _weight_int4(network: FloatNetwork, images: Images) -> Converted:
    """Depthwise and other convolutions in groups in 8 bits: they have few weights, and need them."""
    model, _ = _float32(network, images)
    graph = model.graph
    sizes = onnx_rounding.places(graph, small_classifier(graph))
    if not sizes:
        raise ExportError(
            "expected a convolution or a dense layer with constant weights, got none: weight-int4 would "
            "store nothing in 4 bits; take float32"
        )
    bits = onnx_rounding.bits(graph, sizes)
    network.began("rounding weights")
    chosen = {"weights": rounding.note(bits), "rounding": rounding.HOW}
    if small_classifier(graph):
        chosen |= {"float32": "the last dense layer", "why": f"it {WHY_FLOAT_CLASSIFIER}"}
    onnx_rounding.refine(model, bits, network, images)
    return model, chosen


def _write(model: Any, path: Path) -> None:
    import onnx

    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


_INT8 = Scheme(
    summary="static, QDQ, 8-bit weights and activations",
    convert=_int8,
    arithmetic="int8",
    rank=0,
    default=True,
    calibrated=True,
    tool="quantize_static",
    quantizer=partial(Quantizer, signed=False),
)
_INT8_ASIDE = replace(_INT8, rank=5, default=False, quantizer=None)


class Onnx:
    suffix = ".onnx"
    modules = ("onnx", "onnxruntime", "onnxslim", "sympy")
    takes: Mapping[str, tuple[str, ...]] = {
        KERAS: ("tensorflow", "tf2onnx"),
        SAVED_MODEL: ("tensorflow", "tf2onnx"),
        ONNX: (),
    }
    schemes: Mapping[str, Scheme] = {
        "float32": Scheme(summary="32-bit floats", convert=_float32, rank=3, default=True),
        "float16": Scheme(
            summary="16-bit floats, computed so where a device can",
            convert=_float16,
            rank=2,
            tool="convert_float_to_float16",
        ),
        "dynamic-int8": Scheme(
            summary="8-bit weights of dense layers, their activations quantized as they come",
            convert=_dynamic_int8,
            arithmetic="int8",
            rank=1,
            tool="quantize_dynamic",
        ),
        "int8": _INT8,
        "int8-mixed": replace(
            _INT8,
            summary="int8 with the operators in float32 that 8 bits lose too much in",
            rank=1,
            default=False,
            mixed=True,
        ),
        "weight-int4": Scheme(
            summary="4-bit weights, computed in 32-bit floats: smaller, not faster; wants opset 21",
            convert=_weight_int4,
            calibrated=True,
        ),
        "int8-u8s8": replace(
            _INT8_ASIDE, summary="int8 with unsigned activations", convert=partial(_static, signed=False)
        ),
        "int8-s8s8": replace(
            _INT8_ASIDE, summary="int8 with signed activations", convert=partial(_static, signed=True)
        ),
    }

    def export(self, network: FloatNetwork, scheme: str, calibration: Images, path: Path) -> Conversion:
        return self.write(network, scheme, self.schemes[scheme].convert(network, calibration), path)

    def write(self, network: FloatNetwork, scheme: str, converted: Converted, path: Path) -> Conversion:
        settings = self.schemes[scheme]
        model, chosen = converted
        # What rounding to 4 bits brought to a newer opset wants a newer one than the network.
        model.ir_version = max(ir_version(network), onnx_graph.least_ir_version(model))
        onnx_graph.unshare(model)
        _write(onnx_graph.normalized(model), path)
        used = versions(*network.onnx_tools, "onnxslim")
        tools = [f"{name} {version}" for name, version in used.items()]
        if settings.tool:
            tools.append(f"onnxruntime {versions('onnxruntime')['onnxruntime']} {settings.tool}")
        opset = next(entry.version for entry in model.opset_import if not entry.domain)
        kept = {"opset": opset, "ir_version": model.ir_version}
        return Conversion(tool=", ".join(tools), chosen={**kept, **chosen})

    def weights(self, path: Path) -> Weights:
        import onnx

        return onnx_graph.kernels(onnx.load(path).graph)

    def attach(self, path: Path, contract: ModelContract) -> None:
        import onnx

        model = onnx.load(path)
        kept = {p.key: p.value for p in model.metadata_props if p.key != CONTRACT_KEY}
        onnx.helper.set_model_props(model, {**kept, CONTRACT_KEY: contract.to_bytes().decode()})
        _write(model, path)
        path.write_bytes(stamp(path.read_bytes()))


FORMAT = Onnx()
