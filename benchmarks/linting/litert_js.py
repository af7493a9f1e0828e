"""LiteRT.js, which runs .tflite files in browsers, in the WebAssembly of a Chromium without a window."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgewright.benchmarks.linting import Answer, Blamed, Linter, Say

if TYPE_CHECKING:
    from edgewright.benchmarks.linting._subject import Subject

_NODE = re.compile(r"[Nn]ode number (\d+) \(")  # as TensorFlow Lite says which operator it cannot prepare
_LACKED = re.compile(r"builtin opcode '(\w+)'|Encountered unresolved custom op: (\w+)")
_OTHERS = "write the layer in other operators"
_EDGES = "export it with uint8 or float32 at both ends (without --io int8)"


class LiteRtJs(Linter):
    title = "LiteRT.js"
    place = 6
    suffixes = (".tflite",)

    def missing(self) -> str:
        from edgewright.benchmarks.targets.browser import asking

        return asking.missing()

    def lint(self, subject: Subject, say: Say) -> Sequence[Answer]:
        from edgewright.benchmarks.linting._subject import FIX, tried
        from edgewright.benchmarks.targets.browser import asking

        with asking.engine("tflite", say) as engine:
            found = tried(subject, engine)
        remedy = ""
        if not found.runs or found.verdict == "wrong":
            ends = {spec.dtype for spec in (*subject.file.inputs, *subject.file.outputs)}
            remedy = FIX if subject.is_free else _EDGES if not ends <= asking.OF_LITERT_JS else _OTHERS
        return [
            Answer(
                engine=self.title,
                runs=found.runs,
                verdict=found.verdict,
                share=None,  # what it says of itself is "not fully" of every file in WebAssembly
                blamed=found.blamed or (() if found.runs else _told(subject, found.said)),
                remedy=remedy,
                note=found.said,
            )
        ]


def _told(subject: Subject, said: str) -> tuple[Blamed, ...]:
    """The operator that the engine names itself."""
    nodes = subject.graph.nodes
    places = [int(number) for number in _NODE.findall(said)]
    names = {name for pair in _LACKED.findall(said) for name in pair if name}
    places += [place for place, node in enumerate(nodes) if node.operator in names]
    return subject.blamed([place for place in places if place < len(nodes)])


LINTER = LiteRtJs()
