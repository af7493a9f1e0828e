"""ONNX files on onnxruntime, on the CPU."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgewright.runtime import plugins
from edgewright.runtime.backends import (
    ModelFile,
    Pixels,
    Scores,
    Session,
    check_scores,
    check_single,
    for_any_batch,
    read_bytes,
    wrong_pixels,
)
from edgewright.runtime.contract import TensorSpec
from edgewright.runtime.errors import MissingExtraError, ModelFileError
from edgewright.runtime.protobuf import DamagedError, Message

if TYPE_CHECKING:
    from edgewright.runtime.graph import Graph

# TensorProto.DataType and the field numbers below: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
DTYPES = {
    1: "float32",
    2: "uint8",
    3: "int8",
    4: "uint16",
    5: "int16",
    6: "int32",
    7: "int64",
    8: "string",
    9: "bool",
    10: "float16",
    11: "float64",
    12: "uint32",
    13: "uint64",
    16: "bfloat16",
    21: "uint4",
    22: "int4",
}
_EXTERNAL = 1  # TensorProto.DataLocation


class OnnxRuntime:
    suffixes = (".onnx",)
    module = "onnxruntime"
    package = "onnxruntime"
    extra = "onnx"

    def available(self) -> bool:
        return plugins.installed("onnxruntime")

    def offers(self) -> Sequence[str]:
        import onnxruntime

        return tuple(onnxruntime.get_available_providers())

    def read(self, path: Path) -> ModelFile:
        return self.parse(path, read_bytes(path))

    def parse(self, path: Path, raw: bytes) -> ModelFile:
        with _damage_named(path):
            return _read(path, raw)

    def graph(self, file: ModelFile) -> Graph:
        from edgewright.runtime import onnx_graph

        with _damage_named(file.path):
            return onnx_graph.read(Message(file.raw))

    def undelegated(self, file: ModelFile) -> Sequence[int] | None:
        return None

    def open(self, file: ModelFile, threads: int) -> Session:
        if not self.available():
            raise MissingExtraError("onnxruntime, which runs .onnx files,", self.extra)
        check_single(file.path, file.inputs, file.outputs)
        return for_any_batch(OnnxSession(file, threads))


class OnnxSession:
    kernels = "onnxruntime-cpu"

    def __init__(self, file: ModelFile, threads: int) -> None:
        try:
            import onnxruntime
        except ImportError as failure:
            raise MissingExtraError(f"onnxruntime cannot be imported ({failure}); it", "onnx") from failure
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # errors come as exceptions; nothing is printed
        try:
            self._session = onnxruntime.InferenceSession(
                file.raw, options, providers=["CPUExecutionProvider"]
            )
        except Exception as failure:  # onnxruntime's own exceptions share no public base class
            reason = " ".join(str(failure).split())
            raise ModelFileError(f"onnxruntime cannot load {file.path}: {reason}") from failure
        self.input, self.output = file.inputs[0], file.outputs[0]
        self._path, self._dtype = file.path, np.dtype(self.input.dtype)
        self._outputs = [self.output.name]
        self._bound = self._bind(onnxruntime) if min(*self.input.shape, *self.output.shape) > 0 else None

    def _bind(self, onnxruntime: Any) -> tuple[Any, Any, Any]:
        """The binding of a file of fixed shapes, and arrays that are its input and its output.

        5 % less than `InferenceSession.run` on a small network: nothing is looked up or allocated.
        """
        binding = self._session.io_binding()
        given, scores = (
            np.zeros(self.input.shape, self._dtype),
            np.zeros(self.output.shape, self.output.dtype),
        )
        wrap = onnxruntime.OrtValue.ortvalue_from_numpy  # which copies nothing on the CPU
        binding.bind_ortvalue_input(self.input.name, wrap(given))
        binding.bind_ortvalue_output(self.output.name, wrap(scores))
        return binding, given, scores

    def run(self, pixels: Pixels) -> Scores:
        if (
            not isinstance(pixels, np.ndarray)
            or pixels.dtype != self._dtype
            or pixels.shape[1:] != self.input.shape[1:]
            or self.input.shape[0] not in (-1, pixels.shape[0])
        ):
            raise wrong_pixels(pixels, self.input)
        try:
            if self._bound is not None:
                binding, given, bound = self._bound
                given[...] = pixels
                self._session.run_with_iobinding(binding)
                scores = bound.copy()
            else:
                scores = self._session.run(self._outputs, {self.input.name: pixels})[0]
        except Exception as failure:  # onnxruntime's own exceptions share no public base class
            reason = " ".join(str(failure).split())
            raise ModelFileError(f"onnxruntime cannot run {self._path}: {reason}") from failure
        if self._bound is None:
            check_scores(scores, self._path, len(pixels), self.output)
        return scores if scores.dtype == np.float32 else scores.astype(np.float32)  # type: ignore[no-any-return]

    def close(self) -> None:
        self._session = self._bound = None


def _read(path: Path, raw: bytes) -> ModelFile:
    model = Message(raw)
    graph = model.message(7)
    initializers = graph.messages(5)
    if not model.integer(1) or not graph.messages(1):
        raise ModelFileError(f"expected an ONNX model, got {path}, which has no IR version or no nodes")
    if any(tensor.integer(14) == _EXTERNAL for tensor in _tensors(model)):
        raise ModelFileError(
            f"expected all weights inside {path}, got references to other files; export it whole"
        )
    constants = {tensor.text(8) for tensor in initializers}
    opsets = [f"{entry.text(1) or 'ai.onnx'} {entry.integer(2)}" for entry in model.messages(8)]
    return ModelFile(
        path=path,
        raw=raw,
        inputs=tuple(spec for spec in map(_spec, graph.messages(11)) if spec.name not in constants),
        outputs=tuple(_spec(value) for value in graph.messages(12)),
        facts={
            "format": f"ONNX IR {model.integer(1)}, opset {', '.join(opsets)}",
            "producer": f"{model.text(2)} {model.text(3)}".strip(),
        },
        metadata={entry.text(1): entry.data(2) for entry in model.messages(14)},
    )


def _tensors(model: Message) -> Iterator[Message]:
    """Every tensor in the file: constants of graphs, sparse ones, attributes of nodes and functions."""
    graphs, nodes = [model.message(7)], [n for f in model.messages(25) for n in f.messages(7)]
    while graphs or nodes:
        if graphs:
            graph = graphs.pop()
            yield from graph.messages(5)
            sparse = graph.messages(15)
            nodes += graph.messages(1)
        else:
            attributes = nodes.pop().messages(5)
            yield from (t for a in attributes for number in (5, 10) for t in a.messages(number))
            graphs += [g for a in attributes for number in (6, 11) for g in a.messages(number)]
            sparse = [s for a in attributes for number in (22, 23) for s in a.messages(number)]
        yield from (t for s in sparse for number in (1, 2) for t in s.messages(number))


def _spec(value: Message) -> TensorSpec:
    tensor = value.message(2).message(1)
    dimensions = tensor.message(2).messages(1)
    return TensorSpec(
        name=value.text(1),
        shape=tuple(dimension.integer(1, -1) for dimension in dimensions),  # -1: free
        dtype=DTYPES.get(tensor.integer(1), "other"),
    )


@contextlib.contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    try:
        yield
    except DamagedError as failure:
        raise ModelFileError(f"{path} is no ONNX model, or damaged or cut off: {failure}") from failure


BACKEND = OnnxRuntime()
