"""Labelled images for training, calibrating and judging.

A data set is named (`fashion-mini` comes with the package; `mnist`, `fashion-mnist`, `cifar10` come
from a folder of .npz files, else are downloaded by Keras) or is a path: an .npz file with `x_train`,
`y_train`, `x_test`, `y_test` and, if it has them, `labels`; a folder of IDX files; class folders of
pictures; or a CSV table of pictures and their labels.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewright.runtime.console import Progress, silent
from edgewright.runtime.contract import InputContract
from edgewright.runtime.disk import files
from edgewright.runtime.errors import DataError, UnknownNameError
from edgewright.runtime.pictures import table
from edgewright.train.datasets import arrays, idx, listing, pictures
from edgewright.train.datasets.arrays import Images, Labels
from edgewright.train.datasets.decoding import Size
from edgewright.train.datasets.pictures import Origin

__all__ = ["Dataset", "Images", "Labels", "Origin", "Size", "digest", "load", "names"]

DATA_VARIABLE = "EDGEWRIGHT_DATA"
_FASHION = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
_DIGITS = tuple("0123456789")
_CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Images uint8 `(n, height, width, channels)` and their labels, trained and tested apart.

    Labels are class numbers int64 `(n,)`, or bool `(n, labels)` where an image may have several.
    `sha256` covers the four arrays and names this very data in checkpoints and manifests; `source`
    and `skip_bad` are what `load` was given, the path made absolute; `left_out` says what was left out and
    what is wrong with it; `origin` is where the images come from, if they were pictures in files.
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
    origin: Origin | None = None
    sha256: str = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sha256", digest(self.x_train, self.y_train, self.x_test, self.y_test))

    @property
    def is_multi_label(self) -> bool:
        """Whether an image may have several labels, or none."""
        return self.y_train.ndim == 2

    @property
    def groups(self) -> NDArray[np.intp] | None:
        """For each training image the number of the first that shows the same, `(n,)`; None if unknown."""
        known = self.origin is not None and len(self.origin.train) == len(self.x_train)
        return self.origin.duplicates.near[: len(self.x_train)] if known and self.origin else None


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
    size: Size | None = None,
    seed: int = 0,
    skip_bad: bool = False,
    progress: Progress = silent,
) -> Dataset:
    """Load a data set.

    Args:
        source: `mnist`, `fashion-mnist`, `cifar10`, `fashion-mini`, or a path.
        data_dir: where named sets lie as .npz files; by default the folder in the environment
            variable EDGEWRIGHT_DATA, else ~/.cache/edgewright/data.
        contract: what pictures in files are brought to, an `edgewright.runtime.InputContract`.
        size: instead, the most that they are brought to; it follows from what they have.
        seed: splits pictures that are not split; those that show the same stay together.
        skip_bad: leave damaged pictures and classes without pictures out instead of refusing them.
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
        if path.is_dir() and idx.is_folder(path):
            return _from_arrays(*arrays.checked(idx.read(path), None, name), name=name, source=absolute)
        is_table = path.suffix.lower() == table.SUFFIX
        if not path.is_dir() and not is_table:
            return _from_arrays(*arrays.read_npz(path, name), name=name, source=absolute)
        wanted = contract or size
        if wanted is None:
            raise DataError(
                f"expected a size for the pictures in {path}, got none; add --size such as 96x96x3"
            )
        listed = listing.of_table(path) if is_table else listing.of_folders(path, skip_bad=skip_bad)
        read = pictures.read(listed, wanted, progress, seed=seed, skip_bad=skip_bad)
        return dataclasses.replace(
            _from_arrays(read.arrays, read.labels, name=name, source=absolute),
            skip_bad=skip_bad,
            left_out=read.left_out,
            origin=read.origin,
        )
    known = _NAMED[source]
    if source == "fashion-mini":
        with resources.as_file(resources.files(__name__) / "fashion_mini.npz") as path:
            found = _from_arrays(*arrays.read_npz(path, source), name=source, source=source)
    else:
        found = _fetch(source, data_dir)
    if found.sha256 != known.sha256:
        raise DataError(
            f"expected the published {source} (SHA-256 {known.sha256[:12]}…), got other data "
            f"({found.sha256[:12]}…); give its path to --data to use it all the same"
        )
    return dataclasses.replace(found, labels=known.labels, licence=known.licence, citation=known.citation)


def digest(*given: NDArray[Any]) -> str:
    """SHA-256 over the bytes of the arrays, class numbers taken as uint8 (uint16 above 255)."""
    sha = hashlib.sha256()
    for array in given:
        narrow = array.dtype if array.dtype == np.uint8 else np.min_scalar_type(int(array.max(initial=0)))
        sha.update(np.ascontiguousarray(array, narrow).tobytes())
    return sha.hexdigest()


def _fetch(name: str, data_dir: Path | None) -> Dataset:
    folder = data_dir or Path(os.environ.get(DATA_VARIABLE) or files.cache_folder() / "data")
    module = name.replace("-", "_")  # of Keras, and the file that it is named after
    path = folder / f"{module}.npz"
    if path.exists():
        return _from_arrays(*arrays.read_npz(path, name), name=name, source=name)
    if data_dir is not None:
        raise DataError(f"expected {path.name} in {data_dir}, got no such file")
    from edgewright.train.stack import import_keras

    try:
        (x_train, y_train), (x_test, y_test) = getattr(import_keras().datasets, module).load_data()
    except Exception as failure:  # urllib, socket, zlib, KeyError: whatever the download met
        raise DataError(
            f"cannot download {name} ({type(failure).__name__}); put {path.name} with arrays "
            f"{', '.join(arrays.NAMES)} into {folder}, or name its folder with --data-dir or {DATA_VARIABLE}"
        ) from failure
    found = dict(zip(arrays.NAMES, (x_train, y_train.ravel(), x_test, y_test.ravel()), strict=True))
    return _from_arrays(*arrays.checked(found, None, name), name=name, source=name)


def _from_arrays(
    found: Mapping[str, NDArray[Any]], labels: tuple[str, ...], *, name: str, source: str
) -> Dataset:
    return Dataset(
        name=name,
        source=source,
        x_train=found["x_train"],
        y_train=found["y_train"],
        x_test=found["x_test"],
        y_test=found["y_test"],
        labels=labels,
    )
