"""TFLite files on LiteRT, with the XNNPACK kernels wherever they take the graph."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgewright.runtime import plugins
from edgewright.runtime.backends import ModelFile, Session, check_single, for_any_batch, read_bytes
from edgewright.runtime.backends.litert import schema
from edgewright.runtime.errors import MissingExtraError

if TYPE_CHECKING:
    from edgewright.runtime.graph import Graph


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
        return schema.read(path, raw)

    def graph(self, file: ModelFile) -> Graph:
        from edgewright.runtime.backends.litert import graph

        with schema.damage_named(file.path):
            return graph.read(file.raw)

    def undelegated(self, file: ModelFile) -> Sequence[int] | None:
        from edgewright.runtime.backends.litert import session

        return session.undelegated(file) if self.available() else None

    def open(self, file: ModelFile, threads: int) -> Session:
        if not self.available():
            raise MissingExtraError("LiteRT, which runs .tflite files,", self.extra)
        from edgewright.runtime.backends.litert.session import LiteRTSession

        check_single(file.path, file.inputs, file.outputs)
        return for_any_batch(LiteRTSession(file, threads))


BACKEND = LiteRT()
