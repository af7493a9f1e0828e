"""OpenVINO on this machine's CPU, which Intel's runtimes for other devices share their front end with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgewright.benchmarks.linting import Answer, Blamed, Linter, Say
from edgewright.runtime import backends
from edgewright.runtime.errors import EdgewrightError

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

        expected = subject.cpu
        try:
            session = trust.isolated(backends.get(_BACKEND), subject.file, 1, _BACKEND)
            try:
                theirs = [session.run(picture).reshape(1, -1) for picture in subject.pictures]
            finally:
                session.close()
        except EdgewrightError as failure:
            return [
                Answer(
                    engine=self.title,
                    runs=False,
                    blamed=_first(subject),
                    remedy=_REMEDY,
                    note=str(failure),
                )
            ]
        check = judging.compare(theirs, expected, subject.head, rounded=subject.rounded)
        return [
            Answer(
                engine=self.title,
                runs=True,
                verdict=check.verdict,
                share=1.0,
                blamed=() if check.verdict == "right" else _first(subject),
                remedy=_REMEDY if check.verdict == "wrong" else "",
                note="" if check.verdict == "right" else f"scores are off by up to {check.max_abs_error:.3g}",
            )
        ]


def _first(subject: Subject) -> tuple[Blamed, ...]:
    """The first operator of a .tflite that OpenVINO refuses, or computes otherwise; none of an .onnx."""
    from edgewright.benchmarks.agreement import EngineError, in_openvino
    from edgewright.benchmarks.agreement.locating import locate

    if subject.suffix != ".tflite":
        return ()
    try:
        with in_openvino.engine() as engine:
            found = locate(subject.file.raw, engine, subject.pictures[:1], seconds=_SECONDS)
    except (EngineError, EdgewrightError):  # the CPU does not give what is between its operators
        return ()
    return (Blamed(operator=found.operator, layer=found.layer, why=found.crash),) if found else ()


_SECONDS = 60.0  # to look for it
_REMEDY = "take another variant there"
LINTER = OpenVino()
