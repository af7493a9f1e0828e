"""Arrays that came with a bundle, read with suspicion: no pickle, no more than is said, shapes checked."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from edgewright.runtime.bundle.manifest import Bundle, FileEntry
from edgewright.runtime.disk import zips
from edgewright.runtime.errors import BundleError

MAX_BYTES = 2**28  # 16 images of 2,000 pixels a side


def read(bundle: Bundle, entry: FileEntry) -> tuple[Path, Mapping[str, NDArray[Any]]]:
    """The path and the arrays of an .npz of the bundle, whose SHA-256 is checked first.

    Raises:
        BundleError: damaged, no arrays, or more than `MAX_BYTES` of them.
    """
    path, raw = bundle.read(entry)
    return path, parse(path, raw)


def parse(path: Path, raw: bytes) -> Mapping[str, NDArray[Any]]:
    """The arrays of an .npz that was read already; `path` is only named in messages. Raises `BundleError`."""
    try:
        sparing = zips.Sparing(io.BytesIO(raw))
        with np.load(sparing, allow_pickle=False) as archive:
            sparing.opening = False
            if sum(member.file_size for member in archive.zip.infolist()) > MAX_BYTES:
                raise BundleError(f"expected at most {MAX_BYTES} bytes of arrays in {path}, got more")
            return {name: np.asarray(archive[name]) for name in archive.files}
    except BundleError:
        raise
    except Exception as failure:  # zipfile, zlib and numpy raise much
        raise BundleError(f"expected arrays in {path}, got something else: {failure}") from failure


def check(
    found: Mapping[str, NDArray[Any]], name: str, shape: tuple[int, ...], dtype: DTypeLike, path: Path
) -> NDArray[Any]:
    """The array `name`. Raises `BundleError` unless it has that shape and dtype."""
    got = found[name].shape if name in found else "nothing"
    if got != shape:
        raise BundleError(f"expected '{name}' of shape {shape} in {path}, got {got}")
    if found[name].dtype != np.dtype(dtype):
        raise BundleError(f"expected '{name}' of {np.dtype(dtype)} in {path}, got {found[name].dtype}")
    return found[name]
