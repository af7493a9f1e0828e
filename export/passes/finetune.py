"""Fine-tunes and changes nothing else: what a pass is to be compared with.

A network that is trained on may get better by that alone, which would be credited to the pass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgewright.export.network.trainer import Tuner


class Finetune:
    examples = ("finetune",)
    rank = 0
    only: tuple[str, ...] = ()
    why_only = ""
    fake_quantizes = False

    def takes(self, name: str) -> bool:
        return name == "finetune"

    def check(self, model: Any) -> None:
        pass

    def apply(self, name: str, tuner: Tuner) -> Any:
        tuner.fit(tuner.model)
        return tuner.model


PASS = Finetune()
