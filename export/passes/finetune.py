"""Fine-tunes and changes nothing else: what a pass is to be compared with.

A network that is trained on may get better by that alone, which would be credited to the pass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgewright.export.passes import Pass

if TYPE_CHECKING:
    from edgewright.export.network.trainer import Trainer


class Finetune(Pass):
    examples = ("finetune",)
    rank = 0

    def apply(self, name: str, trainer: Trainer) -> Any:
        trainer.fit(trainer.model)
        return trainer.model


PASS = Finetune()
