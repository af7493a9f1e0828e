"""What a user would pick instead of our runtime, each a file found by its name, in its constant `PEER`.

A peer's file runs in the peer's own Python, where Edgewright is not installed: it imports the standard
library and numpy only, and what it stands for inside `open`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Decode = Callable[[bytes], NDArray[np.uint8]]

KERAS_FLOAT32 = "keras-float32"  # the model that the files were made from, as in `results/export.json`
VARIANTS = ("tflite-float32", "tflite-int8", "onnx-float32", "onnx-int8")


class Peer(Protocol):
    """`package` is what pip calls it; `environment` its folder under `$EDGEWRIGHT_CLIENTS`, empty for the
    Python that runs this; `formats` which of `VARIANTS`, by what they start with, or `keras`, it takes."""

    package: str
    environment: str
    formats: Sequence[str]

    def open(self, model: Mapping[str, Any], decode: Decode) -> Callable[[bytes], int]:
        """Load a file for one thread, as the peer's documentation advises where time counts.

        Args:
            model: `path`, `height`, `width`, `channels`; for a Keras model `input_range` too.
            decode: JPEG bytes to uint8 `(height, width, channels)` by Pillow, for a peer that decodes and
                resizes nothing itself.

        Returns:
            The way from the bytes of a JPEG file to the number of the best class.
        """
        ...
