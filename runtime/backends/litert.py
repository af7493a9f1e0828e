"""TFLite files on LiteRT, with the XNNPACK kernels wherever they take the graph."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from edgewright.runtime.flatbuffer import DamagedError, Table

if TYPE_CHECKING:
    from edgewright.runtime.graph import Graph

# TensorType of the TFLite schema
# (https://github.com/google-ai-edge/LiteRT/blob/main/tflite/converter/schema/schema.fbs)
DTYPES = dict(
    enumerate(
        """
        float32 float16 int32 uint8 int64 string bool int16 complex64 int8 float64 complex128 uint64
        resource variant uint32 uint16 int4 bfloat16 int2 uint4 float8_e4m3fn float8_e5m2
        """.split()  # noqa: SIM905 - in the order of their numbers
    )
)


class LiteRT:
    suffixes = (".tflite",)
    module = "ai_edge_litert.interpreter"
    package = "ai-edge-litert"
    extra = "tflite"

    def available(self) -> bool:
        return plugins.installed("ai_edge_litert")

    def offers(self) -> Sequence[str]:
        return ("CPU",)  # delegates for other processors are libraries that an app loads itself

    def read(self, path: Path) -> ModelFile:
        return self.parse(path, read_bytes(path))

    def parse(self, path: Path, raw: bytes) -> ModelFile:
        if raw[4:8] != b"TFL3":
            raise ModelFileError(
                f"expected a TFLite model (FlatBuffer 'TFL3'), got {path}, which starts with {raw[:8]!r}"
            )
        with _damage_named(path):
            return _read(path, raw)

    def graph(self, file: ModelFile) -> Graph:
        from edgewright.runtime import tflite_graph

        with _damage_named(file.path):
            return tflite_graph.read(file.raw)

    def undelegated(self, file: ModelFile) -> Sequence[int] | None:
        return _undelegated(_interpreter(file, threads=1)._get_ops_details()) if self.available() else None

    def open(self, file: ModelFile, threads: int) -> Session:
        if not self.available():
            raise MissingExtraError("LiteRT, which runs .tflite files,", self.extra)
        check_single(file.path, file.inputs, file.outputs)
        return for_any_batch(LiteRTSession(file, threads))


class LiteRTSession:
    """Indices and the dequantization table are looked up once; a run is three calls."""

    def __init__(self, file: ModelFile, threads: int) -> None:
        self._interpreter = interpreter = _interpreter(file, threads)
        self._path = file.path
        self.input, self.output = file.inputs[0], file.outputs[0]
        self.kernels = "xnnpack" if _delegated(interpreter) else "builtin"
        self._dtype = np.dtype(self.input.dtype)
        self._shape, self._scores_shape = self.input.shape, self.output.shape  # as they are set now
        self._input_index: int = interpreter.get_input_details()[0]["index"]
        self._output_index: int = interpreter.get_output_details()[0]["index"]
        self._dequantize = _dequantizer(self.output)

    def run(self, pixels: Pixels) -> Scores:
        if not isinstance(pixels, np.ndarray) or pixels.dtype != self._dtype or pixels.shape != self._shape:
            self._resize(pixels)
        interpreter = self._interpreter
        try:
            interpreter.set_tensor(self._input_index, pixels)
            interpreter.invoke()
            scores = interpreter.get_tensor(self._output_index)
        except (RuntimeError, ValueError) as failure:
            raise ModelFileError(f"LiteRT cannot run {self._path}: {failure}") from failure
        if scores.shape != self._scores_shape:
            check_scores(scores, self._path, len(pixels), self.output)
        return self._dequantize(scores) if self._dequantize else scores

    def close(self) -> None:
        vars(self).pop("_interpreter", None)

    def _resize(self, pixels: Pixels) -> None:
        """Set a file of free batch to take as many images as there are. Raises `InputError`."""
        free, *shape = self.input.shape
        if (
            not isinstance(pixels, np.ndarray)
            or pixels.dtype != self._dtype
            or pixels.shape[1:] != tuple(shape)
            or free != -1
        ):
            raise wrong_pixels(pixels, self.input)
        try:
            self._interpreter.resize_tensor_input(self._input_index, pixels.shape, strict=True)
            self._interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as failure:
            raise ModelFileError(
                f"LiteRT cannot run {self._path} on {len(pixels)} images: {failure}"
            ) from failure
        self._shape = pixels.shape
        self._scores_shape = (len(pixels), *self.output.shape[1:])


def _interpreter(file: ModelFile, threads: int) -> Any:
    """LiteRT's own, with its tensors allocated."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as failure:
        raise MissingExtraError(f"LiteRT cannot be imported ({failure}); it", "tflite") from failure
    try:
        with _hushed():
            interpreter = Interpreter(model_content=file.raw, num_threads=threads)
            interpreter.allocate_tensors()
    except (RuntimeError, ValueError) as failure:
        reason = " ".join(str(failure).split())
        raise ModelFileError(f"LiteRT cannot load {file.path}: {reason}") from failure
    return interpreter


def _dequantizer(output: TensorSpec) -> Callable[[Any], Scores] | None:
    """From what the interpreter gives to float32 scores; None where they are already."""
    if output.dtype == "float32":
        return None
    zero_point, scale = np.float32(output.zero_point), np.float32(output.scale or 1.0)
    if output.dtype in ("int8", "uint8"):
        return _table(output.dtype, zero_point, scale).take  # half the time of [] for ten classes
    return lambda scores: (scores.astype(np.float32) - zero_point) * scale


def _table(dtype: str, zero_point: np.float32, scale: np.float32) -> Scores:
    """The score of every 8-bit value, indexed as numpy indexes (int8 -1 is the last entry)."""
    codes = np.arange(256, dtype=np.uint8).view(dtype).astype(np.float32)
    return (codes - zero_point) * scale


_stderr = threading.Lock()


@contextlib.contextmanager
def _hushed() -> Iterator[None]:
    """Keep LiteRT's "Created TensorFlow Lite XNNPACK delegate" off standard error.

    It has no setting for that. What goes wrong comes as an exception, not on standard error.
    """
    with _stderr, contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # a process may have no standard error
            kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
            stack.callback(os.close, kept)
            stack.callback(os.dup2, kept, 2)
            os.dup2(nowhere, 2)
            os.close(nowhere)
        yield


@contextlib.contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    try:
        yield
    except DamagedError as failure:
        raise ModelFileError(f"{path} is damaged or cut off: {failure}; copy it again") from failure


def _delegated(interpreter: Any) -> bool:
    """True if a delegate took part of the graph.

    Python shows this only among the op details: the node that stands for a delegated part is
    named DELEGATE.
    """
    return any(op["op_name"] == "DELEGATE" for op in interpreter._get_ops_details())


def _read(path: Path, raw: bytes) -> ModelFile:
    model = Table.root(raw)
    graphs = model.tables(2)
    if len(graphs) < 1:
        raise ModelFileError(f"expected at least one subgraph in {path}, got none")
    graph, tensors, buffers = graphs[0], graphs[0].tables(0), model.tables(4)

    def specs(slot: int) -> tuple[TensorSpec, ...]:
        indices = graph.integers(slot)
        _few(indices, "inputs or outputs")
        return tuple(_spec(_item(tensors, index, "tensor")) for index in indices)

    found = model.tables(6)
    _few(found, "metadata entries")
    entries = {
        entry.text(0): _buffer(_item(buffers, entry.scalar(1, "<I"), "buffer"), raw) for entry in found
    }
    return ModelFile(
        path=path,
        raw=raw,
        inputs=specs(1),
        outputs=specs(2),
        facts={"format": f"TFLite schema {model.scalar(0, '<I')}", "producer": model.text(3)},
        metadata=entries,
    )


def _few(items: Sequence[Any], what: str) -> None:
    """Items may share what they refer to: many of them in a small file would fill the memory."""
    if len(items) > 100:
        raise DamagedError(f"{len(items)} {what}")


def _item(items: list[Any], index: int, what: str) -> Any:
    if not 0 <= index < len(items):
        raise DamagedError(f"{what} {index} of {len(items)}")
    return items[index]


def _spec(tensor: Table) -> TensorSpec:
    quantization = tensor.table(4)
    scales = quantization.floats(2) if quantization else ()
    zero_points = quantization.integers(3, "q") if quantization else ()
    shape = tensor.integers(7) or tensor.integers(0)  # the signature keeps -1 where a size is free
    return TensorSpec(
        name=tensor.text(3),
        shape=shape,
        dtype=DTYPES.get(tensor.scalar(1, "<b"), "other"),
        scale=scales[0] if scales else 0.0,
        zero_point=zero_points[0] if zero_points else 0,
    )


def _undelegated(ops: Sequence[Mapping[str, Any]]) -> list[int]:
    """The places of the operators that no DELEGATE node stands for.

    Such a node follows the operators it replaces. Those are what leads from its inputs, of which
    constants are some, to its outputs.
    """
    plain = [op for op in ops if op["op_name"] != "DELEGATE"]
    maker = {int(tensor): place for place, op in enumerate(plain) for tensor in op["outputs"]}
    replaced: set[int] = set()
    for delegate in (op for op in ops if op["op_name"] == "DELEGATE"):
        given, waiting = {int(i) for i in delegate["inputs"]}, [int(i) for i in delegate["outputs"]]
        while waiting:
            tensor = waiting.pop()
            if tensor not in given and tensor in maker and maker[tensor] not in replaced:
                replaced.add(maker[tensor])
                waiting += [int(i) for i in plain[maker[tensor]]["inputs"]]
    return [place for place in range(len(plain)) if place not in replaced]


def _buffer(buffer: Table, raw: bytes) -> bytes:
    start, size = buffer.scalar(1, "<Q"), buffer.scalar(2, "<Q")
    if start > 1:  # large constants may stand behind the FlatBuffer
        if start + size > len(raw):
            raise DamagedError(f"a buffer of {size} bytes at byte {start} ends outside the file")
        return raw[start : start + size]
    return buffer.data(0)


BACKEND = LiteRT()
