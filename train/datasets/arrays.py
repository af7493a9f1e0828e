"""Labelled images as arrays, from an .npz file or elsewhere, checked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgewright.runtime.disk import outside
from edgewright.runtime.errors import DataError

Images: TypeAlias = NDArray[np.uint8]  # (n, height, width, channels), RGB or grey
# int64 (n,): class numbers; or bool (n, labels): which of several labels an image has.
Labels: TypeAlias = NDArray[Any]

NAMES = ("x_train", "y_train", "x_test", "y_test")
_MOST_CLASSES = 2**16


def read_npz(path: Path, name: str) -> tuple[dict[str, NDArray[Any]], tuple[str, ...]]:
    """The four arrays of an .npz file, and the labels. Raises `DataError`."""
    with outside.arrays(path, DataError, "an .npz file of arrays") as archive:
        missing = [key for key in NAMES if key not in archive.files]
        if missing:
            raise DataError(f"expected arrays {', '.join(NAMES)} in {path}, got no {missing[0]}")
        arrays = {key: archive[key] for key in NAMES}
        labels = archive["labels"] if "labels" in archive.files else None
    return checked(arrays, labels, name)


def checked(
    arrays: Mapping[str, NDArray[Any]], labels: NDArray[Any] | None, name: str
) -> tuple[dict[str, NDArray[Any]], tuple[str, ...]]:
    """The four arrays as `Images` and `Labels`, and a label a class: `labels`, or their numbers.

    Raises:
        DataError: no labelled images.
    """
    found: dict[str, NDArray[Any]] = {}
    for part in ("train", "test"):
        x, y = arrays[f"x_{part}"], arrays[f"y_{part}"]
        x = x[..., np.newaxis] if x.ndim == 3 else x
        if x.dtype != np.uint8 or x.ndim != 4 or x.shape[3] not in (1, 3) or 0 in x.shape:
            raise DataError(
                f"expected x_{part} of {name} to be uint8 (n, height, width) or (n, height, width, 1 or 3), "
                f"got {x.dtype} {x.shape}"
            )
        taken = labels_of(y, len(x))
        if taken is None:
            raise DataError(
                f"expected y_{part} of {name} to be {len(x)} class numbers from 0 to {_MOST_CLASSES - 1}, or "
                f"0 and 1 ({len(x)}, labels) where an image may have several, got {y.dtype} {y.shape}"
            )
        found[f"x_{part}"], found[f"y_{part}"] = np.ascontiguousarray(x), taken
    if found["x_train"].shape[1:] != found["x_test"].shape[1:]:
        raise DataError(
            f"expected training and test images of one size in {name}, "
            f"got {found['x_train'].shape[1:]} and {found['x_test'].shape[1:]}"
        )
    train, test = found["y_train"], found["y_test"]
    if train.shape[1:] != test.shape[1:]:
        raise DataError(
            f"expected the same labels for training and test in {name}, got {train.shape} and {test.shape}"
        )
    count = train.shape[1] if train.ndim == 2 else int(max(train.max(), test.max())) + 1
    given = tuple(str(label) for label in labels.ravel()) if labels is not None else ()
    if given and (len(given) < count or (train.ndim == 2 and len(given) != count)):
        raise DataError(f"expected at least {count} labels in {name}, got {len(given)}")
    if len(given or range(count)) < 2:
        raise DataError(f"expected at least two classes in {name}, got one")
    return found, given or tuple(str(i) for i in range(count))


def labels_of(y: NDArray[Any], count: int) -> Labels | None:
    """`y` as `Labels` of `count` images; None if it is something else."""
    if y.ndim == 2 and len(y) == count and 2 <= y.shape[1] <= _MOST_CLASSES and y.dtype.kind in "bui":
        return y.astype(np.bool_) if y.dtype.kind == "b" or np.isin(y, (0, 1)).all() else None
    if y.shape != (count,) or y.dtype.kind not in "ui" or not 0 <= y.min() <= y.max() < _MOST_CLASSES:
        return None
    return y.astype(np.int64)
