"""OpenVINO's CPU as an engine: .tflite files, and parts of them, in 32-bit floats in a process apart.

OpenVINO opens files by their name alone. So parts lie in a folder of our own, the only one that the process
may read.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgewright.benchmarks.agreement.apart import Apart

_BACKEND = "openvino"
_MEMORY_BYTES = 2**32


@contextlib.contextmanager
def engine() -> Iterator[InOpenVINO]:
    """One process for all parts of a file, until the block ends."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="edgewright-", ignore_cleanup_errors=True) as folder:
        made = InOpenVINO(Path(folder).resolve())
        try:
            yield made
        finally:
            made.stop()


class InOpenVINO:
    """See `edgewright.benchmarks.agreement.Engine`; made by `engine`."""

    name, steps, error = "OpenVINO", 2, 1e-4

    def __init__(self, folder: Path) -> None:
        self._folder, self._count = folder, 0
        self._child: Apart | None = None

    def missing(self) -> str:
        from edgewright.runtime import backends

        backend = backends.get(_BACKEND)
        return "" if backend.available() else f"openvino; run: pip install 'edgewright[{backend.extra}]'"

    def open(self, raw: bytes) -> Running:
        self._count += 1
        place = self._folder / f"part-{self._count}.tflite"
        place.write_bytes(raw)
        try:
            self.ask({"do": "open", "path": str(place)})
        finally:
            place.unlink()
        return Running(self)

    def ask(self, told: Mapping[str, Any], arrays: Sequence[NDArray[Any]] = ()) -> list[NDArray[Any]]:
        """Raises `EngineError`: it refuses, or has died; the next question starts another process."""
        from edgewright.benchmarks.agreement import apart

        if self._child is None or not self._child.answers:
            self.stop()
            function = "edgewright.benchmarks.agreement.in_openvino:main"
            self._child = apart.Apart(function, self.name, reads=[str(self._folder)])
        return self._child.ask(told, arrays)[1]

    def stop(self) -> None:
        """End the process."""
        child, self._child = self._child, None
        if child is not None:
            child.close()


class Running:
    """The file that was opened last, see `edgewright.benchmarks.agreement.Running`."""

    def __init__(self, engine: InOpenVINO) -> None:
        self._engine = engine

    def run(self, inputs: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        return self._engine.ask({"do": "run"}, inputs)

    def said(self) -> list[str]:
        return []

    def close(self) -> None:
        """The process goes on with the next file."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()


def main() -> None:
    """The process: a file, then the next."""
    from edgewright.benchmarks.agreement import apart
    from edgewright.runtime import backends
    from edgewright.runtime.trust import sandbox

    openvino: Any = backends.get(_BACKEND).load()
    core = openvino.Core()
    sandbox.seal(_MEMORY_BYTES)
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    opened: list[Any] = []

    def handle(
        told: dict[str, Any], arrays: list[NDArray[Any]]
    ) -> tuple[Mapping[str, Any], Sequence[NDArray[Any]]]:
        if told["do"] == "open":
            compiled = core.compile_model(core.read_model(told["path"]), "CPU", settings)
            opened[:] = [(compiled, compiled.create_infer_request())]
            return {}, []
        compiled, request = opened[0]
        request.infer(arrays)
        return {}, [request.get_output_tensor(place).data.copy() for place in range(len(compiled.outputs))]

    apart.serve(handle)
