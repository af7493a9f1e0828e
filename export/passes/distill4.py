"""Distillation in 4 bits, without labels: the rounded network learns the scores that it gave before.

Weights are rounded layer by layer first, as files of 4 bits have it (`edgewright.export.weights.rounding`),
and stay on these grids while the network is trained towards its own scores of before, for the same pictures.
A few hundred steps suffice, as nothing new is to be learnt; if none of them brings it closer, rounding is all
that is left of it. Source: Hinton, Vinyals, Dean: Distilling the Knowledge in a Neural Network,
arXiv:1503.02531, at temperature 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edgewright.export.network.layers import assign, one_by_one, refuse_without_weights, rows
from edgewright.export.passes import Pass, qat4
from edgewright.export.weights import rounding

if TYPE_CHECKING:
    from edgewright.export.network.trainer import Trainer

_STEPS = 100  # an epoch
_LEARNING_RATE = 3e-5  # Adam's; at 1e-4 a cifar10-cnn got worse than rounding had left it


class Distill4(Pass):
    examples = ("distill4",)
    rank = qat4.Qat4.rank
    only = qat4.Qat4.only
    why_only = qat4.Qat4.why_only
    labelled = False

    def check(self, model: Any) -> None:
        refuse_without_weights(model)

    def apply(self, name: str, trainer: Trainer) -> Any:
        for layer in trainer.model.submodules:  # as it will be used: nothing is drawn, statistics stay
            if type(layer).__name__ == "BatchNormalization":
                layer.trainable = False
            elif "Dropout" in type(layer).__name__:
                layer.rate = 0.0
        grid = qat4.on_grid(trainer)
        _round(trainer)
        trainer.distill(trainer.model, callbacks=[grid], steps=_STEPS, learning_rate=_LEARNING_RATE)
        return trainer.model


def _round(trainer: Trainer) -> None:
    """Rounds each layer that 4 bits are to hold so that it gives what it gave before, as far as they can."""
    for layer, moments in one_by_one(trainer, qat4.in_4_bits(trainer.model)):
        if moments is None:
            continue
        found = rounding.rounded(rows(layer), moments, rounding.BITS, has_bias=layer.use_bias)
        assign(layer, found.codes * found.scales[:, np.newaxis], found.shift)


PASS = Distill4()
