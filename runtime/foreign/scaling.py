"""What a network of others wants done to pixels before it takes them: a table of what 0 to 255 become."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewright.runtime.contract import TensorSpec
from edgewright.runtime.errors import InputError, ModelFileError

InputRange = tuple[float, float]
ASK = (
    "look up what it was trained on and say so: --input-range 0..1, -1..1 or 0..255, or --mean and --std as "
    "torchvision states them (in Python input_range=, or mean= and std=)"
)
_RANGES: tuple[InputRange, ...] = ((0, 1), (-1, 1), (0, 255))


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """What the network wants done to pixels: brought to `input_range`, or `(pixel / 255 - mean) / std`.

    `mean` and `std` are one number or one a channel, as torchvision states them.
    """

    input_range: InputRange | None = None
    mean: float | Sequence[float] | None = None
    std: float | Sequence[float] | None = None

    def __bool__(self) -> bool:
        return (self.input_range, self.mean, self.std) != (None, None, None)

    def values(self, channels: int) -> tuple[NDArray[np.float64], str]:
        """What 0-255 become: `(channels, 256)`, and that in words. Raises `InputError`."""
        if self.mean is None and self.std is None and self.input_range is not None:
            low, high = self.input_range
            if not (np.isfinite([low, high]).all() and low < high):
                raise InputError(
                    f"expected an input range of two numbers, the lower first, got {low}..{high}"
                )
            return np.tile(np.linspace(low, high, 256), (channels, 1)), f"brought to {low:g}..{high:g}"
        if self.input_range is not None or self.mean is None or self.std is None:
            raise InputError("expected either an input range, or both mean and std")
        mean, std = (np.atleast_1d(np.asarray(given, np.float64)) for given in (self.mean, self.std))
        for name, given in (("mean", mean), ("std", std)):
            if given.shape not in ((1,), (channels,)) or not np.isfinite(given).all():
                count = "one number" if channels == 1 else f"one number or {channels}"
                raise InputError(f"expected {name} to be {count}, got {given.tolist()}")
        if std.min() <= 0 or std.max() > 1 or abs(mean).max() > 1:
            raise InputError(
                "expected mean and std in units of 0..1, std above 0 (divide values of 0..255 by 255), "
                f"got {mean.tolist()} and {std.tolist()}"
            )
        values = (np.arange(256) / 255 - np.broadcast_to(mean, channels)[:, None]) / np.broadcast_to(
            std, channels
        )[:, None]
        words = [", ".join(f"{number:.6g}" for number in given) for given in (mean, std)]
        return values, f"less a mean of {words[0]} and divided by a std of {words[1]}"

    @staticmethod
    def of_255(mean: Sequence[float], std: Sequence[float]) -> Scaling:
        """That of `(pixel - mean) / std`."""
        return Scaling(mean=[value / 255 for value in mean], std=[value / 255 for value in std])


def table(
    path: Path, given: TensorSpec, told: Scaling, said: Scaling | None, source: str, channels: int
) -> tuple[NDArray[Any] | None, str, str]:
    """What each value of a pixel becomes `(channels, 256)`, None if itself; that in words; and a remark.

    Args:
        path: of the file.
        given: its input.
        told: what the user says, which comes first.
        said: what its metadata say, in `source`.

    Raises:
        InputError: nobody says, or what the user says cannot be.
        ModelFileError: an input of a dtype that holds no pixels.
    """
    if told:
        real, words = told.values(channels)
        codes, stored = _stored(path, given, real)
        return codes, f"{words} as told{stored}", ""
    if given.dtype == "uint8":  # so do TFLite's Task Library and MediaPipe, whatever the metadata say
        return None, "0-255 as they are", _unused(said, source, given, channels)
    remark = ""
    if said is not None:
        try:
            real, words = said.values(channels)
            codes, stored = _stored(path, given, real)
            return codes, f"{words} as {source} says{stored}", ""
        except InputError as failure:
            remark = f"the scaling in {source} cannot be and is not used: {failure}"
    covered = _covered(given)
    if covered is not None:
        real, words = Scaling(input_range=covered).values(channels)
        codes, stored = _stored(path, given, real)
        return codes, f"{words} as its quantization covers{stored}", remark
    raise InputError(f"{path} takes {given.dtype} and does not say of which range; {ASK}")


def _stored(path: Path, given: TensorSpec, real: NDArray[np.float64]) -> tuple[NDArray[Any], str]:
    """Real values as the input takes them, and what was done to them for that."""
    if given.dtype in ("float32", "float16"):
        return real.astype(given.dtype), ""
    if given.dtype not in ("uint8", "int8", "int16") or not given.scale:
        raise ModelFileError(
            f"expected {path} to take floats or quantized integers to scale to, got {given.dtype}"
        )
    limits = np.iinfo(given.dtype)
    codes = np.clip(np.round(real / given.scale) + given.zero_point, limits.min, limits.max)
    ends = f"0-255 become {codes.min():.0f} to {codes.max():.0f}"
    return codes.astype(given.dtype), f", then quantized ({ends})"


def _covered(given: TensorSpec) -> InputRange | None:
    """The range of pixels, one that networks are trained on, whose ends a quantized input's codes are."""
    if given.dtype != "int8" or not given.scale > 0:
        return None
    low, high = ((code - given.zero_point) * given.scale for code in (-128, 127))
    for range_ in _RANGES:
        step = (range_[1] - range_[0]) / 255
        if abs(low - range_[0]) <= 1.5 * step and abs(high - range_[1]) <= 1.5 * step:
            return range_
    return None


def _unused(said: Scaling | None, source: str, given: TensorSpec, channels: int) -> str:
    if said is None:
        return ""
    try:
        real, _ = said.values(channels)
    except InputError:
        return ""
    codes = real / given.scale + given.zero_point if given.scale else real
    if abs(codes - np.arange(256)).max() <= 1:
        return ""  # it says in other words that pixels go in as they are
    return f"the scaling in {source} is for floats and is not used: a uint8 input takes pixels as they are"
