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
_WITHIN = 0.49  # of a step
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


def in_4_bits(model: Any) -> list[Any]:
    """The layers of a tf_keras model whose kernels 4 bits are to hold."""
    layers = weighted(model)
    bits = rounding.bits({i: int(np.prod(layer.kernel.shape)) for i, layer in enumerate(layers)})
    return [layers[i] for i, count in bits.items() if count == rounding.BITS]


def on_grid(trainer: Trainer) -> Any:
    """`kept_on_grid` for those of `trainer.model`."""
    return kept_on_grid(trainer.tf_keras, [layer.kernel for layer in in_4_bits(trainer.model)])


def kept_on_grid(tf_keras: Any, kernels: list[Any]) -> Any:
    """A callback that has `kernels` on their grids whenever they are used. Zeros of now stay; a kernel that
    is on a grid when training begins keeps that one, others get the closest."""
    import tensorflow as tf

    class OnGrid(tf_keras.callbacks.Callback):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self._kept = [tf.cast(kernel != 0, tf.float32) for kernel in kernels]
            self._float = [kernel.numpy() for kernel in kernels]

        def on_train_begin(self, logs: Any = None) -> None:
            self._rounded = [tf.Variable(kernel) for kernel in kernels]
            found = [rounding.on_grid(_rows(kernel.numpy())) for kernel in kernels]
            self._open = [each is None for each in found]
            self._scales = [
                tf.Variable(scales(kernel.numpy()) if each is None else each.scales)
                for kernel, each in zip(kernels, found, strict=True)
            ]
            self._behind = [
                tf.Variable(before if is_open else _closest(before, kernel.numpy(), scale.numpy()))
                for before, kernel, scale, is_open in zip(
                    self._float, kernels, self._scales, self._open, strict=True
                )
            ]
            self._round()

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            for scale, behind, is_open in zip(self._scales, self._behind, self._open, strict=True):
                if is_open:
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


def _closest(kernel: Kernel, rounded: Kernel, scale: Kernel) -> Kernel:
    """What is closest to `kernel` of all that is rounded to `rounded`: what rounding changed a lot changes
    back at the slightest pull."""
    return np.clip(kernel, rounded - _WITHIN * scale, rounded + _WITHIN * scale)


def _rows(kernel: Kernel) -> Kernel:
    return kernel.reshape(-1, kernel.shape[-1]).T


PASS = Qat4()
