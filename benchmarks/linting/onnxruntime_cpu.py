"""onnxruntime's CPU provider: what .onnx files are held against."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgewright.benchmarks.linting import Answer, Linter, Say
from edgewright.runtime import backends

if TYPE_CHECKING:
    from edgewright.benchmarks.linting._subject import Subject


class OnnxruntimeCpu(Linter):
    title = "onnxruntime CPU"
    place = 0
    suffixes = (".onnx",)

    def missing(self) -> str:
        ort = backends.get("ort")
        return "" if ort.available() else f"{ort.package}; run: pip install 'edgewright[{ort.extra}]'"

    def lint(self, subject: Subject, say: Say) -> Sequence[Answer]:
        from edgewright.runtime.errors import EdgewrightError

        try:
            runs = len(subject.cpu) > 0
        except EdgewrightError as failure:
            return [Answer(engine=self.title, runs=False, note=str(failure))]
        return [Answer(engine=self.title, runs=runs, share=1.0, note="others are held against it")]


LINTER = OnnxruntimeCpu()
