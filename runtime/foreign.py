"""Model files of others, which carry no contract: what they leave unsaid is given, or assumed and said.

Scaling is not inside such a file, so the runtime does it: a table holds what each of the 256 values of
a pixel becomes in each channel, in the dtype that the file takes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewright.runtime.backends import ModelFile, Pixels, Scores, Session, check_single, wrong_pixels
from edgewright.runtime.contract import InputContract, ModelContract, TensorSpec
from edgewright.runtime.errors import InputError, ModelFileError

InputRange = tuple[float, float]
_WHICH = (
    "give the one it was trained on, input_range=(0, 1) or (-1, 1) or (0, 255) (--input-range 0..1), or "
    "mean= and std= (--mean 0.485,0.456,0.406 --std 0.229,0.224,0.225)"
)


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
            return np.tile(
                np.linspace(low, high, 256), (channels, 1)
            ), f"brought to {low:g}..{high:g} as told"
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
        words = [", ".join(f"{number:g}" for number in given) for given in (mean, std)]
        return values, f"less a mean of {words[0]} and divided by a std of {words[1]} as told"


@dataclass(frozen=True, kw_only=True)
class Adopted:
    """A file that was given a contract: `session` is open for raw pixels, `reopen` opens another.

    `assumptions` are lines for the user.
    """

    contract: ModelContract
    session: Session
    reopen: Callable[[], Session]
    assumptions: tuple[str, ...]


class Scaled:
    """A session of a file that takes scaled or quantized pixels, or channels first: takes raw pixels."""

    def __init__(self, session: Session, table: NDArray[Any], *, channels_first: bool) -> None:
        self._session, self._table, self._channels_first = session, table, channels_first
        batch, *shape = session.input.shape
        self._shape = (*shape[1:], shape[0]) if channels_first else tuple(shape)
        self.input = TensorSpec(name=session.input.name, shape=(batch, *self._shape), dtype="uint8")
        self.output, self.kernels = session.output, session.kernels

    def run(self, pixels: Pixels) -> Scores:
        if not isinstance(pixels, np.ndarray) or pixels.dtype != "uint8" or pixels.shape[1:] != self._shape:
            raise wrong_pixels(pixels, self.input)
        scaled = np.empty((len(pixels), *self._session.input.shape[1:]), self._table.dtype)
        channels = np.moveaxis(scaled, 1 if self._channels_first else 3, 0)
        for channel, (values, out) in enumerate(zip(self._table, channels, strict=True)):
            out[...] = values[pixels[..., channel]]
        return self._session.run(scaled)

    def close(self) -> None:
        self._session.close()


def adopt(
    file: ModelFile, labels: Sequence[str], scaling: Scaling, open_file: Callable[[], Session]
) -> Adopted:
    """Open a file that has no contract, and make one for it.

    Args:
        labels: a label a score, in their order.
        scaling: what the network wants done to pixels; none only for a file that takes uint8.
        open_file: opens the file as it is.

    Raises:
        InputError: labels or a scaling that do not fit the file.
        ModelFileError: not an image classifier of fixed size.
    """
    check_single(file.path, file.inputs, file.outputs)
    given, classes = file.inputs[0], file.outputs[0].shape[1]
    if classes >= 0 and len(labels) != classes:
        raise InputError(f"expected {classes} labels for {file.path}, got {len(labels)}")
    channels_first = given.shape[1] in (1, 3) and given.shape[3] not in (1, 3)
    height, width, channels = given.shape[2:] + given.shape[1:2] if channels_first else given.shape[1:]
    if channels not in (1, 3) or height < 1 or width < 1:
        raise ModelFileError(
            f"expected an input of fixed size with 1 or 3 channels in {file.path}, got {given.shape}"
        )
    table, range_said = _table(file.path, given, scaling, channels)
    plain = table is None and not channels_first

    def open_for_pixels() -> Session:
        session = open_file()
        if plain:
            return session
        every_value = np.tile(np.arange(256, dtype=np.uint8), (channels, 1)) if table is None else table
        return Scaled(session, every_value, channels_first=channels_first)

    session = open_for_pixels()
    head, head_said = _head(session, (max(1, given.shape[0]), height, width, channels))
    contract = ModelContract(
        name=file.path.stem,
        variant="foreign",
        input=InputContract(height=height, width=width, channels=channels),
        labels=tuple(labels),
        head=head,
    )
    kind = "grey" if channels == 1 else "RGB"
    order = "channels first" if channels_first else "channels last"
    said = (f"{kind} pixels, {order}, {range_said}", "pictures are stretched to size, bilinear", head_said)
    return Adopted(contract=contract, session=session, reopen=open_for_pixels, assumptions=said)


def _table(path: Path, given: TensorSpec, scaling: Scaling, channels: int) -> tuple[NDArray[Any] | None, str]:
    """What each value of a pixel becomes `(channels, 256)`, None if itself; and that in words."""
    if not scaling:
        if given.dtype != "uint8":
            raise InputError(f"{path} takes {given.dtype} and does not say of which range; {_WHICH}")
        return None, "0-255 as they are"
    real, said = scaling.values(channels)
    if given.dtype in ("float32", "float16"):
        return real.astype(given.dtype), said
    if given.dtype not in ("uint8", "int8", "int16") or not given.scale:
        raise ModelFileError(
            f"expected {path} to take floats or quantized integers to scale to, got {given.dtype}"
        )
    limits = np.iinfo(given.dtype)
    codes = np.clip(np.round(real / given.scale) + given.zero_point, limits.min, limits.max)
    return codes.astype(given.dtype), f"{said}, then quantized"


def _head(session: Session, shape: tuple[int, ...]) -> tuple[str, str]:
    """Whether scores are probabilities, judged by what a grey picture gives."""
    scores = session.run(np.full(shape, 128, np.uint8))[0]
    # An 8-bit softmax has steps of 1/256, so those of many classes do not add up to 1 well.
    if scores.min() >= 0 and abs(float(scores.sum()) - 1) < 0.05:
        return "softmax", "scores are probabilities, as those of a grey picture add up to 1"
    return "logits", "scores are logits, as those of a grey picture do not add up to 1"
