"""LiteRT's GPU accelerator as an engine that is not believed: `is_fully_accelerated()` is true, and nothing
is raised, of files that it computes wrongly.

What it complains of is read from its standard error: a shader that does not compile, `Shape mismatch`.
"""

from __future__ import annotations

import math
import re
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgewright.benchmarks.agreement import EngineError
from edgewright.runtime import plugins

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgewright.runtime.contract import TensorSpec
    from edgewright.runtime.machine.child import ChildProcess

_SERVING = "edgewright.benchmarks.targets.gpu.serving"
_OPEN_SECONDS, _RUN_SECONDS = 120.0, 120.0  # compiling shaders and running them on a CPU's one thread
_MOST_ANSWER_BYTES = 2**28
_MOST_LINES, _MOST_LINE = 40, 300
_DTYPES = ("float32", "float16", "uint8", "int8", "int16", "int32", "int64", "bool")
# What is printed for any file, by how a line begins, and the rest of it that a line before has begun.
_NOISE = re.compile(
    r"INFO:|I\d{4}\s|\s*$|WARNING: Logging before InitGoogle|\W*Could not load shared library"
    r"|WARNING: \[npu_registry.cc:\d+\] NPU accelerator could not"
    r"|WARNING: \[compiler_plugin.cc:\d+\] Failed to load plugin"
    r"|WARNING: \[compiled_model.cc:\d+\] Failed to get buffer requirements"
)
_STAMP = re.compile(r"^[WEF]\d{4} [\d:.]+\s+\d+ (\S+\] )?")  # date, time and thread, which differ each time


class Gpu:
    """See `edgewright.benchmarks.agreement.Engine`.

    `steps` and `error` are what its arithmetic in floats explains of one operator.
    """

    name = "gpu"
    steps = 2
    error = 1e-3

    def __init__(self, *, vouched: bool = False) -> None:
        """`vouched`: what is opened is of a file that somebody vouched for, such as one operator of it."""
        self._vouched = vouched

    def missing(self) -> str:
        from edgewright.benchmarks.targets.gpu import vulkan

        if not plugins.installed("ai_edge_litert"):
            return "ai-edge-litert; run: pip install 'edgewright[tflite]'"
        if not plugins.installed("ai_edge_litert.compiled_model"):
            return "a newer ai-edge-litert; run: pip install --upgrade ai-edge-litert"
        return vulkan.missing()

    def open(self, raw: bytes) -> OnGpu:
        return OnGpu(raw, vouched=self._vouched)


class OnGpu:
    """A file in the accelerator, see `edgewright.benchmarks.agreement.Running`.

    On a Vulkan in software the process is as restricted as the one apart (`edgewright.runtime.trust`). A real
    GPU's driver needs more, so only a file that somebody vouched for goes there.

    `whole` is whether the accelerator says that it took the whole graph, `on_gpu` whether it runs on a real
    one, `device` what that is, `nanoseconds` how long the last run took there, its outputs read.
    """

    def __init__(self, raw: bytes, *, vouched: bool) -> None:
        import hashlib

        from edgewright.benchmarks.targets.gpu import vulkan
        from edgewright.runtime import backends, trust
        from edgewright.runtime.errors import EdgewrightError, TargetError
        from edgewright.runtime.machine.child import ChildProcess
        from edgewright.runtime.trust import process

        backend = backends.get("litert")
        try:
            file = backend.parse(Path("the file"), raw)
            backend.graph(file)
        except EdgewrightError as failure:
            raise EngineError(str(failure)) from failure
        self._inputs, self._outputs = _declared(file.inputs), _declared(file.outputs)
        vouched = vouched or trust.opens_here(hashlib.sha256(raw).hexdigest(), backend)
        found = vulkan.ready(software=not vouched)
        self.on_gpu, self.nanoseconds = found.folder is None, 0
        try:
            if found.folder is None:
                self._child: ChildProcess = ChildProcess([sys.executable, "-P", "-m", _SERVING], log=True)
            else:
                folder = str(found.folder)
                self._child = process.start(f"{_SERVING}:main", [folder], reads=[folder], log=True)
        except (OSError, TypeError, ValueError) as failure:
            raise TargetError(f"cannot start a process for LiteRT's GPU accelerator: {failure}") from failure
        try:
            told = {"inputs": self._inputs, "outputs": self._outputs}
            answer, _ = self._ask(told, raw, _OPEN_SECONDS + len(raw) / 1e6)
        except BaseException:
            self.close()
            raise
        self.whole = answer.get("whole") is True

    def run(self, inputs: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        import numpy as np

        given = b"".join(
            np.ascontiguousarray(array, dtype).tobytes()
            for array, (dtype, _) in zip(inputs, self._inputs, strict=True)
        )
        told, raw = self._ask({}, given, _RUN_SECONDS)
        if isinstance(taken := told.get("ns"), int):
            self.nanoseconds = taken
        sizes = [np.dtype(dtype).itemsize * math.prod(shape) for dtype, shape in self._outputs]
        if len(raw) != sum(sizes):
            raise EngineError(f"expected {sum(sizes)} bytes of outputs, got {len(raw)}")
        found, start = [], 0
        for (dtype, shape), size in zip(self._outputs, sizes, strict=True):
            found.append(np.frombuffer(raw, dtype, math.prod(shape), start).reshape(shape))
            start += size
        return found

    @property
    def device(self) -> str:
        said = re.search(r"Selected adapter: (.+?),", self._child.said())
        return said[1] if said else "unknown"

    def said(self) -> list[str]:
        return complaints(self._child.said())

    def _ask(self, told: dict[str, Any], raw: bytes, seconds: float) -> tuple[dict[str, Any], bytes]:
        answer = self._child.ask(told, raw, seconds=seconds, most=_MOST_ANSWER_BYTES)
        if answer is None:
            raise EngineError(self._end(seconds))
        if error := answer[0].get("error"):
            said = next(iter(self.said()), "")
            raise EngineError(" ".join(f"{error} {said}".split()))
        return answer

    def _end(self, seconds: float) -> str:
        """How the process ended, or that it was ended."""
        if self._child.late:
            return f"it takes more than {seconds:.0f} s"
        if self._child.is_running():
            return "it answers what is no answer"
        status = self._child.status()
        if status < 0:
            return f"it died of {signal.Signals(-status).name}"
        return f"it ended with status {status}: {self._child.last_line()[:_MOST_LINE]}"

    def close(self) -> None:
        self._child.close()

    def __enter__(self) -> OnGpu:
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()


def complaints(log: str) -> list[str]:
    """What is not said of any file, a line each, none twice."""
    lines = (line for line in log.splitlines() if not _NOISE.match(line))
    found = dict.fromkeys(" ".join(_STAMP.sub("", line).split())[:_MOST_LINE] for line in lines)
    return list(found)[:_MOST_LINES]


def _declared(specs: Sequence[TensorSpec]) -> list[tuple[str, list[int]]]:
    """The dtype and shape of each tensor, for one image where that is free. Raises `EngineError`."""
    for spec in specs:
        if spec.dtype not in _DTYPES:
            raise EngineError(f"expected {', '.join(_DTYPES)} in and out, got {spec.dtype}")
    return [(spec.dtype, [max(size, 1) for size in spec.shape]) for spec in specs]


ENGINE = Gpu()
