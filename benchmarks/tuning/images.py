"""The images that engines are judged on: a data set's, or any pictures of the kind that will be seen."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from edgewright.runtime.backends import Pixels
from edgewright.runtime.bundle.manifest import Manifest
from edgewright.runtime.disk import outside
from edgewright.runtime.errors import DataError, ImageError

MOST = 1_000
_NAMES = ("x", "x_test")


def read(path: Path, manifest: Manifest) -> Pixels:
    """Up to `MOST` images as the model takes them, uint8 `(n, height, width, channels)`, no labels needed.

    Args:
        path: an .npz with `x` or `x_test` of the model's own size, of which some are taken evenly; or a
            folder or .zip of pictures.

    Raises:
        DataError: no such thing, or no image in it.
    """
    if path.suffix.lower() == ".npz":
        return _arrays(path, manifest)
    if not path.exists():
        raise DataError(f"expected a folder, a .zip or an .npz of images, got {path}, which does not exist")
    found = list(itertools.islice(_decoded(path, manifest), MOST))
    if not found:
        raise DataError(f"expected pictures in {path}, got none that can be decoded")
    return np.concatenate(found)


def _arrays(path: Path, manifest: Manifest) -> Pixels:
    with outside.arrays(path, DataError, "an .npz with images in an array x") as archive:
        name = next((name for name in _NAMES if name in archive.files), None)
        if name is None:
            raise DataError(f"expected an array x in {path}, got {', '.join(archive.files) or 'none'}")
        x = np.asarray(archive[name])
    x = x[..., np.newaxis] if x.ndim == 3 else x
    if x.dtype != np.uint8 or x.shape[1:] != manifest.input.shape or len(x) == 0:
        raise DataError(f"expected uint8 images of {manifest.input.shape} in {path}, got {x.dtype} {x.shape}")
    chosen: Pixels = x[np.linspace(0, len(x) - 1, min(MOST, len(x))).astype(int)]
    return chosen


def _decoded(path: Path, manifest: Manifest) -> Iterator[Pixels]:
    from edgewright.runtime import pictures
    from edgewright.runtime.preprocess import to_pixels

    for picture in pictures.find([str(path)]):
        try:
            yield to_pixels(picture.read(), manifest.input)
        except ImageError:  # a pool is what it is; what cannot be read decides nothing
            continue
