"""Quantization-aware training in 4 bits: the weights that a step moves are rounded before the next one.

Each channel's weights are multiples of one number, -7 to 7 times. Training moves the weights behind them,
which are not rounded, by the gradient at those that are (the straight-through estimator); BatchNormalization
learns with what is rounded. What is left is a plain Keras model, whose weights a file of 4 bits holds as
they are. Layers of few weights, which such files hold in 8 bits, are trained along, and so is the last one.
Source: Courbariaux, Bengio, David: BinaryConnect, arXiv:1511.00363.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgewright.export.network.layers import refuse_without_weights, weighted
from edgewright.export.passes import Pass
from edgewright.export.weights import rounding

if TYPE_CHECKING:
    from edgewright.export.network.trainer import Trainer

_MOST = 2 ** (rounding.BITS - 1) - 1
_CLIPS = np.linspace(1.0, 0.5, 11)  # shares of a channel's largest weight that 7 may stand for

Kernel = NDArray[np.float32]


class Qat4(Pass):
    examples = ("qat4",)
    rank = 2  # the grid of 15 numbers a channel leaves nothing of clusters
    only = ("tflite-weight-int4", "onnx-weight-int4")
    why_only = "what it trains is the rounding of 4-bit weights"

    def check(self, model: Any) -> None:
        refuse_without_weights(model)

    def apply(self, name: str, trainer: Trainer) -> Any:
        trainer.fit(trainer.model, callbacks=[on_grid(trainer)])
        return trainer.model


def on_grid(trainer: Trainer) -> Any:
    """A callback that has the kernels of `trainer.model` that 4 bits are to hold on their grids."""
    layers = weighted(trainer.model)
    bits = rounding.bits({i: int(np.prod(layer.kernel.shape)) for i, layer in enumerate(layers)})
    kernels = [layers[i].kernel for i, count in bits.items() if count == rounding.BITS]
    return _on_grid(trainer.tf_keras, kernels)


def _on_grid(tf_keras: Any, kernels: list[Any]) -> Any:
    """A callback that has `kernels` on their grids whenever they are used. Zeros of pruning stay."""
    import tensorflow as tf

    class OnGrid(tf_keras.callbacks.Callback):  # type: ignore[misc]
        def on_train_begin(self, logs: Any = None) -> None:
            self._behind = [tf.Variable(kernel) for kernel in kernels]
            self._rounded = [tf.Variable(kernel) for kernel in kernels]
            self._scales = [tf.Variable(scales(kernel.numpy())) for kernel in kernels]
            self._kept = [tf.cast(kernel != 0, tf.float32) for kernel in kernels]

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            for scale, behind in zip(self._scales, self._behind, strict=True):
                scale.assign(scales(behind.numpy()))
            self._round()

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self._round()

        @tf.function  # type: ignore[untyped-decorator]
        def _round(self) -> None:
            parts = (kernels, self._behind, self._rounded, self._scales, self._kept)
            for kernel, behind, rounded, scale, kept in zip(*parts, strict=True):
                behind.assign_add(kernel - rounded)  # by what the step has moved
                codes = tf.clip_by_value(tf.round(behind / scale), -_MOST, _MOST)
                rounded.assign(codes * scale * kept)
                kernel.assign(rounded)

    return OnGrid()


def scales(kernel: Kernel) -> Kernel:
    """For each channel, the kernel's last axis, the number whose multiples are closest to its weights."""
    rows = kernel.reshape(-1, kernel.shape[-1])
    largest = np.maximum(np.abs(rows).max(axis=0), 1e-12)
    tried = np.outer(_CLIPS, largest) / _MOST
    errors = [np.square(rows - np.clip(np.rint(rows / t), -_MOST, _MOST) * t).sum(axis=0) for t in tried]
    chosen: Kernel = tried[np.argmin(errors, axis=0), np.arange(len(largest))].astype(np.float32)
    return chosen


PASS = Qat4()
