"""TFLite files on LiteRT, with the XNNPACK kernels wherever they take the graph."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgewright.runtime.backends import Backend, ModelFile, Session, check_single, damage_as, for_any_batch
from edgewright.runtime.backends.litert import schema
from edgewright.runtime.errors import MissingExtraError

if TYPE_CHECKING:
    from edgewright.runtime.graph import Graph

_DAMAGED = "is damaged or cut off: {}; copy it again"


class LiteRT(Backend):
    suffixes = (".tflite",)
    module = "ai_edge_litert.interpreter"
    package = "ai-edge-litert"
    extra = "tflite"
    sample = (
        "eNqFUrtOw0AQ3LsYcIwVjLCsFBQpKCmQUDokOirKlDSIRCEICIoi0eYT+BjEN1BQUPMFETUFnTO3N2c5gSiWxvu43bl9XCwivYvL"
        "07uyLHPo98AMmFuRhnj0gCMgAr4R52QMGPpEtmFH+Hu7o77ZuSzJZd8TePahDfrDwfNkNLyddvrjm+l4Qt5c41rShpZJqvwt+g+B"
        "d+AD+OSdD9ejR2G9L8DVPxy75Gj7IuKculWOSHnc3VvkCTZKLUWSqo4EvhTIeB7mYJlnlT7RmBAfM8cwxnAi4b5guxmewfiFfOU+"
        "jsn/pnWIqXNNeZ+h/NoQ4/dVaC/Cuvy3A68vaTU3qvHbqtZC53qgM/nLkVVzEFvnMpW/0K3ImvyQs9qDrfXg8vfW9OC7k8amPtwu"
        "TvhW3Pkc82v63OYPdPIVqb4f0SjH2fX+7gKOOzwL"
    )

    def offers(self) -> Sequence[str]:
        return ("CPU",)  # delegates for other processors are libraries that an app loads itself

    def parse(self, path: Path, raw: bytes) -> ModelFile:
        with damage_as(path, _DAMAGED):
            return schema.read(path, raw)

    def graph(self, file: ModelFile) -> Graph:
        from edgewright.runtime.backends.litert import graph

        with damage_as(file.path, _DAMAGED):
            return graph.read(file.raw)

    def undelegated(self, file: ModelFile) -> Sequence[int] | None:
        from edgewright.runtime.backends.litert import session

        return session.undelegated(file) if self.available() else None

    def open(self, file: ModelFile, threads: int, *, plain: bool = False) -> Session:
        if not self.available():
            raise MissingExtraError("LiteRT, which runs .tflite files,", self.extra)
        from edgewright.runtime.backends.litert.session import LiteRTSession

        check_single(file.path, file.inputs, file.outputs)
        return for_any_batch(LiteRTSession(file, threads, plain=plain))

    def open_plain(self, file: ModelFile) -> Session | None:
        return self.open(file, threads=1, plain=True)


BACKEND = LiteRT()
