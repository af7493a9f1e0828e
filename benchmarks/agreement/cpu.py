"""What LiteRT's CPU kernels make of a .tflite file, tensor by tensor and operator by operator.

In a process apart: the file may be anyone's, and an operator that the kernels do not know in some form ends
the process. They are LiteRT's own optimized ones without the XNNPACK delegate. XNNPACK shows no tensor within
what it takes; the reference kernels end the process on forms that no device meets, and take minutes for a
photo where these take seconds. Against both, an operator alone is within one step of its output in 8 bits.
For engines that are made after the reference kernels, those may be asked for.
"""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from edgewright.benchmarks.agreement import apart
from edgewright.runtime.trust import sandbox

if TYPE_CHECKING:
    from edgewright.benchmarks.agreement.cutting import Cutter, Part
    from edgewright.runtime.backends import Scores
    from edgewright.runtime.contract import TensorSpec

_MEMORY_BYTES = 2**33
FULL_RANGE = 255.0  # steps of 8 bits
_LEAST = 1e-6  # floats below it are zero


def steps_apart(got: NDArray[Any], want: NDArray[Any]) -> float:
    """How far two results are apart at most, in steps of 8 bits: one of an 8-bit output, 256 of one of 16
    bits, for floats a 255th of what is expected at most. Infinite for another shape or dtype, for whole
    numbers that are no quantized ones and differ, and for what is no number in one alone."""
    if got.shape != want.shape or got.dtype != want.dtype:
        return float("inf")
    if want.size == 0 or np.array_equal(got, want):
        return 0.0
    if want.dtype.kind == "f":
        a, b = got.astype(np.float64), want.astype(np.float64)
        same = (a == b) | (np.isnan(a) & np.isnan(b))
        if not np.isfinite(np.where(same, 0.0, a - b)).all():
            return float("inf")
        finite = b[np.isfinite(b)]
        peak = max(float(np.abs(finite).max(initial=0.0)), _LEAST)
        return float(np.abs(np.where(same, 0.0, a - b)).max()) / peak * FULL_RANGE
    if want.dtype in (np.int8, np.uint8, np.int16):
        apart_by = float(np.abs(got.astype(np.int64) - want.astype(np.int64)).max())
        return apart_by / 256 if want.dtype == np.int16 else apart_by
    return float("inf")


def floats(raw: NDArray[Any], output: TensorSpec) -> Scores:
    """Float32 `(1, n)` of what a file gives for one image."""
    row: Scores = raw.reshape(1, -1).astype(np.float32)
    return (row - np.float32(output.zero_point)) * np.float32(output.scale) if output.scale else row


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Some operators as a file, with what goes in and what the CPU gives, for each picture.

    `inputs[picture]` and `expected[way][picture]` are arrays in the file's order. There are two ways where
    floats are multiplied by weights of 8 bits: as LiteRT does it, which rounds the floats to 8 bits as well,
    and in floats. `drift` is how many steps of 8 bits the CPU's own result moves when what is handed from one
    operator to the next is off by as much as each alone may be, and how far the two ways are apart, as others
    round such floats in ways of their own.
    """

    raw: bytes = field(repr=False)
    inputs: list[list[NDArray[Any]]] = field(repr=False)
    expected: list[list[list[NDArray[Any]]]] = field(repr=False)
    drift: float = 0.0

    def judged(
        self, picture: int, got: Sequence[NDArray[Any]], steps: float, error: float
    ) -> tuple[float, bool]:
        """How far an engine's results for a picture are from the nearer way, in steps of 8 bits, and whether
        that is more than `steps` of whole numbers, or `error` of the largest magnitude of floats."""
        found = []
        for want in (way[picture] for way in self.expected):
            if len(got) != len(want):
                return float("inf"), True
            far = list(map(steps_apart, got, want))
            most = [error * FULL_RANGE if array.dtype.kind == "f" else steps for array in want]
            wrong = any(one > limit + self.drift for one, limit in zip(far, most, strict=True))
            found.append((wrong, max(far, default=0.0)))
        wrong, farthest = min(found)
        return farthest, wrong


class Plain:
    """A file that the CPU has run on some pictures, in a process that ends with `close`.

    `outputs[picture]` are the whole file's; `alone` the places of operators that can be cut out.

    Args:
        raw: the file.
        pictures: as it takes them.
        reference: by LiteRT's reference kernels.

    Raises:
        EngineError: the CPU does not run it.
    """

    def __init__(self, raw: bytes, pictures: Sequence[NDArray[Any]], *, reference: bool = False) -> None:
        kernels = ["BUILTIN_REF" if reference else "BUILTIN_WITHOUT_DEFAULT_DELEGATES"]
        self._child = apart.Apart("edgewright.benchmarks.agreement.cpu:main", "LiteRT's CPU", kernels)
        try:
            said, flat = self._child.ask({"do": "open"}, [np.frombuffer(raw, np.uint8), *pictures])
        except BaseException:
            self.close()
            raise
        self.alone: list[int] = [int(place) for place in said["alone"]]
        self.outputs = _grouped(flat, len(pictures))

    def piece(self, places: Sequence[int], steps: int, error: float) -> Piece:
        """The operators at these places.

        Args:
            places: of the file's operators, rising.
            steps, error: how far each alone may be off, as an `Engine` says it.

        Raises:
            EngineError: they cannot be cut out, or the CPU does not run them alone.
        """
        said, flat = self._child.ask({"do": "cut", "places": list(places), "steps": steps, "error": error})
        raw, *arrays = flat
        pictures, taken, ways = int(said["pictures"]), int(said["taken"]), int(said["ways"])
        inputs, rest = arrays[: pictures * taken], arrays[pictures * taken :]
        each = len(rest) // ways
        return Piece(
            raw=raw.tobytes(),
            inputs=_grouped(inputs, pictures),
            expected=[_grouped(rest[way * each : (way + 1) * each], pictures) for way in range(ways)],
            drift=float(said["drift"]),
        )

    def close(self) -> None:
        self._child.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()


def _grouped(arrays: list[NDArray[Any]], groups: int) -> list[list[NDArray[Any]]]:
    size = len(arrays) // max(groups, 1)
    return [arrays[n * size : (n + 1) * size] for n in range(groups)]


def main(kernels: str) -> None:
    """The process. `kernels` is a name of LiteRT's `OpResolverType`."""
    importlib.import_module("ai_edge_litert.interpreter")
    importlib.import_module("ai_edge_litert.schema_py_generated")
    importlib.import_module("edgewright.benchmarks.agreement.cutting")
    importlib.import_module("edgewright.runtime.backends.litert.tree")
    sandbox.seal(_MEMORY_BYTES)
    opened: list[_Opened] = []

    def handle(
        told: dict[str, Any], arrays: list[NDArray[Any]]
    ) -> tuple[Mapping[str, Any], Sequence[NDArray[Any]]]:
        if told["do"] == "open":
            opened.append(_Opened(arrays[0].tobytes(), arrays[1:], kernels))
            return {"alone": opened[0].cutter.alone}, opened[0].outputs()
        return opened[0].piece(told["places"], told["steps"], told["error"])

    apart.serve(handle)


class _Opened:
    """The file in the process: `held[picture]` is the value of each tensor."""

    def __init__(self, raw: bytes, pictures: Sequence[NDArray[Any]], kernels: str) -> None:
        from edgewright.benchmarks.agreement.cutting import Cutter
        from edgewright.runtime.backends.litert import tree

        self._kernels = kernels

        parsed = tree.read(raw)
        self.cutter: Cutter = Cutter(parsed)
        self._outputs = [int(i) for i in parsed.subgraphs[0].outputs]
        self.held = _values(raw, self.cutter.given, pictures, kernels)
        self._singles: dict[int, tuple[Part, Any]] = {}

    def outputs(self) -> list[NDArray[Any]]:
        return [held[index] for held in self.held for index in self._outputs]

    def piece(
        self, places: Sequence[int], steps: int, error: float
    ) -> tuple[Mapping[str, Any], Sequence[NDArray[Any]]]:
        part = self.cutter.cut(places, self.held[0])
        ways = [[held[i] for held in self.held for i in part.outputs]]
        if self.cutter.is_hybrid(places):
            widened = self.cutter.cut(places, self.held[0], floats=True)
            run = Run(widened.raw, self._kernels)
            ways.append([value for held in self.held for value in run([held[i] for i in widened.inputs])])
        drift = self._drift(places, part, steps, error) if len(places) > 1 else 0.0
        drift += max(map(steps_apart, *ways)) if len(ways) > 1 else 0.0
        inputs = [held[i] for held in self.held for i in part.inputs]
        said = {"pictures": len(self.held), "taken": len(part.inputs), "ways": len(ways), "drift": drift}
        return said, [np.frombuffer(part.raw, np.uint8), *inputs, *itertools.chain(*ways)]

    def _drift(self, places: Sequence[int], part: Part, steps: int, error: float) -> float:
        """See `Piece`: all that is handed on is too large, too small, or either at random."""
        random, most = np.random.default_rng(0), 0.0
        for held in self.held:
            for sign in (1, -1, 0):
                values, given = dict(held), {}
                for place in places:
                    single, run = self._single(place)
                    results = run([values[i] for i in single.inputs])
                    for index, value in zip(single.outputs, results, strict=True):
                        given[index] = value
                        values[index] = _moved(value, sign, steps, error, random)
                most = max([most, *(steps_apart(given[i], held[i]) for i in part.outputs)])
        return most

    def _single(self, place: int) -> tuple[Part, Any]:
        if place not in self._singles:
            part = self.cutter.cut([place], self.held[0])
            self._singles[place] = part, Run(part.raw, self._kernels)
        return self._singles[place]


def _moved(
    value: NDArray[Any], sign: int, steps: int, error: float, random: np.random.Generator
) -> NDArray[Any]:
    """A value that is off by as much as an operator may be, up, down, or (`sign` 0) at random."""
    way = random.integers(-1, 2, value.shape) if sign == 0 else sign
    if value.dtype.kind == "f":
        return np.asarray(value + way * error * np.abs(value).max(initial=0.0), value.dtype)
    if value.dtype not in (np.int8, np.uint8, np.int16):
        return value
    ends, size = np.iinfo(value.dtype), 256 if value.dtype == np.int16 else 1
    moved = np.clip(value.astype(np.int64) + way * steps * size, ends.min, ends.max)
    return np.asarray(moved, value.dtype)


class Run:
    """A file in an interpreter of LiteRT's in this process: from its inputs to its outputs."""

    def __init__(self, raw: bytes, kernels: str) -> None:
        self._interpreter = _interpreter(raw, kernels)
        self._interpreter.allocate_tensors()
        self._in = [given["index"] for given in self._interpreter.get_input_details()]
        self._out = [given["index"] for given in self._interpreter.get_output_details()]

    def undelegated(self) -> list[int]:
        """The places of the operators that no delegate takes."""
        from edgewright.runtime.backends.litert.session import places_undelegated

        return places_undelegated(self._interpreter._get_ops_details())

    def __call__(self, values: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        for index, value in zip(self._in, values, strict=True):
            self._interpreter.set_tensor(index, value)
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index) for index in self._out]


def _values(
    raw: bytes, given: Sequence[int], pictures: Sequence[NDArray[Any]], kernels: str
) -> list[dict[int, NDArray[Any]]]:
    """The value of each tensor that is computed or given, for each picture."""
    interpreter = _interpreter(raw, kernels, keep=True)
    found = []
    for picture in pictures:
        (place,) = given
        interpreter.resize_tensor_input(place, picture.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(place, picture)
        interpreter.invoke()
        held = {}
        computed = {int(i) for op in interpreter._get_ops_details() for i in op["outputs"]}
        for index in sorted({place, *computed}):
            try:
                held[index] = interpreter.get_tensor(index)
            except ValueError:  # of a type that Python has none for, or not in memory
                continue
        found.append(held)
    return found


def _interpreter(raw: bytes, kernels: str, *, keep: bool = False) -> Any:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    return Interpreter(
        model_content=raw,
        num_threads=1,
        experimental_op_resolver_type=OpResolverType[kernels],
        experimental_preserve_all_tensors=keep,
    )
