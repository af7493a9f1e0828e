"""Core ML's delegate, by its published list alone: it runs on Apple's systems, so nothing is run here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgewright.benchmarks.linting import Answer, Linter, Say

if TYPE_CHECKING:
    from edgewright.benchmarks.linting._subject import Subject

# https://ai.google.dev/edge/litert/ios/coreml, "Supported ops"; RESHAPE with Core ML 2 only, so left out.
SOURCE = "https://ai.google.dev/edge/litert/ios/coreml"
READ = "2026-11-22"
_OPERATORS = frozenset(
    """
    ADD AVERAGE_POOL_2D CONCATENATION CONV_2D DEPTHWISE_CONV_2D FULLY_CONNECTED HARD_SWISH LOGISTIC
    MAX_POOL_2D MIRROR_PAD MUL PAD PADV2 RELU RELU_N1_TO_1 RELU6 RESIZE_BILINEAR SOFTMAX TANH
    TRANSPOSE_CONV
    """.split()  # noqa: SIM905 - as the page has them
)


class CoreMl(Linter):
    title = "Core ML delegate"
    place = 9
    suffixes = (".tflite",)

    def missing(self) -> str:
        return ""

    def lint(self, subject: Subject, say: Say) -> Sequence[Answer]:
        graph = subject.graph
        integer = [
            place
            for place in subject.computing
            if graph.nodes[place].macs
            and any(
                graph.tensors[key].dtype in ("int8", "uint8", "int16", "int4")
                for key in graph.nodes[place].inputs
            )
        ]
        left = integer or [p for p in subject.computing if graph.nodes[p].operator not in _OPERATORS]
        taken = 0.0 if integer else 1 - len(left) / (len(subject.computing) or 1)
        remedy = ""
        if integer:
            remedy = "it takes float files alone: tflite-float32 or tflite-float16"
        elif left:
            remedy = "these would run on the CPU: write the layers in operators of the list"
        return [
            Answer(
                engine=self.title,
                runs=None,
                share=taken,
                blamed=subject.blamed(left),
                remedy=remedy,
                note=f"nothing ran: by the list at {SOURCE}, read {READ}",
            )
        ]


LINTER = CoreMl()
