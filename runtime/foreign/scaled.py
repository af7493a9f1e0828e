"""A session of a file that takes pixels in another form, with raw pixels in front of it."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewright.runtime.backends import Pixels, Scores, Session, wrong_pixels
from edgewright.runtime.contract import TensorSpec


class Scaled:
    """Takes raw pixels uint8 `(n, height, width, channels)` for a file that wants them scaled or quantized,
    with channels first, or blue first. `inner` is the file's own session."""

    def __init__(
        self,
        inner: Session,
        shape: tuple[int, int, int],
        table: NDArray[Any],
        *,
        channels_first: bool,
        bgr: bool = False,
        scores: int,
    ) -> None:
        """`shape` is height, width and channels of a picture; `table` `(channels, 256)` what a pixel's value
        becomes, by the file's order of channels; `scores` how many the file gives."""
        self.inner = inner
        self._shape, self._table = shape, table
        self._channels_first, self._bgr = channels_first, bgr
        self.input = TensorSpec(name=inner.input.name, shape=(inner.input.shape[0], *shape), dtype="uint8")
        self.output = dataclasses.replace(inner.output, shape=(inner.output.shape[0], scores))
        self.kernels = inner.kernels

    def run(self, pixels: Pixels) -> Scores:
        return self.inner.run(self.prepared(pixels))

    def prepared(self, pixels: Pixels) -> NDArray[Any]:
        """Raw pixels as the file takes them. Raises `InputError`."""
        if not isinstance(pixels, np.ndarray) or pixels.dtype != "uint8" or pixels.shape[1:] != self._shape:
            raise wrong_pixels(pixels, self.input)
        height, width, channels = self._shape
        form = (channels, height, width) if self._channels_first else self._shape
        scaled = np.empty((len(pixels), *form), self._table.dtype)
        planes = np.moveaxis(scaled, 1 if self._channels_first else 3, 0)
        for place, (values, out) in enumerate(zip(self._table, planes, strict=True)):
            out[...] = values[pixels[..., channels - 1 - place if self._bgr else place]]
        return scaled

    def close(self) -> None:
        self.inner.close()


def inner(session: Session) -> Session:
    """The file's own session, which takes what the file takes."""
    return session.inner if isinstance(session, Scaled) else session


def bare(session: Session, pixels: Pixels) -> tuple[Session, NDArray[Any]]:
    """The file's own session, and raw pixels as that takes them: for those who time it."""
    if isinstance(session, Scaled):
        return session.inner, session.prepared(pixels)
    return session, pixels
