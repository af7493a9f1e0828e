"""What the weights in a written file are like: how many are zero, how many values they have.

Counted in the file, not in the network it came from, so that what a converter does to zeros and
clusters shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Weights = Mapping[str, NDArray[Any]]  # by the name in the file, as stored; output channels first


def summary(weights: Weights) -> dict[str, Any]:
    """For the manifest: the share of zeros in all, and each layer's own figures.

    `values` counts different numbers in a layer, `values_per_channel` those of the output channel that
    has most: integers of different channels stand for different numbers, and folding a
    BatchNormalization scales each channel.
    """
    layers = [
        {
            "name": name,
            "weights": int(array.size),
            "zeros": round(float(np.mean(array == 0)), 4),
            "values": len(np.unique(array)),
            "values_per_channel": max(len(np.unique(channel)) for channel in array),
        }
        for name, array in weights.items()
    ]
    count = sum(array.size for array in weights.values())
    zeros = sum(int(np.sum(array == 0)) for array in weights.values())
    return {"zeros": round(zeros / count, 4) if count else 0.0, "layers": layers}
