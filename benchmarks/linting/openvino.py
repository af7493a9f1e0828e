"""OpenVINO on this machine's CPU, which Intel's runtimes for other devices share their front end with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgewright.benchmarks.linting import Answer, Linter, Say
from edgewright.runtime import backends

if TYPE_CHECKING:
    from edgewright.benchmarks.linting._subject import Subject

_BACKEND = "openvino"


class OpenVino(Linter):
    title = "OpenVINO CPU"
    place = 5
    suffixes = (".tflite", ".onnx")

    def missing(self) -> str:
        backend = backends.get(_BACKEND)
        return "" if backend.available() else f"openvino; run: pip install 'edgewright[{backend.extra}]'"

    def lint(self, subject: Subject, say: Say) -> Sequence[Answer]:
        from edgewright.benchmarks.agreement import judging
        from edgewright.runtime import trust
        from edgewright.runtime.errors import EdgewrightError

        expected = subject.cpu
        try:
            session = trust.isolated(backends.get(_BACKEND), subject.file, 1, _BACKEND)
            try:
                theirs = [session.run(picture).reshape(1, -1) for picture in subject.pictures]
            finally:
                session.close()
        except EdgewrightError as failure:
            return [Answer(engine=self.title, runs=False, remedy=_REMEDY, note=str(failure))]
        check = judging.compare(theirs, expected, subject.head, rounded=subject.rounded)
        return [
            Answer(
                engine=self.title,
                runs=True,
                verdict=check.verdict,
                share=1.0,
                remedy=_REMEDY if check.verdict == "wrong" else "",
                note="" if check.verdict == "right" else f"scores are off by up to {check.max_abs_error:.3g}",
            )
        ]


_REMEDY = "take another variant there"
LINTER = OpenVino()
