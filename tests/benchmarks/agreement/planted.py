"""A small 8-bit network with a shortcut, written by hand, and engines that get one operator of it wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from edgewright.benchmarks.agreement import EngineError
from edgewright.runtime.backends.litert.graph import OPERATORS
from edgewright.runtime.backends.litert.tree import read, write

SIDE = 12
SAME = 0  # Padding
RELU = 1  # ActivationFunctionType
_INT8, _UINT8, _INT32 = 9, 3, 2


class Writer:
    """A .tflite file, tensor by tensor and operator by operator."""

    def __init__(self) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self.schema, self.random = schema, np.random.default_rng(3)
        self.tree, self.graph = schema.ModelT(), schema.SubGraphT()
        self.tree.version, self.tree.buffers, self.tree.operatorCodes = 3, [schema.BufferT()], []
        self.tree.subgraphs, self.tree.metadata = [self.graph], []
        self.graph.tensors, self.graph.operators = [], []

    def tensor(
        self,
        name: str,
        shape: Sequence[int],
        scales: Sequence[float] = (),
        zero_point: int = 0,
        data: NDArray[Any] | None = None,
        kind: int = _INT8,
    ) -> int:
        new, quantization = self.schema.TensorT(), self.schema.QuantizationParametersT()
        new.name, new.shape, new.type, new.buffer = name, np.array(shape, np.int32), kind, 0
        if scales:
            quantization.scale = np.array(scales, np.float32)
            quantization.zeroPoint = np.full(len(scales), zero_point, np.int64)
            new.quantization = quantization
        if data is not None:
            buffer = self.schema.BufferT()
            buffer.data = np.frombuffer(data.tobytes(), np.uint8)
            new.buffer = len(self.tree.buffers)
            self.tree.buffers.append(buffer)
        self.graph.tensors.append(new)
        return len(self.graph.tensors) - 1

    def operator(self, name: str, inputs: Sequence[int], output: int, **options: Any) -> int:
        code, op = self.schema.OperatorCodeT(), self.schema.OperatorT()
        code.builtinCode, code.version = OPERATORS.index(name), _VERSIONS.get(name, 1)
        op.opcodeIndex, op.inputs, op.outputs = (
            len(self.tree.operatorCodes),
            np.array(inputs, np.int32),
            [output],
        )
        self.tree.operatorCodes.append(code)
        kind = _OPTIONS.get(name)
        if kind:
            op.builtinOptionsType = getattr(self.schema.BuiltinOptions, kind)
            op.builtinOptions = getattr(self.schema, f"{kind}T")()
            for key, value in options.items():
                setattr(op.builtinOptions, key, value)
        self.graph.operators.append(op)
        return output

    def layer(
        self, name: str, front: int, kind: str, size: int, filters: int, stride: int = 1, act: int = 0
    ) -> int:
        """A convolution or dense layer with random weights, whose output uses its range well."""
        given = self.graph.tensors[front]
        channels = int(given.shape[-1])
        depthwise, dense = kind == "DEPTHWISE_CONV_2D", kind == "FULLY_CONNECTED"
        shape = (filters, channels) if dense else (1 if depthwise else filters, size, size, channels)
        kernel = self.random.integers(-90, 91, shape, np.int8)
        fan = size * size * (1 if depthwise else channels)
        scale, step = float(given.quantization.scale[0]), 0.01
        bias = self.random.integers(-2000, 2001, filters).astype(np.int32)
        operation = "MatMul" if dense else "depthwise" if depthwise else "convolution"
        k = self.tensor(f"net_1/{name}_1/{operation}", shape, [step], 0, kernel)
        b = self.tensor(f"net_1/{name}_1/BiasAdd", [filters], [scale * step], 0, bias, _INT32)
        side = -(-int(given.shape[1]) // stride)
        out_scale = scale * step * np.sqrt(fan) * 52 * 60 / 40
        out = self.tensor(
            f"net_1/{name}_1/out",
            (1, filters) if dense else (1, side, side, filters),
            [out_scale],
            -40 if act else 7,
        )
        strides = {} if dense else {"strideW": stride, "strideH": stride, "padding": SAME}
        if depthwise:
            strides["depthMultiplier"] = 1
        return self.operator(kind, [front, k, b], out, fusedActivationFunction=act, **strides)

    def bytes(self) -> bytes:
        return write(self.tree)


_VERSIONS = {"CONV_2D": 3, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 4, "ADD": 2}  # of 8 bits
_OPTIONS = {
    "CONV_2D": "Conv2DOptions",
    "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions",
    "FULLY_CONNECTED": "FullyConnectedOptions",
    "ADD": "AddOptions",
    "RESHAPE": "ReshapeOptions",
    "SLICE": "SliceOptions",
}


def net() -> bytes:
    """uint8 `(1, 12, 12, 3)` to uint8 `(1, 5)`: twelve operators, two branches."""
    w = Writer()
    pixels = w.tensor("pixels", (1, SIDE, SIDE, 3), [1 / 255], 0, kind=_UINT8)
    front = w.operator("QUANTIZE", [pixels], w.tensor("quantized", (1, SIDE, SIDE, 3), [1 / 255], -128))
    first = w.layer("conv2d", front, "CONV_2D", 3, 8, act=RELU)
    a = w.layer("conv2d_1", first, "CONV_2D", 3, 8, stride=2)
    b = w.layer("conv2d_2", first, "CONV_2D", 1, 8, stride=2)
    scale = float(w.graph.tensors[a].quantization.scale[0]) * 1.5
    added = w.tensor("net_1/add_1/Add", (1, SIDE // 2, SIDE // 2, 8), [scale], -3)
    added = w.operator("ADD", [a, b], added, fusedActivationFunction=0)
    c = w.layer("depthwise_conv2d", added, "DEPTHWISE_CONV_2D", 3, 8, act=RELU)
    c = w.layer("conv2d_3", c, "CONV_2D", 1, 16, act=RELU)
    c = w.layer("conv2d_4", c, "CONV_2D", 3, 16)
    c = w.layer("conv2d_5", c, "CONV_2D", 1, 16, stride=2)
    given = w.graph.tensors[c]
    size = int(np.prod(given.shape))
    shape = w.tensor("shape", [2], data=np.array([1, size], np.int32), kind=_INT32)
    flat = w.tensor("net_1/flatten_1/Reshape", (1, size), [float(given.quantization.scale[0])], 7)
    flat = w.operator("RESHAPE", [c, shape], flat, newShape=[1, size])
    last = w.layer("dense", flat, "FULLY_CONNECTED", 1, 5)
    scores = w.tensor(
        "scores", (1, 5), [float(w.graph.tensors[last].quantization.scale[0])], 135, kind=_UINT8
    )
    w.operator("QUANTIZE", [last], scores)
    w.graph.inputs, w.graph.outputs = np.array([pixels], np.int32), np.array([scores], np.int32)
    return w.bytes()


def place_of(tree: Any, layer: str) -> int | None:
    """Where the operator is whose output is called after that layer, None if it is not in the file."""
    for place, op in enumerate(tree.subgraphs[0].operators):
        name = tree.subgraphs[0].tensors[op.outputs[0]].name
        if f"/{layer}_1/" in (name.decode() if isinstance(name, bytes) else name):
            return place
    return None


def without_stride(tree: Any, place: int) -> None:
    """The convolution is computed at stride 1, and the corner taken that is as large as its output."""
    from ai_edge_litert import schema_py_generated as schema

    graph = tree.subgraphs[0]
    op = graph.operators[place]
    given, out = (graph.tensors[int(i)] for i in (op.inputs[0], op.outputs[0]))
    whole = schema.TensorT()
    whole.name, whole.type, whole.buffer, whole.quantization = "whole", out.type, 0, out.quantization
    whole.shape = np.array([1, *given.shape[1:3], out.shape[3]], np.int32)
    ends = []
    for numbers in ([0, 0, 0, 0], list(out.shape)):
        buffer, tensor = schema.BufferT(), schema.TensorT()
        buffer.data = np.frombuffer(np.array(numbers, np.int32).tobytes(), np.uint8)
        tensor.name, tensor.shape, tensor.type = "corner", np.array([4], np.int32), _INT32
        tensor.buffer = len(tree.buffers)
        tree.buffers.append(buffer)
        graph.tensors.append(tensor)
        ends.append(len(graph.tensors) - 1)
    graph.tensors.append(whole)
    code, cut = schema.OperatorCodeT(), schema.OperatorT()
    code.builtinCode, code.version = OPERATORS.index("SLICE"), 2
    tree.operatorCodes.append(code)
    cut.opcodeIndex, cut.inputs = len(tree.operatorCodes) - 1, [len(graph.tensors) - 1, *ends]
    cut.outputs = op.outputs
    op.outputs, op.builtinOptions.strideW, op.builtinOptions.strideH = [len(graph.tensors) - 1], 1, 1
    graph.operators.insert(place + 1, cut)


def with_layout_swapped(tree: Any, place: int) -> None:
    """Rows and columns of the kernel change places."""
    _change(tree, place, 1, np.int8, lambda kernel: kernel.swapaxes(1, 2))


def without_zero_point(tree: Any, place: int) -> None:
    """The zero point of the input is taken to be 0."""
    graph = tree.subgraphs[0]
    op = graph.operators[place]
    given, weights = (graph.tensors[int(i)] for i in op.inputs[:2])
    kernel = np.frombuffer(bytes(tree.buffers[weights.buffer].data), np.int8).reshape(weights.shape)
    depthwise = OPERATORS[tree.operatorCodes[op.opcodeIndex].builtinCode] == "DEPTHWISE_CONV_2D"
    channels = kernel.ndim - 1 if depthwise else 0
    sums = np.moveaxis(kernel, channels, 0).astype(np.int32).sum(axis=tuple(range(1, kernel.ndim)))
    _change(tree, place, 2, np.int32, lambda bias: bias + int(given.quantization.zeroPoint[0]) * sums)


def a_step_too_high(tree: Any, place: int) -> None:
    """A layer's output is one step too high."""
    graph = tree.subgraphs[0]
    op = graph.operators[place]
    given, kernel, out = (graph.tensors[int(i)] for i in (op.inputs[0], op.inputs[1], op.outputs[0]))
    scale = float(given.quantization.scale[0]) * float(kernel.quantization.scale[0])
    buffer = tree.buffers[graph.tensors[int(op.inputs[2])].buffer]
    bias = np.frombuffer(bytes(buffer.data), np.int32) + round(float(out.quantization.scale[0]) / scale)
    buffer.data = np.frombuffer(bias.astype(np.int32).tobytes(), np.uint8)


def _change(tree: Any, place: int, position: int, dtype: Any, change: Callable[[Any], Any]) -> None:
    tensor = tree.subgraphs[0].tensors[int(tree.subgraphs[0].operators[place].inputs[position])]
    held = np.frombuffer(bytes(tree.buffers[tensor.buffer].data), dtype).reshape(tensor.shape)
    tree.buffers[tensor.buffer].data = np.frombuffer(
        np.ascontiguousarray(change(held), dtype).tobytes(), np.uint8
    )


Fault = Callable[[Any, int], None]


@dataclass
class Planted:
    """An engine that computes with LiteRT's CPU, and one layer of any file wrongly that has it: whenever the
    layer `along` is in the file, too, if one is given. `opened` counts the files."""

    fault: Fault | None = None
    layer: str = ""
    along: str = ""
    name: str = "planted"
    steps: int = 2
    error: float = 1e-3
    opened: list[bytes] = field(default_factory=list)

    def missing(self) -> str:
        return ""

    def open(self, raw: bytes) -> OnCpu:
        self.opened.append(raw)
        tree = read(raw)
        place = place_of(tree, self.layer) if self.fault else None
        if place is not None and self.fault and (not self.along or place_of(tree, self.along) is not None):
            self.fault(tree, place)
            raw = write(tree)
        return OnCpu(raw)


class OnCpu:
    def __init__(self, raw: bytes) -> None:
        from ai_edge_litert.interpreter import Interpreter

        from edgewright.runtime.backends.litert.session import hushed

        with hushed():
            self._interpreter = Interpreter(model_content=raw, num_threads=1)
            self._interpreter.allocate_tensors()

    def run(self, inputs: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        for given, value in zip(self._interpreter.get_input_details(), inputs, strict=True):
            self._interpreter.set_tensor(given["index"], value)
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(out["index"]) for out in self._interpreter.get_output_details()]

    def said(self) -> list[str]:
        return []

    def close(self) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *unused: object) -> None:
        pass


def refusing(tree: Any, place: int) -> None:
    raise EngineError(f"no kernel for operator {place}")
