"""Labelled test images from an .npz, for targets that tell whether a device gets the answers right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgewright.runtime.bundle.manifest import Manifest
from edgewright.runtime.disk import outside
from edgewright.runtime.errors import DataError, InputError

MOST = 1_000
_NAMES = (("x", "y"), ("x_test", "y_test"))


def read(path: Path, manifest: Manifest) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Up to `MOST` images, spread evenly over the file, and their classes.

    Args:
        path: an .npz with `x`, uint8 `(n, height, width)` or `(n, height, width, channels)` of the model's
            own size, and `y`, whole numbers `(n,)` or `(n, 1)`; or `x_test` and `y_test`, as Keras has them.
        manifest: of the bundle they are for.

    Returns:
        uint8 `(n, height, width, channels)` and int64 `(n,)`.

    Raises:
        InputError: the model does not put an image into one class.
        DataError: no such file, or other arrays.
    """
    if manifest.is_multi_label or not manifest.labels:
        raise InputError(
            f"expected --images for a model of one class an image, got {manifest.name}, whose head is "
            f"{manifest.head}"
        )
    with outside.arrays(path, DataError, "an .npz with arrays x and y") as archive:
        names = next((pair for pair in _NAMES if set(pair) <= set(archive.files)), None)
        if names is None:
            raise DataError(f"expected arrays x and y in {path}, got {', '.join(archive.files) or 'none'}")
        x, y = (np.asarray(archive[name]) for name in names)
    shape = manifest.input.shape
    if x.ndim == 3:
        x = x[..., np.newaxis]
    if x.dtype != np.uint8 or x.shape[1:] != shape or len(x) == 0:
        raise DataError(f"expected uint8 images of {shape} in {path}, got {x.dtype} {x.shape}")
    if y.dtype.kind not in "iu" or y.size != len(x) or y.shape[:1] != (len(x),):
        raise DataError(f"expected {len(x)} whole numbers as classes in {path}, got {y.dtype} {y.shape}")
    y = y.reshape(-1).astype(np.int64)
    if y.min() < 0 or y.max() >= len(manifest.labels):
        raise DataError(
            f"expected classes from 0 to {len(manifest.labels) - 1} in {path}, got {y.min()} to {y.max()}"
        )
    chosen = np.linspace(0, len(x) - 1, min(MOST, len(x))).astype(int)
    return x[chosen], y[chosen]


def varied(images: NDArray[np.uint8], count: int) -> NDArray[np.uint8]:
    """`count` images `(n, height, width, channels)` like those given, the same each time: mirrored, moved by
    up to an eighth and of another brightness. Noise would not do: a network is sure of no class of it, and
    the least rounding turns its label."""
    random = np.random.default_rng(0)
    height, width = images.shape[1:3]
    found = np.empty((count, *images.shape[1:]), np.uint8)
    for place in range(count):
        image = images[place % len(images)]
        moved = np.roll(image, [random.integers(-n // 8, n // 8 + 1) for n in (height, width)], (0, 1))
        mirrored = moved[:, ::-1] if random.random() < 0.5 else moved
        found[place] = np.clip(mirrored * random.uniform(0.6, 1.3), 0, 255)
    return found
