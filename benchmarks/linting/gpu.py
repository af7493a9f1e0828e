"""LiteRT's GPU accelerator, in software where there is no GPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edgewright.benchmarks.linting import Answer, Blamed, Linter, Say
from edgewright.benchmarks.targets.gpu import ENGINE

if TYPE_CHECKING:
    from edgewright.benchmarks.linting._subject import Subject


class Gpu(Linter):
    title = "LiteRT GPU"
    place = 1
    suffixes = (".tflite",)

    def missing(self) -> str:
        return ENGINE.missing()

    def lint(self, subject: Subject, say: Say) -> Sequence[Answer]:
        from edgewright.benchmarks.linting._subject import FIX, tried
        from edgewright.benchmarks.targets.gpu import vulkan

        vulkan.ready(say)
        whole: list[bool] = []

        def look(running: Any) -> None:
            whole.append(running.whole)

        found = tried(subject, ENGINE, look)
        share = 1.0 if whole == [True] else None
        note = found.said
        if found.runs and share is None:
            note = "; ".join(filter(None, (note, "it leaves operators to the CPU, and does not say which")))
        remedy = ""
        if not found.runs or found.verdict == "wrong":
            remedy = FIX if subject.is_free and not found.runs else _AGAIN
        return [
            Answer(
                engine=self.title,
                runs=found.runs,
                verdict=found.verdict,
                share=share,
                blamed=found.blamed or (_shapes(subject) if remedy == FIX else ()),
                remedy=remedy,
                note=note,
            )
        ]


_AGAIN = "export the model again, as known faults are avoided; else run it on the CPU there"


def _shapes(subject: Subject) -> tuple[Blamed, ...]:
    """The operators that compute with shapes which are not fixed."""
    return subject.blamed([p for p in subject.computing if subject.graph.nodes[p].operator == "SHAPE"])


LINTER = Gpu()
