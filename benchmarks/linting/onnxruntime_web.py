"""onnxruntime-web, which runs .onnx files in browsers, in the WebAssembly of a Chromium without a window."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgewright.benchmarks.linting import Answer, Blamed, Linter, Say

if TYPE_CHECKING:
    from edgewright.benchmarks.linting._subject import Subject

_LACKED = re.compile(r"(\w+)\(-?\d+\) (?:node with name|is not a registered)")
_REMEDY = "write the layer in other operators, or take another variant there"


class OnnxruntimeWeb(Linter):
    title = "onnxruntime-web"
    place = 6
    suffixes = (".onnx",)

    def missing(self) -> str:
        from edgewright.benchmarks.targets.browser import asking

        return asking.missing()

    def lint(self, subject: Subject, say: Say) -> Sequence[Answer]:
        from edgewright.benchmarks.agreement import EngineError, judging
        from edgewright.benchmarks.targets.browser import asking

        expected = subject.cpu
        theirs = []
        try:
            with asking.engine("onnx", say) as engine, engine.open(subject.file.raw) as running:
                for picture in subject.pictures:
                    theirs.append(subject.scores(running.run([picture])))
        except (EngineError, ValueError) as failure:
            return [
                Answer(
                    engine=self.title,
                    runs=False,
                    blamed=_told(subject, str(failure)),
                    remedy=_REMEDY,
                    note=str(failure),
                )
            ]
        check = judging.compare(theirs, expected, subject.head, rounded=subject.rounded)
        right = check.verdict == "right"
        return [
            Answer(
                engine=self.title,
                runs=True,
                verdict=check.verdict,
                share=1.0,  # it opens no file of which it has not all operators
                remedy=_REMEDY if check.verdict == "wrong" else "",
                note="" if right else f"scores are off by up to {check.max_abs_error:.3g}",
            )
        ]


def _told(subject: Subject, said: str) -> tuple[Blamed, ...]:
    """The operators that the engine says it lacks."""
    names = set(_LACKED.findall(said))
    return subject.blamed([p for p, node in enumerate(subject.graph.nodes) if node.operator in names])


LINTER = OnnxruntimeWeb()
