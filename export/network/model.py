"""The model that is exported, as it lies on disk, and what is found in it. Needs no TensorFlow."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgewright.export.network import sizes
from edgewright.runtime.backends.ort import schema as onnx_schema
from edgewright.runtime.disk import files
from edgewright.runtime.disk.jsonio import JsonObject
from edgewright.runtime.errors import ExportError, InputError
from edgewright.train.normalization import Normalization

KERAS, SAVED_MODEL, ONNX = "keras", "saved-model", "onnx"
_SUFFIXES = (".keras", ".h5", ".hdf5")
_ONNX_SUFFIX = ".onnx"
_MOST_BYTES = 2**31 - 1  # of an ONNX file with its weights: what protobuf holds
_SAVED_MODEL_FILE = "saved_model.pb"


def kind_of(path: Path) -> str | None:
    """Which kind of model lies at `path`; None if none does."""
    if path.is_file() and path.suffix.lower() in _SUFFIXES:
        return KERAS
    if path.is_file() and path.suffix.lower() == _ONNX_SUFFIX:
        return ONNX
    return SAVED_MODEL if (path / _SAVED_MODEL_FILE).is_file() else None


def described(path: Path) -> str:
    """What lies at `path`, for a message to whoever named it."""
    if not path.exists():
        return f"{path}, which does not exist"
    if path.is_dir():
        holds = "a folder without a saved_model.pb"
        if (path / "config.json").is_file():
            holds = "the folder of an unpacked .keras file; zip what is in it"
        return f"{path}, {holds}"
    return str(path)


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model on disk and what must be known to run it.

    `kind` is `keras` (.keras, .h5), `saved-model` or `onnx`; `size` is the height and width for a network
    that leaves them open; `output` which of several outputs gives the scores; `unsafe` lets the file do
    more than compute: run Python code that it holds, read and write files; `fake_quantized` says that it
    holds the ranges of its 8-bit weights and activations, which training has found; `code` is a Python file
    of the user's own that defines layers or models in the file, run before it is loaded.
    """

    path: Path
    kind: str
    sha256: str
    normalization: Normalization
    size: tuple[int, int] | None = None
    unsafe: bool = False
    fake_quantized: bool = False
    output: str | None = None
    code: Path | None = None
    code_sha256: str = ""

    @staticmethod
    def at(
        path: Path,
        normalization: Normalization,
        *,
        size: tuple[int, int] | None = None,
        unsafe: bool = False,
        fake_quantized: bool = False,
        output: str | None = None,
        code: Path | None = None,
    ) -> Model:
        """Raises `InputError`, `ModelFileError`: no model lies there, or not all of it, or no Python file
        where one is said to be."""
        kind = kind_of(path)
        if kind is None:
            raise InputError(
                f"expected a .keras, .h5 or .onnx file or a SavedModel folder, got {described(path)}"
            )
        if code is not None and not (code.is_file() and code.suffix == ".py"):
            raise InputError(f"expected --code to be a Python file (.py), got {described(code)}")
        return Model(
            path=path.resolve(),
            kind=kind,
            sha256=digest(path),
            normalization=normalization,
            size=size,
            unsafe=unsafe,
            fake_quantized=fake_quantized,
            output=output,
            code=None if code is None else code.resolve(),
            code_sha256="" if code is None else digest(code),
        )

    def sizes(self) -> tuple[int, int]:
        """Bytes of its weights and graph, as they are and compressed with gzip: see
        `edgewright.export.network.sizes`."""
        if self.kind == ONNX:
            return sizes.measured(path.read_bytes() for path in _files(self.path))
        return sizes.of(self.path)

    def closed(self, name: str, height: int | None, width: int | None) -> tuple[int, int]:
        """Height and width of the input called `name`, open ends closed by `size`. Raises `ExportError`."""
        asked = self.size or (height, width)
        if (height or asked[0], width or asked[1]) != asked:
            raise ExportError(f"expected --size {height}x{width} or none, as input '{name}' has it")
        if asked[0] is None or asked[1] is None:
            raise ExportError(
                f"expected a size for input '{name}', which leaves height and width open; "
                "add --size such as 224x224"
            )
        return asked[0], asked[1]

    def to_json(self) -> dict[str, Any]:
        normalization = self.normalization.to_json()
        return {
            **vars(self),
            "path": str(self.path),
            "normalization": normalization,
            "size": list(self.size or ()),
            "output": self.output or "",
            "code": str(self.code or ""),
        }

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
            output=obj.text("output") or None,
            code=Path(obj.text("code")) if obj.text("code") else None,
            code_sha256=obj.text("code_sha256"),
        )


def digest(path: Path) -> str:
    """SHA-256 of a file; of a model in several, that over their names and SHA-256."""
    whole = _files(path)
    if whole == [path]:
        return files.sha256_of(path)
    folder = path if path.is_dir() else path.resolve().parent
    sha = hashlib.sha256()
    for file in whole:
        sha.update(f"{file.relative_to(folder).as_posix()}\0{files.sha256_of(file)}\n".encode())
    return sha.hexdigest()


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(file for file in path.rglob("*") if file.is_file())
    return [path] if path.suffix.lower() != _ONNX_SUFFIX else _onnx_files(path)


def _onnx_files(path: Path) -> list[Path]:
    """The file, and those beside it that hold its weights.

    Raises:
        InputError: one of them lies elsewhere or is missing, or there are more bytes than one file can hold.
        ModelFileError: damaged.
    """
    size = path.stat().st_size
    found = []
    if size <= _MOST_BYTES:
        folder = path.resolve().parent
        for name in onnx_schema.external_files(path, path.read_bytes()):
            file = (folder / name).resolve()
            if not file.is_relative_to(folder) or not file.is_file():
                raise InputError(
                    f"expected all weights of {path} in files of its own folder, got '{name}', which is not "
                    "there; put it beside the model"
                )
            found.append(file)
        size += sum(file.stat().st_size for file in found)
    if size > _MOST_BYTES:
        raise InputError(f"expected a model of at most 2 GB with its weights, got {path} with {size:,} bytes")
    return [path.resolve(), *found] if found else [path]


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
    these are, one of `edgewright.runtime.contract.HEADS`; `input` and `output` are the model's own names;
    `lets_through` what the file does beside computing, let by `unsafe`.
    """

    shape: tuple[int, int, int]
    classes: int
    head: str
    input: str
    output: str
    lets_through: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "shape": list(self.shape), "lets_through": list(self.lets_through)}

    @staticmethod
    def from_json(obj: JsonObject) -> Facts:
        height, width, channels = obj.integers("shape")
        return Facts(
            shape=(height, width, channels),
            classes=obj.integer("classes"),
            head=obj.text("head"),
            input=obj.text("input"),
            output=obj.text("output"),
            lets_through=obj.texts("lets_through"),
        )
