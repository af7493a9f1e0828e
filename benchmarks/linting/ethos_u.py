"""Arm's Ethos-U NPUs, by their compiler: what it takes is what they run. No answer is compared."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgewright.benchmarks.linting import Answer, Blamed, Linter, Say
from edgewright.runtime.graph import keras_layers

if TYPE_CHECKING:
    from edgewright.benchmarks.linting._subject import Subject
    from edgewright.benchmarks.targets.ethos_u import Prospect

_OPERATOR = re.compile(r"Error: ([A-Z0-9_]+) '([^']+)'")


class EthosU(Linter):
    title = "Ethos-U"
    place = 3
    suffixes = (".tflite",)

    def missing(self) -> str:
        from edgewright.benchmarks.targets.ethos_u import TARGET

        return TARGET.missing()

    def lint(self, subject: Subject, say: Say) -> Sequence[Answer]:
        from edgewright.benchmarks.targets.ethos_u import NPUS, estimate
        from edgewright.runtime.errors import InputError

        answers = []
        for npu in NPUS:
            engine = f"{npu.title} (vela)"
            try:
                prospect = estimate(subject.path, subject.file.sha256, npu)
            except InputError as failure:
                said = str(failure)
                answers.append(
                    Answer(engine=engine, runs=False, blamed=_named(said), note=said, remedy=_REMEDY)
                )
                continue
            operators = prospect.npu_operators + prospect.cpu_operators
            blamed = _blamed(subject, prospect) if prospect.cpu_operators else ()
            answers.append(
                Answer(
                    engine=engine,
                    runs=prospect.npu_operators > 0,
                    share=prospect.npu_operators / operators if operators else None,
                    blamed=blamed,
                    remedy=_REMEDY if blamed else "",
                )
            )
        return answers


_REMEDY = "export it in 8-bit integers with integer inputs (tflite-int8); it takes nothing else"


def _named(said: str) -> tuple[Blamed, ...]:
    """The operator that vela stumbles over, as its message has it: with the name of a tensor."""
    found = _OPERATOR.search(said)
    if found is None:
        return ()
    (layers,) = keras_layers([[found[2]]])
    return (Blamed(operator=found[1], layer=next(iter(layers), "")),)


def _blamed(subject: Subject, prospect: Prospect) -> tuple[Blamed, ...]:
    """The operators whose outputs vela names as left to the CPU, in the file's order."""
    found = []
    for place in subject.computing:
        outputs = subject.graph.nodes[place].outputs
        why = next(
            (prospect.left[n] for k in outputs if (n := subject.graph.tensors[k].name) in prospect.left), ""
        )
        if why:
            (one,) = subject.blamed([place])
            found.append(Blamed(operator=one.operator, layer=one.layer, why=why))
    return tuple(dict.fromkeys(found))


LINTER = EthosU()
