"""Magnitude pruning: the smallest weights of each layer become zero and stay so.

`pruneNN` takes NN percent away, slowly over the first half of the fine-tuning; `prune2x4` two of every
four neighbours, at once. Source: Zhu, Gupta: To prune, or not to prune, arXiv:1710.01878; NVIDIA's 2:4
pattern, arXiv:2104.08378; both by TFMOT.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from edgewright.export.network.layers import refuse_without_weights, wrapped
from edgewright.export.passes import Pass
from edgewright.runtime.errors import InputError
from edgewright.train.stack import import_tfmot

if TYPE_CHECKING:
    from edgewright.export.network.trainer import Trainer

_UPDATES = 20  # of the masks, until the sparsity is what was asked for


class Prune(Pass):
    examples = ("prune50", "prune80", "prune90", "prune2x4")
    rank = 1

    def takes(self, name: str) -> bool:
        match = re.fullmatch(r"prune(-?[\d.]+)", name)
        if match and not re.fullmatch(r"[1-9]\d?", match[1]):
            raise InputError(
                f"expected prune1 to prune99, the percentage of weights that become zero, got '{name}'"
            )
        return match is not None or name == "prune2x4"

    def check(self, model: Any) -> None:
        refuse_without_weights(model)

    def apply(self, name: str, trainer: Trainer) -> Any:
        sparsity = import_tfmot().sparsity.keras
        settings: dict[str, Any]
        if name == "prune2x4":
            settings, end = {"sparsity_m_by_n": (2, 4)}, 1
        else:
            # A mask is made anew at multiples of `frequency` only: the end must be one of them.
            frequency = max(1, trainer.steps // (2 * _UPDATES))
            end = max(1, trainer.steps // 2 // frequency) * frequency
            share = int(name.removeprefix("prune")) / 100
            schedule = sparsity.PolynomialDecay(0.0, share, 0, end, frequency=frequency)
            settings = {"pruning_schedule": schedule}
        model = wrapped(trainer.model, lambda layer: sparsity.prune_low_magnitude(layer, **settings))
        trainer.fit(model, callbacks=[sparsity.UpdatePruningStep()], ready_at=end)
        return sparsity.strip_pruning(model)


PASS = Prune()
