"""LiteRT's CPU with its fast kernels, which every app gets that asks for nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edgewright.benchmarks.linting import Answer, Linter, Say

if TYPE_CHECKING:
    from edgewright.benchmarks.linting._subject import Subject

_EDGES = {"CAST", "QUANTIZE", "DEQUANTIZE"}  # from pixels, and to scores


class Xnnpack(Linter):
    title = "LiteRT CPU, XNNPACK"
    place = 0
    suffixes = (".tflite",)

    def missing(self) -> str:
        from edgewright.benchmarks.agreement.interpreting import XNNPACK, Interpreter

        return Interpreter(kernels=XNNPACK).missing()

    def lint(self, subject: Subject, say: Say) -> Sequence[Answer]:
        from edgewright.benchmarks.agreement.interpreting import XNNPACK, Interpreter, kept_going
        from edgewright.benchmarks.linting._subject import FIX, SHAPES, tried

        left: list[int] = []

        def look(running: Any) -> None:
            left.extend(running.undelegated())

        with kept_going(Interpreter(kernels=XNNPACK)) as engine:
            found = tried(subject, engine, look)
        slow = [place for place in subject.computing if place in set(left)]
        every = len(subject.computing) or 1
        remedy = ""
        if found.verdict == "wrong" or not found.runs:
            remedy = "write the layer in other operators"
        elif slow:
            remedy = "these run in plain, slower kernels: write the layers in other operators"
            nodes = [subject.graph.nodes[place] for place in slow]
            names = {node.operator for node in nodes}
            if subject.is_free and names <= SHAPES | _EDGES:
                remedy = FIX
            elif names <= _EDGES:
                remedy = "nothing: these stand at the edges and cost little; export --io float32 has none"
            elif all(node.macs == 0 for node in nodes):
                remedy = "nothing: these run in plain kernels, and none of the multiplications is in them"
        return [
            Answer(
                engine=self.title,
                runs=found.runs,
                verdict=found.verdict,
                share=1 - len(slow) / every if found.runs else None,
                blamed=found.blamed or subject.blamed(slow),
                remedy=remedy,
                note=found.said,
            )
        ]


LINTER = Xnnpack()
