"""ONNX files on onnxruntime, on the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgewright.runtime import plugins
from edgewright.runtime.backends import ModelFile, Session, check_single, for_any_batch, read_bytes
from edgewright.runtime.backends.ort import schema
from edgewright.runtime.errors import MissingExtraError

if TYPE_CHECKING:
    from edgewright.runtime.graph import Graph


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
        return schema.read(path, raw)

    def graph(self, file: ModelFile) -> Graph:
        from edgewright.runtime.backends.ort import graph

        with schema.damage_named(file.path):
            return graph.read(file.raw)

    def undelegated(self, file: ModelFile) -> Sequence[int] | None:
        return None

    def open(self, file: ModelFile, threads: int) -> Session:
        if not self.available():
            raise MissingExtraError("onnxruntime, which runs .onnx files,", self.extra)
        from edgewright.runtime.backends.ort.session import OnnxSession

        check_single(file.path, file.inputs, file.outputs)
        return for_any_batch(OnnxSession(file, threads))


BACKEND = OnnxRuntime()
