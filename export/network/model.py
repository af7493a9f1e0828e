"""The model that is exported, as it lies on disk, and what is found in it. Needs no TensorFlow."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgewright.runtime.disk import files
from edgewright.runtime.disk.jsonio import JsonObject
from edgewright.runtime.errors import InputError
from edgewright.train.normalization import Normalization

KERAS, SAVED_MODEL = "keras", "saved-model"
_SUFFIXES = (".keras", ".h5", ".hdf5")
_SAVED_MODEL_FILE = "saved_model.pb"


def kind_of(path: Path) -> str | None:
    """Which kind of model lies at `path`; None if none does."""
    if path.is_file() and path.suffix.lower() in _SUFFIXES:
        return KERAS
    return SAVED_MODEL if (path / _SAVED_MODEL_FILE).is_file() else None


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model on disk and what must be known to run it.

    `kind` is `keras` (.keras, .h5) or `saved-model`; `size` is the height and width for a network that
    leaves them open; `unsafe` lets Keras run Python code that the file holds; `fake_quantized` says that
    it holds the ranges of its 8-bit weights and activations, which training has found.
    """

    path: Path
    kind: str
    sha256: str
    normalization: Normalization
    size: tuple[int, int] | None = None
    unsafe: bool = False
    fake_quantized: bool = False

    @staticmethod
    def at(
        path: Path,
        normalization: Normalization,
        *,
        size: tuple[int, int] | None = None,
        unsafe: bool = False,
        fake_quantized: bool = False,
    ) -> Model:
        """Raises `InputError` where no model lies."""
        kind = kind_of(path)
        if kind is None:
            raise InputError(f"expected a .keras or .h5 file or a SavedModel folder, got {path}")
        return Model(
            path=path.resolve(),
            kind=kind,
            sha256=digest(path),
            normalization=normalization,
            size=size,
            unsafe=unsafe,
            fake_quantized=fake_quantized,
        )

    def sizes(self) -> tuple[int, int]:
        """Bytes of its files, as they are and each compressed with gzip."""
        raws = [path.read_bytes() for path in _files(self.path)]
        return sum(map(len, raws)), sum(len(gzip.compress(raw, mtime=0)) for raw in raws)

    def to_json(self) -> dict[str, Any]:
        normalization = self.normalization.to_json()
        size = list(self.size or ())
        return {**vars(self), "path": str(self.path), "normalization": normalization, "size": size}

    @staticmethod
    def from_json(obj: JsonObject) -> Model:
        size = obj.integers("size")
        return Model(
            path=Path(obj.text("path")),
            kind=obj.text("kind"),
            sha256=obj.text("sha256"),
            normalization=Normalization.from_json(obj.object("normalization")),
            size=(size[0], size[1]) if size else None,
            unsafe=obj.flag("unsafe"),
            fake_quantized=obj.flag("fake_quantized"),
        )


def digest(path: Path) -> str:
    """SHA-256 of a file; of a folder, that over the names and SHA-256 of its files."""
    if path.is_file():
        return files.sha256_of(path)
    sha = hashlib.sha256()
    for file in _files(path):
        sha.update(f"{file.relative_to(path).as_posix()}\0{files.sha256_of(file)}\n".encode())
    return sha.hexdigest()


def _files(path: Path) -> list[Path]:
    return [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())


@dataclass(frozen=True, kw_only=True)
class FileInterface:
    """What an exported file takes: `batch` images at once (None: any number), as `dtype`.

    Either dtype holds raw pixels, 0-255. A float32 file also gives float32 scores in schemes that else
    give integers.
    """

    batch: int | None = 1
    dtype: str = "uint8"


ONE_IMAGE = FileInterface()


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a loaded network turned out to be.

    `shape` is that of one image, (height, width, channels); `classes` how many scores it gives; `head` what
    these are, one of `edgewright.runtime.contract.HEADS`; `input` and `output` are the model's own names.
    """

    shape: tuple[int, int, int]
    classes: int
    head: str
    input: str
    output: str

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "shape": list(self.shape)}

    @staticmethod
    def from_json(obj: JsonObject) -> Facts:
        height, width, channels = obj.integers("shape")
        return Facts(
            shape=(height, width, channels),
            classes=obj.integer("classes"),
            head=obj.text("head"),
            input=obj.text("input"),
            output=obj.text("output"),
        )
