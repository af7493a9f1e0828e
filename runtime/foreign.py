"""Model files of others, which carry no contract: what they leave unsaid is given, or assumed and said.

Scaling is not inside such a file, so the runtime does it: a table holds what each of the 256 values of
a pixel becomes, in the dtype that the file takes.
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
        if self._channels_first:
            pixels = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
        return self._session.run(self._table[pixels])

    def close(self) -> None:
        self._session.close()


def adopt(
    file: ModelFile, labels: Sequence[str], input_range: InputRange | None, open_file: Callable[[], Session]
) -> Adopted:
    """Open a file that has no contract, and make one for it.

    Args:
        labels: a label a score, in their order.
        input_range: what the network wants pixels brought to, such as (0, 1); None only for a file
            that takes uint8.
        open_file: opens the file as it is.

    Raises:
        InputError: labels or a range that do not fit the file.
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
    table, range_said = _table(file.path, given, input_range)
    plain = table is None and not channels_first

    def open_for_pixels() -> Session:
        session = open_file()
        if plain:
            return session
        every_value = np.arange(256, dtype=np.uint8) if table is None else table
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


def _table(path: Path, given: TensorSpec, ends: InputRange | None) -> tuple[NDArray[Any] | None, str]:
    """What each value of a pixel becomes, None if itself; and that in words."""
    if ends is None:
        if given.dtype != "uint8":
            raise InputError(
                f"{path} takes {given.dtype} and does not say of which range; give the one it was trained "
                "on, input_range=(0, 1) or (-1, 1) or (0, 255) (--input-range 0..1)"
            )
        return None, "0-255 as they are"
    low, high = ends
    if not (np.isfinite([low, high]).all() and low < high):
        raise InputError(f"expected an input range of two numbers, the lower first, got {low}..{high}")
    real = np.linspace(low, high, 256)
    said = f"brought to {low:g}..{high:g} as told"
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
