"""Distillation in 4 bits, without labels: the rounded network learns the scores that it gave before.

As `qat4`, weights are on the grid of 4 bits whenever they are used; but what is learnt from pictures is how
the float network scores them, so they want no labels, and a few hundred steps suffice: most of what rounding
has changed is taken back, and nothing new is to be learnt. Source: Hinton, Vinyals, Dean: Distilling the
Knowledge in a Neural Network, arXiv:1503.02531, at temperature 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgewright.export.network.layers import refuse_without_weights
from edgewright.export.passes import Pass, qat4

if TYPE_CHECKING:
    from edgewright.export.network.trainer import Trainer

_STEPS = 100  # an epoch
_LEARNING_RATE = 1e-4  # Adam's; of 150 pictures, 3e-4 and 1e-3 unlearnt more than they mended


class Distill4(Pass):
    examples = ("distill4",)
    rank = qat4.Qat4.rank
    only = qat4.Qat4.only
    why_only = qat4.Qat4.why_only
    labelled = False

    def check(self, model: Any) -> None:
        refuse_without_weights(model)

    def apply(self, name: str, trainer: Trainer) -> Any:
        trainer.distill(
            trainer.model, callbacks=[qat4.on_grid(trainer)], steps=_STEPS, learning_rate=_LEARNING_RATE
        )
        return trainer.model


PASS = Distill4()
