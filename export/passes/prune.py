"""Pruning: the weights of each layer that it needs least become zero and stay so.

`pruneNN` takes NN percent of a layer's weights away, `prune2x4` two of every four neighbours, layer by layer
(`edgewright.export.weights.pruning`), before the first step of training; what is left is trained on.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from edgewright.export.network.layers import assign, one_by_one, refuse_without_weights, rows, weighted
from edgewright.export.passes import Pass
from edgewright.export.weights import pruning
from edgewright.runtime.errors import InputError

if TYPE_CHECKING:
    from edgewright.export.network.trainer import Trainer


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
        for layer, moments in one_by_one(trainer, weighted(trainer.model)):
            has_bias = layer.use_bias
            if name == "prune2x4":
                channels = layer.kernel.shape[-2]
                found = pruning.two_of_four(rows(layer), moments, channels, has_bias=has_bias)
            else:
                share = int(name.removeprefix("prune")) / 100
                found = pruning.by_share(rows(layer), moments, share, has_bias=has_bias)
            assign(layer, found.weights, found.shift)
        trainer.fit(trainer.model, callbacks=[_zeros_stay(trainer)], as_it_is=True)
        return trainer.model


def _zeros_stay(trainer: Trainer) -> Any:
    import tensorflow as tf

    kernels = [layer.kernel for layer in weighted(trainer.model)]
    kept = [tf.cast(kernel != 0, tf.float32) for kernel in kernels]

    class ZerosStay(trainer.tf_keras.callbacks.Callback):  # type: ignore[misc,name-defined]
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self._mask()

        @tf.function  # type: ignore[untyped-decorator]
        def _mask(self) -> None:
            for kernel, stays in zip(kernels, kept, strict=True):
                kernel.assign(kernel * stays)

    return ZerosStay()


PASS = Prune()
