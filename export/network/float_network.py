"""What every format needs of a float network, whatever file it came from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from edgewright.export.network.model import Facts, FileInterface
from edgewright.runtime.backends import Scores
from edgewright.runtime.errors import ExportError
from edgewright.train.datasets import Images
from edgewright.train.normalization import Normalization

INPUT, OUTPUT = "image", "scores"  # the names every exported file gives its input and output
_BATCH, _BATCH_PIXELS = 250, 2**21  # whichever is less: a large network's activations are many


class FloatNetwork(ABC):
    """A loaded model, never in training mode, with its normalization and the interface its files get.

    `shape` is that of one image, (height, width, channels); `onnx_tools` are the packages that `to_onnx`
    is done by, and `ir_version` is that of the ONNX file that was loaded, 0 if it was none; `began` is told
    which step of a conversion begins.
    """

    onnx_tools: Sequence[str] = ()
    ir_version = 0

    def __init__(
        self, shape: tuple[int, int, int], normalization: Normalization, interface: FileInterface
    ) -> None:
        """Raises `ExportError`: the normalization is not one for so many channels."""
        self.shape, self.normalization, self.interface = shape, normalization, interface
        self.began: Callable[[str], None] = lambda step: None
        for values in (normalization.factor, normalization.offset):
            if len(values) not in (1, shape[2]):
                raise ExportError(
                    f"expected one mean and std, or one for each of {shape[2]} channels, got {len(values)}"
                )
        if normalization.bgr and shape[2] != 3:
            raise ExportError("expected --bgr with a network of three channels, got one of a grey image")

    @abstractmethod
    def facts(self) -> Facts:
        """What the network turned out to be. Raises `ExportError`: nothing that can be exported."""

    @abstractmethod
    def scores(self, images: Images) -> Scores:
        """The reference: float32 scores `(n, classes)` of raw uint8 pixels `(n, height, width, channels)`."""

    @abstractmethod
    def to_onnx(self, opset: int) -> Any:
        """An ONNX model of raw pixels as a file takes them, `INPUT`, to float32 scores, `OUTPUT`; a network
        that was none before is written in `opset`."""

    @abstractmethod
    def blame(self, failure: Exception) -> str:
        """Why a converter failed, in words that a user can do something with."""

    @property
    @abstractmethod
    def clustered(self) -> list[NDArray[np.float32]]:
        """Kernels that clustering has left few values, see `codebooks.clustered`."""

    @property
    def without_loops(self) -> Self:
        """The same network with its recurrent layers written out step by step; itself, if none loops.

        Raises:
            ExportError: it has too many steps for that, or a loop that is no recurrent layer's.
        """
        return self

    @property
    def reference_batch(self) -> int:
        """How many images are scored at once where the network leaves it open."""
        height, width, _ = self.shape
        return max(1, min(_BATCH, _BATCH_PIXELS // (height * width)))

    def batches(self, images: Images) -> Iterator[NDArray[Any]]:
        """The images as an exported file takes them."""
        return batches(images, self.interface.batch or 1, self.interface.dtype)

    def calibrating(self, images: Images) -> Iterator[NDArray[Any]]:
        """`batches` of calibration images, two corner pixels of the first spanning 0-255.

        Converters take the input's scale from the smallest and largest pixel they are shown; if no
        image held both black and white, raw pixels would be read on another scale.
        """
        spanning = images.copy()
        spanning[0, 0, 0], spanning[0, -1, -1] = 0, 255
        self.began("calibrating")
        yield from self.batches(spanning)
        self.began("quantizing")


def batches(images: Images, size: int, dtype: str | np.dtype[Any]) -> Iterator[NDArray[Any]]:
    """`images` in batches of `size`, the last one filled up with its last image."""
    for start in range(0, len(images), size):
        places = np.minimum(np.arange(start, start + size), len(images) - 1)
        yield images[places].astype(dtype)
