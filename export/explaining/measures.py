"""How far values are from those of a float model, added up picture by picture. Pure numpy.

Signal-to-noise ratios are 10 log10(sum of squares of what should be / sum of squares of the difference), in
decibels: 20 dB are errors of a tenth, 40 dB of a hundredth.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from edgewright.export.explaining.graphs import Floats, Grid

MOST_DECIBELS = 200.0
_LEAST = 1e-30  # float32 has logarithms down to here
_LEAST_SEEN = 1 / 512  # half a step of an 8-bit probability: what is below is all the same


@dataclass(kw_only=True)
class Noise:
    """Powers of a signal, of what came instead, and of their difference; `product` is that of the two."""

    signal: float = 0.0
    other: float = 0.0
    noise: float = 0.0
    product: float = 0.0

    def add(self, wanted: Floats, got: Floats) -> None:
        a, b = wanted.astype(np.float64).ravel(), got.astype(np.float64).ravel()
        self.signal += float(a @ a)
        self.other += float(b @ b)
        self.product += float(a @ b)
        self.noise += float(np.square(a - b).sum())

    @property
    def decibels(self) -> float:
        """From -`MOST_DECIBELS`, also where either is no number, to `MOST_DECIBELS`, also where all is the
        same."""
        if not math.isfinite(self.noise) or not math.isfinite(self.signal):
            return -MOST_DECIBELS
        if self.noise == 0:
            return MOST_DECIBELS
        ratio = 10 * math.log10(self.signal / self.noise) if self.signal else -MOST_DECIBELS
        return max(-MOST_DECIBELS, min(MOST_DECIBELS, ratio))

    @property
    def cosine(self) -> float:
        sizes = math.sqrt(self.signal * self.other)
        return self.product / sizes if sizes else float(self.signal == self.other)


@dataclass(kw_only=True)
class Range:
    """The values of a float tensor, and how an integer tensor says them; `channels` is each channel's largest
    distance from 0."""

    low: float = math.inf
    high: float = -math.inf
    count: int = 0
    saturated: int = 0
    channels: Floats | None = field(default=None, repr=False)

    def add(self, floats: Floats, channel_axis: int) -> None:
        self.low, self.high = min(self.low, float(floats.min())), max(self.high, float(floats.max()))
        moved = np.abs(np.moveaxis(floats, channel_axis, -1))
        largest: Floats = moved.reshape(-1, moved.shape[-1]).max(axis=0)
        self.channels = largest if self.channels is None else np.maximum(self.channels, largest)

    def add_said(self, floats: Floats, grid: Grid | None) -> None:
        """Count which of `floats`, as they should be, are beyond what the grid can say by more than half a
        step."""
        self.count += floats.size
        if grid is not None:
            low, high = grid.ends
            beyond = (floats < low - grid.scale / 2) | (floats > high + grid.scale / 2)
            self.saturated += int(beyond.sum())

    @property
    def saturated_share(self) -> float:
        return self.saturated / self.count if self.count else 0.0

    def clipped_share(self, grid: Grid | None) -> float:
        """The part of the float tensor's range that the grid cannot say."""
        width = self.high - self.low
        if grid is None or not width > 0:
            return 0.0
        low, high = grid.ends
        said = min(self.high, high + grid.scale / 2) - max(self.low, low - grid.scale / 2)
        return 1 - max(said, 0.0) / width

    @property
    def channel_spread(self) -> float:
        """The largest channel over the median one of those that say anything."""
        if self.channels is None:
            return 1.0
        alive = self.channels[self.channels > 0]
        return float(alive.max() / np.median(alive)) if alive.size else 1.0


def readout(scores: Floats, ending: str, *, seen: bool) -> Floats:
    """Scores `(n, classes)` as numbers in which errors add up: of a softmax or sigmoid, the logits in front
    of it, those of a softmax without what is the same for all classes; others as they are.

    `seen` leaves out what the last function does not let through: probabilities below half an 8-bit step are
    taken for that. Logits may be cut off there without any loss.
    """
    flat = scores.reshape(len(scores), -1).astype(np.float64)
    least = _LEAST_SEEN if seen else _LEAST
    if ending == "softmax":
        logs = np.log(np.clip(flat, least, 1))
        flat = logs - logs.mean(axis=1, keepdims=True)
    elif ending == "sigmoid":
        flat = np.log(np.clip(flat, least, 1)) - np.log(np.clip(1 - flat, least, 1))
    result: Floats = flat.astype(np.float32)
    return result
