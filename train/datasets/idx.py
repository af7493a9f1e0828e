"""Folders of IDX files, the format MNIST is published in (http://yann.lecun.com/exdb/mnist/).

`train-images-idx3-ubyte`, `train-labels-idx1-ubyte` and the same with `t10k`, each plain or gzipped.
"""

from __future__ import annotations

import gzip
import math
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewright.runtime.disk import outside
from edgewright.runtime.errors import DataError

_FILES = {
    "x_train": ("train-images-idx3-ubyte", "train-images.idx3-ubyte"),
    "y_train": ("train-labels-idx1-ubyte", "train-labels.idx1-ubyte"),
    "x_test": ("t10k-images-idx3-ubyte", "t10k-images.idx3-ubyte"),
    "y_test": ("t10k-labels-idx1-ubyte", "t10k-labels.idx1-ubyte"),
}
_MOST_BYTES = 8 * 2**30
_MOST_RATIO = 1032  # deflate packs no closer


def is_folder(path: Path) -> bool:
    """True if the folder holds IDX training images."""
    return _find(path, "x_train") is not None


def read(path: Path) -> dict[str, NDArray[Any]]:
    """The four arrays of an IDX folder.

    Raises:
        DataError: a file is missing or is no IDX file of bytes.
    """
    arrays = {}
    for key, names in _FILES.items():
        found = _find(path, key)
        if found is None:
            raise DataError(f"expected {names[0]} (or .gz) in {path}, got none")
        arrays[key] = _array(found)
    return arrays


def _find(path: Path, key: str) -> Path | None:
    candidates = (path / f"{name}{suffix}" for name in _FILES[key] for suffix in ("", ".gz"))
    return next((file for file in candidates if file.is_file()), None)


def _array(file: Path) -> NDArray[np.uint8]:
    """Two zero bytes, type 8 (uint8), the rank, the dimensions (big-endian), the data."""
    try:
        if file.suffix == ".gz":
            with outside.opened(file, DataError) as plain, gzip.open(plain) as packed:
                raw = packed.read(min(_MOST_BYTES, _MOST_RATIO * os.fstat(plain.fileno()).st_size))
        else:
            raw = outside.read(file, DataError, _MOST_BYTES)
    except (OSError, EOFError, zlib.error) as failure:
        raise DataError(f"cannot read {file}: {failure}") from failure
    rank = raw[3] if len(raw) > 4 else 0
    if raw[:3] != b"\0\0\x08" or rank not in (1, 3, 4) or len(raw) < 4 + 4 * rank:
        raise DataError(f"expected an IDX file of bytes, got {file}, which starts with {raw[:4]!r}")
    shape = struct.unpack_from(f">{rank}I", raw, 4)
    start = 4 + 4 * rank
    if len(raw) - start != math.prod(shape):
        found = len(raw) - start
        raise DataError(f"expected {math.prod(shape):,} bytes for {shape} in {file}, got {found:,}")
    return np.frombuffer(raw, np.uint8, offset=start).reshape(shape)
