"""Which range of an activation gets the 256 codes: all that was seen, or what costs the least squared error.

A single number far out takes the codes from all others. A narrower range clips it and is finer for the rest.

Source of the choice: Sung, Shin, Hwang: Resiliency of Deep Neural Networks under Quantization,
arXiv:1511.06488, section 3.1 (L2 error over a histogram).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewright.train.datasets import Images

BINS = 2048
_IMAGES = 64  # of those that calibrate
_STEPS = 24  # quarter octaves that an end is moved in at most
_CODES = 255


def sample(calibration: Images) -> Images:
    chosen: Images = calibration[
        np.linspace(0, len(calibration) - 1, min(_IMAGES, len(calibration))).astype(int)
    ]
    return chosen


def counted(values: NDArray[Any], low: float, high: float) -> NDArray[np.int64]:
    """How many of the values lie in each of `BINS` equal parts of the range; zeros, which every range holds
    exactly, are left out."""
    found = values[values != 0].ravel()
    places = ((found - low) * (BINS / max(high - low, 1e-30))).astype(np.int64)
    return np.bincount(np.clip(places, 0, BINS - 1), minlength=BINS)


def least_squares(counts: NDArray[np.int64], low: float, high: float) -> tuple[float, float]:
    """The range within `low` to `high` whose 256 steps come closest to the values counted there."""
    if not (np.isfinite(low) and np.isfinite(high) and low < high and counts.any()):
        return low, high
    centres = low + (np.arange(BINS) + 0.5) * (high - low) / BINS
    ends = 2.0 ** (-np.arange(_STEPS + 1) / 4)
    best, chosen = np.inf, (low, high)
    for bottom in low * ends if low < 0 else [low]:
        for top in high * ends if high > 0 else [high]:
            clipped = np.clip(centres, bottom, top)
            step = (max(top, 0.0) - min(bottom, 0.0)) / _CODES
            inside = counts[clipped == centres].sum()
            error = float(counts @ (centres - clipped) ** 2) + inside * step**2 / 12
            if error < best:
                best, chosen = error, (float(bottom), float(top))
    return chosen
