"""ONNX files on onnxruntime: on the CPU, or where another of its execution providers computes."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgewright.runtime.backends import (
    EXACT,
    Backend,
    ModelFile,
    Session,
    check_single,
    damage_as,
    for_any_batch,
)
from edgewright.runtime.backends.ort import schema
from edgewright.runtime.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from edgewright.runtime.graph import Graph

_CPU = "CPUExecutionProvider"
_NO_ENGINES = (_CPU, "AzureExecutionProvider")  # the plain `ort`, and one that sends pictures elsewhere


class OnnxRuntime(Backend):
    suffixes = (".onnx",)
    module = "onnxruntime"
    package = "onnxruntime"
    extra = "onnx"
    sample = (
        "eNpVjUsKwkAQRKeGoG3jJ2lFBTchy3gDN0IEF0Iu4C7mZyA4EEey9SZ6VA2oYMGDetSiiMTLszJvm6o8Wz8zqTXN5gFeMCpBGji7"
        "5GrDAWtrlnhC84SRCoqgv68Ta/MLe4yC0QpM0IsTG99qQRmuySHtIkJ78JW6b9UvXf/346o7m/OMtLisCW/0B5ymDCNjHhKEvmPk"
        "sHJHL/vaHSM="
    )

    def offers(self) -> Sequence[str]:
        import onnxruntime

        return tuple(onnxruntime.get_available_providers())

    def engines(self) -> Sequence[str]:
        others = (name for name in self.offers() if name not in _NO_ENGINES)
        return ("", *(f":{name}" for name in others))

    def on(self, device: str, arithmetic: str) -> Backend:
        if arithmetic != EXACT:
            raise InputError(
                f"expected onnxruntime to compute as the file says ({EXACT}), got {arithmetic}, which none "
                "of its providers is told to"
            )
        if device == _CPU:
            return self
        found = copy.copy(self)
        found.device = device
        return found

    def parse(self, path: Path, raw: bytes) -> ModelFile:
        with damage_as(path, schema.DAMAGED):
            return schema.read(path, raw)

    def graph(self, file: ModelFile) -> Graph:
        from edgewright.runtime.backends.ort import graph

        with damage_as(file.path, schema.DAMAGED):
            return graph.read(file.raw)

    def open(self, file: ModelFile, threads: int, *, plain: bool = False) -> Session:
        if not self.available():
            raise MissingExtraError("onnxruntime, which runs .onnx files,", self.extra)
        from edgewright.runtime.backends.ort.session import OnnxSession

        check_single(file.path, file.inputs, file.outputs)
        return for_any_batch(OnnxSession(file, threads, self.device or _CPU, plain=plain))

    def open_plain(self, file: ModelFile) -> Session | None:
        return self.open(file, threads=1, plain=True)


BACKEND = OnnxRuntime()
