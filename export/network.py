"""The float network as formats see it. Lives in the child process that has TensorFlow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewright.runtime.backends import Scores
from edgewright.runtime.errors import CheckpointError
from edgewright.train.checkpoint import MODEL, Checkpoint, scale
from edgewright.train.datasets import Images
from edgewright.train.stack import import_keras

INPUT, OUTPUT = "image", "scores"  # the names every exported file gives its input and output
_BATCH = 250


@dataclass(frozen=True, kw_only=True)
class Edge:
    """What an exported file takes: `batch` images at once (None: any number), as `dtype`.

    Either dtype holds raw pixels, 0-255. A float32 file also gives float32 scores in schemes that else
    give integers.
    """

    batch: int | None = 1
    dtype: str = "uint8"


ONE_IMAGE = Edge()


class Network:
    """A checkpoint's Keras model, always called with `training=False`, and the edge its files get.

    Keras' preprocessing layers default to training mode and hand it on to the layers behind them,
    so nothing here leaves `training` open.
    """

    def __init__(self, folder: Path, checkpoint: Checkpoint, edge: Edge = ONE_IMAGE) -> None:
        self.edge = edge
        keras = import_keras()
        try:
            self.model = keras.saving.load_model(folder / MODEL, compile=False, safe_mode=True)
        except Exception as failure:  # Keras raises whatever its layers do
            reason = " ".join(str(failure).split())
            raise CheckpointError(f"Keras cannot load {folder / MODEL}: {reason[:300]}") from failure
        self.input_range = checkpoint.input_range
        self.shape = checkpoint.input.shape
        found = (tuple(self.model.input_shape[1:]), tuple(self.model.output_shape[1:]))
        if found != (self.shape, (len(checkpoint.labels),)):
            raise CheckpointError(
                f"expected {folder / MODEL} to take {self.shape} and give {len(checkpoint.labels)} scores, "
                f"got {found[0]} and {found[1]}"
            )

    def scaled(self, images: Images) -> NDArray[np.float32]:
        """Raw pixels as the network itself wants them."""
        return scale(images, self.input_range)

    def scores(self, images: Images) -> Scores:
        """The reference: float32 scores `(n, classes)` of raw uint8 pixels `(n, height, width, channels)`."""
        import tensorflow as tf

        call = tf.function(lambda x: self.model(x, training=False), reduce_retracing=True)
        parts = (images[i : i + _BATCH] for i in range(0, len(images), _BATCH))
        return np.concatenate([call(self.scaled(part)).numpy() for part in parts])

    def batches(self, images: Images) -> Iterator[NDArray[Any]]:
        """The images as an exported file takes them; the last one is repeated to fill the last batch."""
        size = self.edge.batch or 1
        for start in range(0, len(images), size):
            part = images[start : start + size]
            yield np.pad(part, ((0, size - len(part)), *[(0, 0)] * 3), "edge").astype(self.edge.dtype)

    @cached_property
    def holder(self) -> Any:
        """A tf.Module that keeps the variables alive for the converter."""
        import tensorflow as tf

        module = tf.Module()
        module.held = [variable.value for variable in self.model.variables]
        return module

    @cached_property
    def on_pixels(self) -> Any:
        """tf.function of raw pixels, (batch, height, width, channels) of the edge's dtype; scales inside."""
        import tensorflow as tf

        low, high = self.input_range
        factor, offset = np.float32((high - low) / 255.0), np.float32(low)

        def call(image: Any) -> dict[str, Any]:
            x = tf.cast(image, tf.float32) * factor
            return {OUTPUT: self.model(x + offset if offset else x, training=False)}

        return tf.function(call, input_signature=[self._signature(self.edge.dtype)])

    @cached_property
    def on_scaled(self) -> Any:
        """tf.function of pixels in the network's own range, float32 (batch, height, width, channels)."""
        import tensorflow as tf

        def call(image: Any) -> dict[str, Any]:
            return {OUTPUT: self.model(image, training=False)}

        return tf.function(call, input_signature=[self._signature("float32")])

    def _signature(self, dtype: str) -> Any:
        import tensorflow as tf

        return tf.TensorSpec((self.edge.batch, *self.shape), dtype, name=INPUT)
