"""An open .tflite file: one interpreter, three calls a run."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from edgewright.runtime.backends import ModelFile, Pixels, Scores, fits, rows, scores_spec, wrong_pixels
from edgewright.runtime.contract import TensorSpec
from edgewright.runtime.errors import MissingExtraError, ModelFileError


class LiteRTSession:
    """Indices and the dequantization table are looked up once; a run is three calls."""

    def __init__(self, file: ModelFile, threads: int, *, plain: bool = False) -> None:
        self._interpreter = interpreter = _interpreter(file, threads, plain=plain)
        self._path = file.path
        self.input, self.output = file.inputs[0], scores_spec(file.outputs[0])
        self.kernels = "xnnpack" if _delegated(interpreter) else "builtin"
        self._dtype = np.dtype(self.input.dtype)
        given = interpreter.get_input_details()[0]
        self._shape = tuple(int(size) for size in given["shape"])  # as it is set now
        self._scores_shape = self.output.shape
        self._input_index: int = given["index"]
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
            scores = rows(scores, self._path, len(pixels), self.output)
        return self._dequantize(scores) if self._dequantize else scores

    def close(self) -> None:
        vars(self).pop("_interpreter", None)

    def _resize(self, pixels: Pixels) -> None:
        """Set a file of free batch or size to take the images as they are. Raises `InputError`."""
        if (
            not isinstance(pixels, np.ndarray)
            or pixels.dtype != self._dtype
            or not fits(pixels.shape, self.input.shape)
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


def _interpreter(file: ModelFile, threads: int, *, plain: bool = False) -> Any:
    """LiteRT's own, tensors allocated; where the size of pictures is free the first run does that. A `plain`
    one has its builtin kernels alone."""
    try:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType
    except ImportError as failure:
        raise MissingExtraError(f"LiteRT cannot be imported ({failure}); it", "tflite") from failure
    try:
        with hushed():
            interpreter = Interpreter(
                model_content=file.raw,
                num_threads=threads,
                experimental_op_resolver_type=(
                    OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES if plain else OpResolverType.AUTO
                ),
            )
            if all(size > 0 for spec in file.inputs for size in spec.shape[1:]):
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
def hushed() -> Iterator[None]:
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


def _delegated(interpreter: Any) -> bool:
    """True if a delegate took part of the graph.

    Python shows this only among the op details: the node that stands for a delegated part is
    named DELEGATE.
    """
    return any(op["op_name"] == "DELEGATE" for op in interpreter._get_ops_details())


def undelegated(file: ModelFile) -> list[int]:
    """The places of a file's operators that XNNPACK leaves to plain kernels here."""
    return places_undelegated(_interpreter(file, threads=1)._get_ops_details())


def places_undelegated(ops: Sequence[Mapping[str, Any]]) -> list[int]:
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
