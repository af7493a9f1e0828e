"""Makes static QDQ models of one network again and again, with what a `Remedy` asks for."""

from __future__ import annotations

import contextlib
import json
import math
import tempfile
from collections.abc import Mapping
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from edgewright.export.formats import (
    SMALL_CLASSIFIER,
    WHY_FLOAT_CLASSIFIER,
    Context,
    Operation,
    Remedy,
    refine,
)
from edgewright.export.formats.onnx import graph as onnx_graph
from edgewright.export.formats.onnx.equalization import equalize, shapes
from edgewright.export.formats.onnx.refine import biases, codebooks, pixels, rounding
from edgewright.export.network.float_network import INPUT, FloatNetwork
from edgewright.export.weights import ranges
from edgewright.runtime.errors import ExportError
from edgewright.train.datasets import Images

OPSET, IR_VERSION = 17, 8
# What an int8 model goes through, in this order, by its key in the manifest.
REFINEMENTS = {"codebooks": codebooks.refine, "biases": biases.refine, "input": pixels.refine}
ROUNDED = {"rounding": rounding.refine, **REFINEMENTS}
# What only passes numbers on; activation functions go with what stands before them.
_MOVES = frozenset(
    (
        *("Relu", "Clip", "MaxPool", "AveragePool", "GlobalAveragePool", "ReduceMean", "Pad"),
        *("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Identity"),
    )
)


@lru_cache(maxsize=1)  # every scheme starts from it
def float32_file(network: FloatNetwork) -> bytes:
    import onnxslim

    model = onnxslim.slim(network.to_onnx(OPSET))
    onnx_graph.flatten_biases(model.graph)
    model.ir_version = ir_version(network)
    raw: bytes = model.SerializeToString()
    return raw


def ir_version(network: FloatNetwork) -> int:
    return max(IR_VERSION, network.ir_version)


class Quantizer:
    """See `edgewright.export.formats.Quantizer`."""

    def __init__(self, network: FloatNetwork, calibration: Images, *, signed: bool) -> None:
        self._network = network.without_loops  # what is in a loop is neither calibrated nor quantized
        self._images, self._signed = calibration, signed
        self._seen: dict[bool, str] = {}  # onnxruntime's record of ranges, by whether layers are equalized

    def model(self, remedy: Remedy, *, refined: bool = True) -> tuple[Any, dict[str, Any]]:
        """QDQ by quantize_static. The pixels' own scaling is left to the input's quantization."""
        import onnx
        from onnxruntime import quantization

        network, images = self._network, self._images

        class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
            def __init__(self) -> None:
                self._batches = network.calibrating(images)

            def get_next(self) -> dict[str, Any] | None:
                batch = next(self._batches, None)
                return None if batch is None else {INPUT: batch}

        float32 = onnx.load_from_string(self._prepared(remedy.equalized))
        graph = float32.graph
        if not onnx_graph.kernels(graph):
            raise ExportError(
                "expected a convolution or a dense layer with constant weights, got none: int8 would "
                "quantize nothing; take float32"
            )
        kept = {node.name: node.op_type for node in graph.node if node.op_type == "Softmax"}
        kept |= small_classifier(graph) | _behind_classifier(graph)
        kind = quantization.QuantType.QInt8 if self._signed else quantization.QuantType.QUInt8
        with tempfile.TemporaryDirectory() as folder:
            prepared, quantized, seen = (str(Path(folder, name)) for name in ("prepared", "int8", "seen"))
            Path(prepared).write_bytes(self._prepared(remedy.equalized))
            if remedy.ranges:
                Path(seen).write_text(self._ranged(remedy.equalized))
            elif remedy.equalized in self._seen:
                Path(seen).write_text(self._seen[remedy.equalized])
            quantization.quantize_static(
                prepared,
                quantized,
                Reader(),
                quant_format=quantization.QuantFormat.QDQ,
                per_channel=True,
                activation_type=kind,
                weight_type=quantization.QuantType.QInt8,
                nodes_to_exclude=[
                    *kept,
                    *remedy.free,
                    *(node.name for node in pixels.scaling(graph).nodes),
                ],
                calibration_cache_path=seen,
            )
            if not remedy.ranges:
                self._seen[remedy.equalized] = Path(seen).read_text()
            model = onnx.load(quantized)
        found = "ranges of least squared error over" if remedy.ranges else "ranges from"
        chosen: dict[str, Any] = {
            "input": "pixels, scaled in float32",
            "weights": "int8 per channel",
            "activations": f"{'int8' if self._signed else 'uint8'} per tensor, asymmetric, {found} the "
            "calibration images",
        }
        onnx_graph.unshare(model)  # the refinements load it
        if refined:
            context = Context(network=network, float32=float32, calibration=images)
            chosen |= refine(model, ROUNDED if remedy.rounded else REFINEMENTS, context)
        else:
            pixels.refine(model, Context(network=network, float32=float32, calibration=images))
        if kept:
            chosen["float32"] = " and ".join(sorted({*kept.values()}))
        if small_classifier(float32.graph):
            chosen["why"] = f"the dense layer {WHY_FLOAT_CLASSIFIER}"
        return model, chosen

    @cached_property
    def operations(self) -> list[Operation]:
        import onnx

        graph = onnx.load_from_string(self._prepared(False)).graph
        constants, known = onnx_graph.sizes(graph), shapes(graph)
        aside = {node.name for node in graph.node if node.op_type == "Softmax"}
        aside |= {*small_classifier(graph), *_behind_classifier(graph)}
        aside |= {node.name for node in pixels.scaling(graph).nodes}
        return [
            Operation(
                name=node.name,
                kind=node.op_type,
                products=_products(node, constants, known),
                moves=node.op_type in _MOVES,
                reads=tuple(name for name in node.input if name and name not in constants),
                writes=tuple(node.output),
                fixed=node.name in aside,
            )
            for node in graph.node
        ]

    @lru_cache(maxsize=2)  # noqa: B019  (it lives as long as a conversion)
    def _prepared(self, equalized: bool) -> bytes:
        """The float32 model with its shapes inferred."""
        import onnx
        from onnxruntime.quantization.shape_inference import quant_pre_process

        if equalized:
            model = onnx.load_from_string(self._prepared(False))
            equalize(model)
            return bytes(model.SerializeToString())
        with tempfile.TemporaryDirectory() as folder:
            given, prepared = (str(Path(folder, f"{name}.onnx")) for name in ("given", "prepared"))
            Path(given).write_bytes(float32_file(self._network))
            with contextlib.chdir(folder):  # where a model that fails is left
                try:
                    quant_pre_process(given, prepared)
                except Exception:  # of operators that its symbolic shapes do not know, such as ai.onnx.ml's
                    quant_pre_process(given, prepared, skip_symbolic_shape=True)
            return Path(prepared).read_bytes()

    @lru_cache(maxsize=2)  # noqa: B019
    def _ranged(self, equalized: bool) -> str:
        """onnxruntime's record with the ranges of least squared error."""
        import onnx
        import onnxruntime
        from onnx import helper

        if equalized not in self._seen:
            self.model(Remedy(equalized=equalized), refined=False)
        record = json.loads(self._seen[equalized])
        model = onnx.load_from_string(self._prepared(equalized))
        made = {name for node in model.graph.node for name in node.output}
        scores = {value.name for value in model.graph.output}
        seen = {
            name: (np.zeros(ranges.BINS, np.int64), *_ends(data))
            for name, data in record["data"].items()
            if name in made - scores
        }
        del model.graph.output[:]
        model.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in seen)
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        for batch in self._network.batches(ranges.sample(self._images)):
            for name, values in zip(seen, session.run([*seen], {INPUT: batch}), strict=True):
                counts, low, high = seen[name]
                counts += ranges.counted(values, low, high)
        for name, (counts, low, high) in seen.items():
            _set_ends(record["data"][name], *ranges.least_squares(counts, low, high))
        return json.dumps(record)


def _ends(data: Mapping[str, Any]) -> tuple[float, float]:
    """The range in onnxruntime's record of a tensor."""
    low, high = (float(np.asarray(data[end]["data"]).reshape(())) for end in ("lowest", "highest"))
    return low, high


def _set_ends(data: Mapping[str, Any], low: float, high: float) -> None:
    for end, number in (("lowest", low), ("highest", high)):
        data[end]["data"] = np.full(np.shape(data[end]["data"]), number, np.float32).tolist()


def _products(node: Any, sizes: Mapping[str, int], known: Mapping[str, tuple[int, ...]]) -> int:
    """Multiplications of a convolution or dense layer an image, 0 of anything else or of unknown shape."""
    if node.op_type not in ("Conv", "Gemm", "MatMul") or len(node.input) < 2 or node.input[1] not in sizes:
        return 0
    shape = known.get(node.output[0])
    if not shape:
        return 0
    channels = shape[0] if node.op_type == "Conv" else shape[-1]
    return math.prod(shape) * sizes[node.input[1]] // max(channels, 1)


def dense_nodes(graph: Any) -> list[Any]:
    """MatMul and Gemm nodes with constant weights, in the graph's order."""
    constants = onnx_graph.sizes(graph)
    return [node for node in graph.node if node.op_type in ("Gemm", "MatMul") and node.input[1] in constants]


def small_classifier(graph: Any) -> dict[str, str]:
    """Name and type of the last dense layer if few of the weights are in it; else nothing."""
    sizes = onnx_graph.sizes(graph)
    dense = dense_nodes(graph)
    if not dense or sizes[dense[-1].input[1]] > SMALL_CLASSIFIER * sum(sizes.values()):
        return {}
    return {dense[-1].name: dense[-1].op_type}


def _behind_classifier(graph: Any) -> dict[str, str]:
    """Names and types of what makes scores of the last dense layers' sums: a few numbers an image."""
    dense = {node.name for node in dense_nodes(graph)}
    layers = dense | {node.name for node in graph.node if node.op_type in ("Conv", "MatMul")}
    before: set[str] = set()  # what a layer is still computed by
    for node in reversed(graph.node):
        if node.name in layers or before.intersection(node.output):
            before.update(node.input)
    behind: set[str] = set()
    found = {}
    for node in graph.node:
        if node.name in dense or behind.intersection(node.input):
            behind.update(node.output)
            if node.name not in layers and not before.intersection(node.output):
                found[node.name] = node.op_type
    return found
