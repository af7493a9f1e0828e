"""What a layer sees: means and second moments of its inputs, in the float network and in what is made of it.

From these follows what a layer would give for other weights, without running it: what rounds or removes
weights layer by layer works on them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewright.train.datasets import Images

TOGETHER = 1152  # inputs whose moments are one matrix: those of a 3x3 convolution of 128 channels
_MOST_IMAGES, _FEWEST_IMAGES, _HELD = 1024, 32, 2**25  # images, and numbers of the largest tensor for all
_ROWS = 2**14  # places of a layer that are looked at
_DAMPING = 0.01  # of the mean second moment
_PLACES_AN_INPUT = 4

Floats = NDArray[np.floating[Any]]


def sample(images: Images, largest: int) -> Images:
    """As many of the images, spread evenly, as their tensors, of at most `largest` numbers each, allow."""
    count = min(len(images), max(_FEWEST_IMAGES, min(_MOST_IMAGES, _HELD // max(largest, 1))))
    chosen: Images = images[np.linspace(0, len(images) - 1, count).astype(int)]
    return chosen


def patches(
    values: Floats,
    size: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    pads: Sequence[Sequence[int]],
    places: int,
) -> Floats:
    """What a convolution multiplies its kernel with, `(places, height * width * channels)`.

    Args:
        values: `(n, height, width, channels)`.
        size, strides, dilations: of the kernel, height and width.
        pads: zeros before and behind, of height and width.
        places: how many are taken at most, evenly over all.
    """
    padded = np.pad(values, ((0, 0), tuple(pads[0]), tuple(pads[1]), (0, 0)))
    reach = [(taps - 1) * dilation + 1 for taps, dilation in zip(size, dilations, strict=True)]
    rows, columns = (
        (extent - covered) // stride + 1
        for extent, covered, stride in zip(padded.shape[1:3], reach, strides, strict=True)
    )
    total = len(values) * rows * columns
    chosen = np.linspace(0, total - 1, min(places, total)).astype(int)
    image, row, column = np.unravel_index(chosen, (len(values), rows, columns))
    row, column = row * strides[0], column * strides[1]
    taken = [
        padded[image, row + i * dilations[0], column + j * dilations[1]]
        for i in range(size[0])
        for j in range(size[1])
    ]
    return np.concatenate(taken, axis=1)


def same_padding(extent: int, size: int, stride: int, dilation: int) -> tuple[int, int]:
    """Zeros before and behind that leave one output a stride, the odd one behind."""
    missing = max(0, (-(-extent // stride) - 1) * stride + (size - 1) * dilation + 1 - extent)
    return missing // 2, missing - missing // 2


def places_of(batches: int) -> int:
    """How many places of each batch are looked at."""
    return max(1, _ROWS // batches)


def enough(inputs: int) -> int:
    """How many places of a layer with so many inputs it takes that what suits them suits others too."""
    return _PLACES_AN_INPUT * min(inputs, TOGETHER)


class Moments:
    """Means and second moments of what a layer is given, and of what it should have been given."""

    def __init__(self, pairs: Iterable[tuple[Floats, Floats]]) -> None:
        """Each of the `pairs` is `(places, inputs)` of the float network and of what is made of it."""
        exact, given = (np.concatenate(part) for part in zip(*pairs, strict=True))
        self.exact, self.given = (part.mean(axis=0, dtype=np.float64) for part in (exact, given))
        self._exact, self._given = exact, given

    @property
    def enough(self) -> bool:
        """Whether there are so many places that what suits them suits others too."""
        return len(self._given) >= enough(self._given.shape[1])

    def among(self, part: slice, centred: bool) -> tuple[Floats, Floats]:
        """Of that part of the inputs the second moments of what is given, `(inputs, inputs)`, and those of
        exact with given ones; around the means if a bias makes up for these."""
        exact, given, count = self._exact[:, part], self._given[:, part], len(self._given)
        square = (given.T @ given).astype(np.float64) / count
        cross = (exact.T @ given).astype(np.float64) / count
        if centred:
            square -= np.outer(self.given[part], self.given[part])
            cross -= np.outer(self.exact[part], self.given[part])
        return square, cross


def split_up(inputs: int) -> list[slice]:
    """Inputs that are looked at together: of more than `TOGETHER` each such part by itself, as work grows
    with their square or cube, as if inputs of different parts had nothing to do with each other."""
    return [slice(start, min(start + TOGETHER, inputs)) for start in range(0, inputs, TOGETHER)]


def damped(square: Floats) -> Floats:
    """Second moments `(inputs, inputs)` with a little more of each input alone, so that they can be solved
    for and nothing hangs on what the images happen to have."""
    more: Floats = square + np.eye(len(square)) * max(_DAMPING * np.trace(square) / len(square), 1e-12)
    return more
