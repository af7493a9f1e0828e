"""What a network wants done to raw pixels before its first layer: the one place that knows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewright.runtime.disk.jsonio import JsonObject


@dataclass(frozen=True, kw_only=True)
class Normalization:
    """`pixel * factor + offset`, of RGB or grey pixels 0-255.

    `factor` and `offset` hold one number, or one a channel in the order the network takes its
    channels; `bgr` says that this order is blue, green, red.
    """

    factor: tuple[float, ...]
    offset: tuple[float, ...]
    bgr: bool = False

    @staticmethod
    def of_range(low: float, high: float, *, bgr: bool = False) -> Normalization:
        """Pixels 0-255 brought to `low`..`high`."""
        return Normalization(factor=((high - low) / 255.0,), offset=(low,), bgr=bgr)

    @staticmethod
    def of_statistics(mean: Sequence[float], std: Sequence[float], *, bgr: bool = False) -> Normalization:
        """`(pixel / 255 - mean) / std`, as torchvision writes it."""
        count = max(len(mean), len(std))
        means, stds = (list(values) * (count if len(values) == 1 else 1) for values in (mean, std))
        return Normalization(
            factor=tuple(1 / (255.0 * s) for s in stds),
            offset=tuple(-m / s for m, s in zip(means, stds, strict=True)),
            bgr=bgr,
        )

    @property
    def linear_range(self) -> tuple[float, float] | None:
        """What 0 and 255 become, where a tensor's own scale and zero point can say all of it; else None.

        They can for one factor and offset of all channels, kept in order, if the range holds 0 (the
        zero point is itself a pixel value).
        """
        if self.bgr or len({*self.factor}) > 1 or len({*self.offset}) > 1:
            return None
        low, high = self.offset[0], self.offset[0] + 255.0 * self.factor[0]
        return (low, high) if low <= 0 <= high else None

    def apply(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Images uint8 `(…, channels)` as the network wants them, float32 of the same shape."""
        ordered = images[..., ::-1] if self.bgr else images
        return ordered.astype(np.float32) * np.array(self.factor, np.float32) + np.array(
            self.offset, np.float32
        )

    def to_json(self) -> dict[str, Any]:
        return {"factor": list(self.factor), "offset": list(self.offset), "bgr": self.bgr}

    @staticmethod
    def from_json(obj: JsonObject) -> Normalization:
        factor, offset = (tuple(float(value) for value in obj.array(key)) for key in ("factor", "offset"))
        return Normalization(factor=factor, offset=offset, bgr=obj.flag("bgr"))
