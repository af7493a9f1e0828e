"""Stores a clustered layer with one codebook, the same integers for all of its channels.

A layer with 16 different weights should be 16 different bytes in a file, which gzip packs well. A scale
for each channel undoes that: each channel's largest weight becomes 127 there, whichever of the 16 it is,
and the other weights become whatever they are beside it; 16 values of ResNet-8 are 34 to 58 different
bytes of a layer. So channels get scales in which the same weight is the same byte: that of the whole
layer, times what folding a BatchNormalization has multiplied the channel by.

    gzip bytes         tflite-int8                        onnx-int8
                       plain    cluster16  one codebook   cluster16  one codebook
    mnist-cnn          210,759  135,204    120,956        163,096    124,840
    cifar10-resnet8     79,043   57,426     52,653         57,292     54,052
    fashion-mlp        188,359  117,447    108,082        151,798    132,372

What `make results-passes` trains, on its first 500 training images, without metadata; to measure again, let
`recode` give None.
Source of the codebook: Han, Mao, Dally: Deep Compression, arXiv:1510.00149, section 3.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MOST_VALUES = 255  # what clustering makes at most; a layer with more is not clustered
_MOST_ERROR = 0.03  # of a channel's weights, root mean square; scales apart reach .011 in those networks

Floats = NDArray[np.floating[Any]]


def clustered(weights: Iterable[Floats]) -> list[Floats]:
    """Those of a network's weights that are clustered kernels, output channels first, as TFLite lays them
    out; `weights` are as Keras holds them."""
    return [
        np.moveaxis(kernel, -1, 0)
        for kernel in weights
        if kernel.ndim in (2, 4)
        and np.isfinite(kernel).all()
        and 2 <= len(np.unique(kernel)) <= min(_MOST_VALUES, kernel.size // 8)
    ]


def recode(
    stored: NDArray[np.int8], scales: Floats, kernels: Iterable[Floats]
) -> tuple[NDArray[np.int8], NDArray[np.float32]] | None:
    """Integers of one codebook and scales for the weights that are stored, if they are those of one of
    `kernels` with each channel multiplied by a number; else None.

    Args:
        stored: output channels first, as each of `kernels`.
        scales: `(channels,)`.
    """
    alike = (kernel for kernel in kernels if kernel.shape == stored.shape)
    coded = (_coded(stored, scales.astype(np.float64), kernel) for kernel in alike)
    return next((pair for pair in coded if pair is not None), None)


def _coded(
    stored: NDArray[np.int8], scales: Floats, kernel: Floats
) -> tuple[NDArray[np.int8], NDArray[np.float32]] | None:
    rows, values = (array.reshape(len(array), -1).astype(np.float64) for array in (stored, kernel))
    largest = np.abs(values).max(axis=1)
    # Exactly so: a converter lets 127 stand for a channel's largest weight.
    ratios = 127 * scales / np.where(largest > 0, largest, np.inf)
    ratios *= np.sign(np.sum(rows * values, axis=1))  # 0 if something has multiplied the channel by 0
    exact = ratios[:, np.newaxis] * values
    if np.any(np.abs(rows * scales[:, np.newaxis] - exact) > 0.51 * scales[:, np.newaxis]):
        return None
    step = np.abs(values).max() / 127
    codes = np.rint(values / step) * np.sign(ratios)[:, np.newaxis]
    shared = np.where(ratios != 0, np.abs(ratios) * step, scales)
    error = np.sqrt(np.mean((codes * shared[:, np.newaxis] - exact) ** 2, axis=1))
    lost = error > _MOST_ERROR * np.sqrt(np.mean(exact**2, axis=1))
    if lost.all():
        return None
    codes = np.where(lost[:, np.newaxis], stored.reshape(len(stored), -1), codes)
    shared = np.where(lost, scales, shared)
    return codes.reshape(stored.shape).astype(np.int8), shared.astype(np.float32)


def note(layers: int) -> str:
    """What was chosen, for the manifest."""
    return (
        "1 layer, one for all channels" if layers == 1 else f"{layers} layers, one for all channels of each"
    )
