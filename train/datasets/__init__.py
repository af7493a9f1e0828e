"""Labelled images for training, calibrating and judging.

A data set is named (`fashion-mini` comes with the package; `mnist`, `fashion-mnist`, `cifar10` come
from a folder of .npz files, else are downloaded by Keras) or is a path: an .npz file with `x_train`,
`y_train`, `x_test`, `y_test` and, if it has them, `labels`; a folder of IDX files; or class folders of
pictures.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgewright.runtime.console import Progress, silent
from edgewright.runtime.contract import InputContract
from edgewright.runtime.disk import files
from edgewright.runtime.errors import DataError, UnknownNameError
from edgewright.train.datasets import folder, idx

Images: TypeAlias = NDArray[np.uint8]  # (n, height, width, channels), RGB or grey
Labels: TypeAlias = NDArray[np.int64]  # (n,)

DATA_VARIABLE = "EDGEWRIGHT_DATA"
_ARRAYS = ("x_train", "y_train", "x_test", "y_test")
_FASHION = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
_DIGITS = tuple("0123456789")
_CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Images uint8 `(n, height, width, channels)` and their class numbers `(n,)`, trained and tested apart.

    `sha256` covers the four arrays and names this very data in checkpoints and manifests; `source`
    and `skip_bad` are what `load` was given, the path made absolute; `left_out` says of each damaged picture
    what is wrong with it.
    """

    name: str
    source: str
    x_train: Images
    y_train: Labels
    x_test: Images
    y_test: Labels
    labels: tuple[str, ...]
    licence: str = "unknown"
    citation: str = "unknown"
    skip_bad: bool = False
    left_out: tuple[str, ...] = ()
    sha256: str = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sha256", digest(self.x_train, self.y_train, self.x_test, self.y_test))


@dataclass(frozen=True, kw_only=True)
class _Named:
    labels: tuple[str, ...]
    licence: str
    citation: str
    sha256: str


_NAMED: Mapping[str, _Named] = {
    "fashion-mini": _Named(
        labels=_FASHION,
        licence="MIT (Zalando SE)",
        citation="a class-balanced cut of Fashion-MNIST; Xiao, Rasul, Vollgraf, arXiv:1708.07747, 2017",
        sha256="71856adc2e4c1f0b83d78f430e8067aec48156c000d647daf8c24b02a80dbc54",
    ),
    "fashion-mnist": _Named(
        labels=_FASHION,
        licence="MIT (Zalando SE)",
        citation="Xiao, Rasul, Vollgraf: Fashion-MNIST, arXiv:1708.07747, 2017",
        sha256="ca3ab2a37f845e1b8ae23cab1b51749a3011ba3bf1d9016176d75cbaabac376f",
    ),
    "mnist": _Named(
        labels=_DIGITS,
        licence="CC BY-SA 3.0",
        citation="LeCun, Cortes, Burges: The MNIST database of handwritten digits, 1998",
        sha256="06b0d1f124c4e5fa796686ade41a9b778edacc8622f2195a352ef479ad44fc16",
    ),
    "cifar10": _Named(
        labels=_CIFAR10,
        licence="unstated by its authors",
        citation="Krizhevsky: Learning multiple layers of features from tiny images, 2009",
        sha256="80387ddb9a0edf3fc4a964ee3770296169bb26a651050df20035579673099660",
    ),
}


def names() -> tuple[str, ...]:
    """The data sets known by name."""
    return tuple(_NAMED)


def load(
    source: str,
    data_dir: Path | None = None,
    *,
    contract: InputContract | None = None,
    seed: int = 0,
    skip_bad: bool = False,
    progress: Progress = silent,
) -> Dataset:
    """Load a data set.

    Args:
        source: `mnist`, `fashion-mnist`, `cifar10`, `fashion-mini`, or a path.
        data_dir: where named sets lie as .npz files; by default the folder in the environment
            variable EDGEWRIGHT_DATA, else ~/.cache/edgewright/data.
        contract: what pictures in class folders are brought to, an `edgewright.runtime.InputContract`; only
            those need it.
        seed: splits class folders that have no `train` and `test`.
        skip_bad: leave damaged pictures of class folders out instead of refusing them.
        progress: is told how far the reading of pictures is.

    Raises:
        UnknownNameError: neither a known name nor a file.
        DataError: missing, damaged, or not labelled images.
    """
    if source not in _NAMED:
        path = Path(source)
        if not path.exists():
            if path.suffix or os.sep in source:
                raise DataError(f"expected a data set, got {source}, which does not exist")
            raise UnknownNameError("data set or path", source, _NAMED)
        name, absolute = path.stem or path.resolve().name, str(path.resolve())
        if not path.is_dir():
            return _from_npz(path, name=name, source=absolute)
        if idx.is_folder(path):
            return _from_arrays(idx.read(path), None, name=name, source=absolute)
        if contract is None:
            raise DataError(
                f"expected a size for the pictures in {path}, got none; add --size such as 96x96x3"
            )
        pictures = folder.read(path, contract, progress, seed=seed, skip_bad=skip_bad)
        found = _from_arrays(pictures.arrays, np.array(pictures.labels), name=name, source=absolute)
        return dataclasses.replace(found, skip_bad=skip_bad, left_out=pictures.left_out)
    known = _NAMED[source]
    if source == "fashion-mini":
        with resources.as_file(resources.files(__name__) / "fashion_mini.npz") as path:
            found = _from_npz(path, name=source, source=source)
    else:
        found = _fetch(source, data_dir)
    if found.sha256 != known.sha256:
        raise DataError(
            f"expected the published {source} (SHA-256 {known.sha256[:12]}…), got other data "
            f"({found.sha256[:12]}…); give its path to --data to use it all the same"
        )
    return dataclasses.replace(found, labels=known.labels, licence=known.licence, citation=known.citation)


def digest(*arrays: NDArray[Any]) -> str:
    """SHA-256 over the bytes of the arrays, class numbers taken as uint8 (uint16 above 255)."""
    sha = hashlib.sha256()
    for array in arrays:
        narrow = array.dtype if array.dtype == np.uint8 else np.min_scalar_type(int(array.max(initial=0)))
        sha.update(np.ascontiguousarray(array, narrow).tobytes())
    return sha.hexdigest()


def _fetch(name: str, data_dir: Path | None) -> Dataset:
    folder = data_dir or Path(os.environ.get(DATA_VARIABLE) or files.cache_folder() / "data")
    module = name.replace("-", "_")  # of Keras, and the file that it is named after
    path = folder / f"{module}.npz"
    if path.exists():
        return _from_npz(path, name=name, source=name)
    if data_dir is not None:
        raise DataError(f"expected {path.name} in {data_dir}, got no such file")
    from edgewright.train.stack import import_keras

    try:
        (x_train, y_train), (x_test, y_test) = getattr(import_keras().datasets, module).load_data()
    except Exception as failure:  # urllib, socket, zlib, KeyError: whatever the download met
        raise DataError(
            f"cannot download {name} ({type(failure).__name__}); put {path.name} with arrays "
            f"{', '.join(_ARRAYS)} into {folder}, or name its folder with --data-dir or {DATA_VARIABLE}"
        ) from failure
    arrays = dict(zip(_ARRAYS, (x_train, y_train.ravel(), x_test, y_test.ravel()), strict=True))
    return _from_arrays(arrays, None, name=name, source=name)


def _from_npz(path: Path, *, name: str, source: str) -> Dataset:
    if not zipfile.is_zipfile(path):
        raise DataError(f"expected an .npz file of arrays, got {path}, which is none")
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            missing = [key for key in _ARRAYS if key not in archive.files]
            if missing:
                raise DataError(f"expected arrays {', '.join(_ARRAYS)} in {path}, got no {missing[0]}")
            arrays = {key: archive[key] for key in _ARRAYS}
            labels = archive["labels"] if "labels" in archive.files else None
    except DataError:
        raise
    except Exception as failure:  # zipfile, zlib and numpy raise much
        raise DataError(f"expected an .npz file of arrays, got {path}: {failure}") from failure
    return _from_arrays(arrays, labels, name=name, source=source)


def _from_arrays(
    arrays: Mapping[str, NDArray[Any]], labels: NDArray[Any] | None, *, name: str, source: str
) -> Dataset:
    images, classes = {}, {}
    for part in ("train", "test"):
        x, y = arrays[f"x_{part}"], arrays[f"y_{part}"]
        x = x[..., np.newaxis] if x.ndim == 3 else x
        if x.dtype != np.uint8 or x.ndim != 4 or x.shape[3] not in (1, 3) or 0 in x.shape:
            raise DataError(
                f"expected x_{part} of {name} to be uint8 (n, height, width) or (n, height, width, 1 or 3), "
                f"got {x.dtype} {x.shape}"
            )
        if (
            y.shape != (len(x),)
            or not np.issubdtype(y.dtype, np.integer)
            or not 0 <= y.min() <= y.max() < 2**16
        ):
            raise DataError(
                f"expected y_{part} of {name} to be {len(x)} class numbers from 0 to {2**16 - 1}, "
                f"got {y.dtype} {y.shape}"
            )
        images[part], classes[part] = np.ascontiguousarray(x), y.astype(np.int64)
    if images["train"].shape[1:] != images["test"].shape[1:]:
        raise DataError(
            f"expected training and test images of one size in {name}, "
            f"got {images['train'].shape[1:]} and {images['test'].shape[1:]}"
        )
    count = int(max(classes["train"].max(), classes["test"].max())) + 1
    given = tuple(str(label) for label in labels.ravel()) if labels is not None else ()
    if given and len(given) < count:
        raise DataError(f"expected at least {count} labels in {name}, got {len(given)}")
    if len(given or range(count)) < 2:
        raise DataError(f"expected at least two classes in {name}, got one")
    return Dataset(
        name=name,
        source=source,
        x_train=images["train"],
        y_train=classes["train"],
        x_test=images["test"],
        y_test=classes["test"],
        labels=given or tuple(str(i) for i in range(count)),
    )
