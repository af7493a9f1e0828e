"""TensorFlow Lite Micro, for microcontrollers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgewright.benchmarks.linting import Answer, Blamed, Linter, Say
from edgewright.benchmarks.targets.micro import ENGINE, in_floats

if TYPE_CHECKING:
    from edgewright.benchmarks.linting._subject import Subject


class Micro(Linter):
    title = "TensorFlow Lite Micro"
    place = 4
    suffixes = (".tflite",)

    def missing(self) -> str:
        return ENGINE.missing()

    def lint(self, subject: Subject, say: Say) -> Sequence[Answer]:
        from edgewright.benchmarks.agreement.interpreting import kept_going
        from edgewright.benchmarks.agreement.locating import refused
        from edgewright.benchmarks.linting._subject import tried

        arena: list[int] = []
        with kept_going(ENGINE) as engine:
            found = tried(subject, engine, lambda running: arena.append(running.arena_bytes()))
            lacking = [] if found.runs else refused(subject.file.raw, engine, subject.pictures[:1])
        blamed = tuple(Blamed(operator=o.operator, layer=o.layer, why=o.crash) for o in lacking)
        remedy = ""
        if not found.runs:
            remedy = "write the layers in operators that it has"
            if in_floats(subject.graph) is not None:
                remedy = "export it in 8-bit integers (tflite-int8)"
        elif found.verdict == "wrong":
            remedy = "write the layer in other operators"
        return [
            Answer(
                engine=self.title,
                runs=found.runs,
                verdict=found.verdict,
                share=1.0 if found.runs else None,
                blamed=blamed or found.blamed,
                remedy=remedy,
                note=found.said or (f"arena of {arena[0]:,} bytes" if arena and arena[0] else ""),
            )
        ]


LINTER = Micro()
