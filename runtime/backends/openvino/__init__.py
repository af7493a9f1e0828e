"""TFLite and ONNX files on OpenVINO: Intel's and other CPUs, Intel GPUs and NPUs.

It runs what LiteRT and onnxruntime run by default, so it is taken by its name alone. Files are read as those
two backends read them.
"""

from __future__ import annotations

import copy
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgewright.runtime import backends
from edgewright.runtime.backends import Backend, ModelFile, Session, check_single, for_any_batch
from edgewright.runtime.backends.ort import BACKEND as ONNX
from edgewright.runtime.errors import MissingExtraError

if TYPE_CHECKING:
    from edgewright.runtime.graph import Graph

_TELEMETRY = "openvino_telemetry"  # a package that OpenVINO depends on, and does without


class OpenVINO(Backend):
    suffixes = (".onnx", ".tflite")
    module = "openvino"
    package = "openvino"
    extra = "openvino"
    sample = ONNX.sample
    by_name = True

    def load(self) -> Any:
        """Without its telemetry, which would be told of each import: that reads and writes in the home folder
        and asks a server, and ends the process where it may not."""
        if self.module in sys.modules:
            return sys.modules[self.module]
        kept = sys.modules.get(_TELEMETRY)
        sys.modules[_TELEMETRY] = None  # type: ignore[assignment]  # as if it were not installed
        try:
            return importlib.import_module(self.module)
        finally:
            del sys.modules[_TELEMETRY]
            if kept is not None:
                sys.modules[_TELEMETRY] = kept

    def offers(self) -> Sequence[str]:
        return tuple(self.load().Core().available_devices)

    def engines(self) -> Sequence[str]:
        from edgewright.runtime.backends.openvino import session

        return session.engines(self.load())

    def on(self, device: str, arithmetic: str) -> Backend:
        found = copy.copy(self)
        found.device, found.arithmetic = device, arithmetic
        return found

    def parse(self, path: Path, raw: bytes) -> ModelFile:
        return backends.for_path(path).parse(path, raw)

    def graph(self, file: ModelFile) -> Graph:
        return backends.for_path(file.path).graph(file)

    def open(self, file: ModelFile, threads: int) -> Session:
        if not self.available():
            what = f"OpenVINO, which was asked for to run {file.path.name},"
            raise MissingExtraError(what, self.extra)
        from edgewright.runtime.backends.openvino.session import OpenVINOSession

        check_single(file.path, file.inputs, file.outputs)
        try:
            openvino = self.load()
        except ImportError as failure:
            raise MissingExtraError(f"OpenVINO cannot be imported ({failure}); it", self.extra) from failure
        return for_any_batch(OpenVINOSession(openvino, file, threads, self.device or "CPU", self.arithmetic))


BACKEND = OpenVINO()
