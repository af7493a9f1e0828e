"""Interpreters of .tflite files as engines: LiteRT's with kernels of one kind, and TensorFlow Lite Micro."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from edgewright.benchmarks.agreement import EngineError
from edgewright.runtime import plugins

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgewright.benchmarks.agreement.apart import Apart

MICRO, REFERENCE, XNNPACK = "micro", "BUILTIN_REF", "BUILTIN"  # the latter two of LiteRT's `OpResolverType`
_NAMES = {MICRO: "tflite-micro", REFERENCE: "LiteRT's reference kernels", XNNPACK: "LiteRT"}
_MODULES = {MICRO: "tflite_micro", REFERENCE: "ai_edge_litert", XNNPACK: "ai_edge_litert"}
_EXTRAS = {MICRO: "micro", REFERENCE: "tflite", XNNPACK: "tflite"}
_ARENA_BYTES = 2**28  # what is not used of it is never taken
_MEMORY_BYTES = 2**32
_ARENA = re.compile(r"Arena allocation total (\d+) bytes")


@dataclass(kw_only=True)
class Interpreter:
    """An interpreter as an engine, see `edgewright.benchmarks.agreement.Engine`.

    `kernels` is one of the names above. `idle` are processes that have survived their file, for the next one;
    without it each file has one of its own.
    """

    kernels: str
    steps: int = 2
    error: float = 1e-4
    idle: list[Apart] | None = None
    name: str = ""

    def __post_init__(self) -> None:
        self.name = self.name or _NAMES[self.kernels]

    def missing(self) -> str:
        if plugins.installed(_MODULES[self.kernels]):
            return ""
        package, extra = _MODULES[self.kernels].replace("_", "-"), _EXTRAS[self.kernels]
        where = " (for Linux on x86-64)" if self.kernels == MICRO else ""
        return f"{package}; run: pip install 'edgewright[{extra}]'{where}"

    def open(self, raw: bytes) -> Interpreting:
        return Interpreting(raw, self)


@contextlib.contextmanager
def kept_going(engine: Interpreter) -> Iterator[Interpreter]:
    """The same, with one process for all parts of a file: starting one takes longer than a part does."""
    idle: list[Apart] = []
    try:
        yield dataclasses.replace(engine, idle=idle)
    finally:
        for child in idle:
            child.close()


class Interpreting:
    """A file in an interpreter in a process apart, see `edgewright.benchmarks.agreement.Running`."""

    def __init__(self, raw: bytes, engine: Interpreter) -> None:
        import numpy as np

        self._engine = engine
        self._child: Apart | None = engine.idle.pop() if engine.idle else _started(engine)
        try:
            self._ask({"do": "open"}, [np.frombuffer(raw, np.uint8)])
        except BaseException:
            self.close()
            raise

    def run(self, inputs: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        return self._ask({"do": "run"}, inputs)[1]

    def arena_bytes(self) -> int:
        """The working memory that TensorFlow Lite Micro has taken for the file."""
        found = self._ask({"do": "arena"})[0].get("arena")
        return found if isinstance(found, int) else 0

    def undelegated(self) -> list[int]:
        """The places of the operators that LiteRT's delegate leaves to plain kernels."""
        found = self._ask({"do": "left"})[0].get("left")
        return [int(place) for place in found] if isinstance(found, list) else []

    def _ask(
        self, told: dict[str, Any], arrays: Sequence[NDArray[Any]] = ()
    ) -> tuple[dict[str, Any], list[NDArray[Any]]]:
        if self._child is None:
            raise EngineError("the file is closed")
        return self._child.ask(told, arrays)

    def said(self) -> list[str]:
        return []

    def close(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        if self._engine.idle is not None and child.answers:
            self._engine.idle.append(child)
        else:
            child.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()


def _started(engine: Interpreter) -> Apart:
    from edgewright.benchmarks.agreement import apart

    return apart.Apart("edgewright.benchmarks.agreement.interpreting:main", engine.name, [engine.kernels])


def main(kernels: str) -> None:
    """The process: a file, then the next."""
    from importlib import import_module

    from edgewright.benchmarks.agreement import apart, cpu
    from edgewright.runtime.trust import sandbox

    micro = kernels == MICRO
    import_module("tflite_micro.python.tflite_micro.runtime" if micro else "ai_edge_litert.interpreter")
    sandbox.seal(_MEMORY_BYTES)
    opened: list[Any] = []

    def handle(
        told: dict[str, Any], arrays: list[NDArray[Any]]
    ) -> tuple[Mapping[str, Any], Sequence[NDArray[Any]]]:
        if told["do"] == "open":
            opened.clear()
            raw = arrays[0].tobytes()
            opened.append(_Micro(raw) if micro else cpu.Run(raw, kernels))
        elif told["do"] == "arena":
            return {"arena": opened[0].arena_bytes()}, []
        elif told["do"] == "left":
            return {"left": opened[0].undelegated()}, []
        return {}, opened[0](arrays) if told["do"] == "run" else []

    apart.serve(handle)


class _Micro:
    """A file in TensorFlow Lite Micro in this process."""

    def __init__(self, raw: bytes) -> None:
        from edgewright.runtime.backends.litert import schema

        self._outputs = len(schema.read(Path("the file"), raw).outputs)
        self._interpreter: Any = _told(_open, raw)

    def __call__(self, inputs: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        for place, given in enumerate(inputs):
            self._interpreter.set_input(given, place)
        _told(self._interpreter.invoke)
        return [self._interpreter.get_output(place) for place in range(self._outputs)]

    def arena_bytes(self) -> int:
        from edgewright.benchmarks.agreement import apart

        self._interpreter.print_allocations()
        found = _ARENA.findall("\n".join(apart.written()))
        return int(found[-1]) if found else 0


def _told(call: Any, *arguments: Any) -> Any:
    """What a call gives; of one that fails, what the interpreter said of it on standard error."""
    from edgewright.benchmarks.agreement import apart

    before = len(apart.written())
    try:
        return call(*arguments)
    except RuntimeError as failure:
        raise ValueError(" / ".join(apart.written()[before:][-2:]) or str(failure)) from failure


def _open(raw: bytes) -> Any:
    from tflite_micro.python.tflite_micro import runtime

    return runtime.Interpreter.from_bytes(raw, arena_size=_ARENA_BYTES)
