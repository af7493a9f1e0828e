"""Interpreters behind one seam: a backend is a file here that sets `BACKEND`.

Reading what a file says of itself needs no interpreter; running it does, and that import happens
when a file is opened, never before.
"""

from __future__ import annotations

import dataclasses
import importlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgewright.runtime import plugins
from edgewright.runtime.contract import CONTRACT_KEY, ModelContract, TensorSpec, stamp_is_right
from edgewright.runtime.contract.heads import Head
from edgewright.runtime.disk import digest, jsonio, outside
from edgewright.runtime.errors import EdgewrightError, InputError, ModelFileError, UnknownNameError

if TYPE_CHECKING:
    from edgewright.runtime.graph import Graph

_NUMBERS = ("uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64")

MOST_FIELDS = 200_000  # of a file that are decoded
FIELDS_VARIABLE = "EDGEWRIGHT_MAX_FIELDS"

BY_NAME_ONLY = ("openvino",)  # backends that run what another runs by default; not even imported for that
EXACT = "exact"
ARITHMETICS = (EXACT, "bf16", "f16")  # what floats are computed in: as the file says, or with fewer bits

Pixels: TypeAlias = NDArray[np.uint8]
Scores: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class ModelFile:
    """What a model file says of itself, read and checked without an interpreter.

    `facts` are further lines for a reader (versions, producer); `metadata` are the raw entries the
    file carries; `copy` is where the same bytes lie for an interpreter that opens files by their name alone
    and can make no copy itself.
    """

    path: Path
    raw: bytes = field(repr=False)
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    facts: Mapping[str, str]
    metadata: Mapping[str, bytes] = field(repr=False)
    copy: Path | None = None

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the bytes that were read, which are the ones an interpreter is given."""
        return digest.sha256(self.raw)

    def contract(self, *, whole: bool = False) -> ModelContract | None:
        """The contract inside the file, None if it carries none.

        Args:
            whole: the hash inside was found right before, for these very bytes: it is not checked again.

        Raises:
            ModelFileError: the contract is broken, the hash in it is not the file's, or it does not
                describe the file's own input and output.
        """
        entry = self.metadata.get(CONTRACT_KEY)
        if entry is None:
            return None
        where = f"the contract inside {self.path}"
        obj = jsonio.parse(entry, where, ModelFileError)
        contract = ModelContract.from_json(obj)
        if not whole and not stamp_is_right(self.raw, obj.text("sha256")):
            raise ModelFileError(
                f"{self.path} is damaged: its SHA-256 is not the one it carries; copy it again"
            )
        check_single(self.path, self.inputs, self.outputs)
        scores = scores_spec(self.outputs[0]).shape[1]
        wanted = Head(kind=contract.head, count=scores).labels
        if self.inputs[0].shape[1:] != contract.input.shape or wanted != len(contract.labels):
            raise ModelFileError(
                f"expected input {contract.input.shape} and {len(contract.labels)} labels' scores by {where},"
                f" got {self.inputs[0].shape[1:]} and {scores} scores"
            )
        return contract


@contextmanager
def copied(file: ModelFile) -> Iterator[Path]:
    """Where the bytes that were read lie, for an interpreter that opens files by their name alone: what lies
    under the file's own name may be another by now. It is a folder that only this user reads."""
    if file.copy is not None:
        yield file.copy
        return
    import tempfile

    with tempfile.TemporaryDirectory(prefix="edgewright-", ignore_cleanup_errors=True) as folder:
        place = Path(folder) / f"model{file.path.suffix.lower()}"
        place.write_bytes(file.raw)
        yield place


class Session(Protocol):
    """An open model: one interpreter, one thread of callers. `input` and `output` are the file's own.

    `kernels` names what computes: it decides how closely two machines can be expected to agree.
    """

    input: TensorSpec
    output: TensorSpec
    kernels: str

    def run(self, pixels: Pixels) -> Scores:
        """Scores of raw pixels: uint8 `(n, height, width, channels)` -> float32 `(n, classes)`.

        n is 1 for a file of batch 1, and any number for others. The scores are dequantized, and the
        caller's to keep.

        Raises:
            InputError: pixels of another dtype or shape.
        """
        ...

    def close(self) -> None:
        """Let go of the interpreter; the session cannot be used after."""
        ...


class Batches:
    """A session of a file with another edge than one uint8 image: takes any number of images.

    A fixed batch is filled up with black images, a free one is given all at once; pixels are cast to
    the dtype that the file takes, or may come in it.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self.input, self.output, self.kernels = session.input, session.output, session.kernels

    def run(self, pixels: Pixels) -> Scores:
        size, *shape = self.input.shape
        if (
            not isinstance(pixels, np.ndarray)
            or pixels.dtype not in ("uint8", self.input.dtype)
            or not fits(pixels.shape, (-1, *shape))
            or len(pixels) == 0
        ):
            raise wrong_pixels(pixels, dataclasses.replace(self.input, shape=(-1, *shape), dtype="uint8"))
        pixels = np.ascontiguousarray(pixels, self.input.dtype)
        if size < 0:
            return self._session.run(pixels)
        if len(pixels) == size:
            return self._session.run(pixels)
        filled = np.pad(pixels, ((0, -len(pixels) % size), *[(0, 0)] * 3))
        parts = [self._session.run(filled[i : i + size]) for i in range(0, len(filled), size)]
        return np.concatenate(parts)[: len(pixels)]

    def close(self) -> None:
        self._session.close()


def for_any_batch(session: Session) -> Session:
    """The session itself if it takes one uint8 image, so that nothing is added to it; else `Batches`."""
    return session if (session.input.shape[0], session.input.dtype) == (1, "uint8") else Batches(session)


class Backend(Protocol):
    """A kind of model file and the interpreter for it. What most do alike stands here.

    `module` is what `open` imports, `package` the one on PyPI, `extra` the pip extra that installs it.
    `sample` is a file for `edgewright doctor` to try, deflated, base64: uint8 pixels `(1, 2, 2, 1)` to two
    scores, the sums of the columns. Empty if there is none. `device` is where it computes, empty for the CPU,
    and `arithmetic` one of `ARITHMETICS`; `by_name` is true of an interpreter that opens no bytes, but files.
    """

    suffixes: tuple[str, ...]
    module: str
    package: str
    extra: str
    sample: str = ""
    device: str = ""
    arithmetic: str = EXACT
    by_name: bool = False

    def available(self) -> bool:
        """True if the interpreter is installed; does not import it."""
        return plugins.installed(self.module.partition(".")[0])

    def load(self) -> Any:
        """The interpreter's package, imported. Raises `ImportError`."""
        return importlib.import_module(self.module)

    def offers(self) -> Sequence[str]:
        """What the installed interpreter could run graphs on, by its own names; imports it."""
        ...

    def engines(self) -> Sequence[str]:
        """What follows the backend's name in those of its engines (see `get`) that work here; imports the
        interpreter. The first is empty: the CPU, exactly."""
        return ("",)

    def on(self, device: str, arithmetic: str) -> Backend:
        """The same on another device, or in another arithmetic; whether it is there shows when a file is
        opened. Raises `InputError`: there is no such thing."""
        raise InputError(
            f"expected the engine of {self.package} that there is, on the CPU and exact, got "
            f"'{device or 'CPU'}' with {arithmetic}"
        )

    def read(self, path: Path) -> ModelFile:
        """Read what the file says of itself. Raises `ModelFileError`."""
        return self.parse(path, outside.read(path, ModelFileError, outside.MAX_MODEL_BYTES))

    def parse(self, path: Path, raw: bytes) -> ModelFile:
        """The same of bytes that were read already; `path` is only named in messages."""
        ...

    def graph(self, file: ModelFile) -> Graph:
        """The whole graph, every index and size checked. Slower than `read`; raises `ModelFileError`."""
        ...

    def undelegated(self, file: ModelFile) -> Sequence[int] | None:
        """Places of the nodes of `graph(file)` that fast kernels leave to plain ones here, as the opened
        interpreter says. None where there are no two kinds of kernels, or no interpreter."""
        return None

    def open(self, file: ModelFile, threads: int) -> Session:
        """Load the model. Raises `ModelFileError`, `MissingExtraError`."""
        ...

    def open_plain(self, file: ModelFile) -> Session | None:
        """The same on the plainest kernels that the interpreter has, which round elsewhere than the fast
        ones, on one thread; None where it has but one kind. Raises `ModelFileError`, `MissingExtraError`."""
        return None


def get(name: str) -> Backend:
    """A backend, or one of its engines: `BACKEND[:DEVICE][@ARITHMETIC]`, as `ort:CUDAExecutionProvider`,
    `openvino@bf16`, `openvino:GPU@f16`; without a device the CPU, without arithmetic the file's own, exactly.

    Raises:
        UnknownNameError: no backend of that name.
        InputError: the backend has no such device, or arithmetic.
    """
    place, _, arithmetic = name.partition("@")
    place, _, device = place.partition(":")
    found: Backend = plugins.get(__name__, place, "BACKEND")
    if name == place:
        return found
    if arithmetic not in ("", *ARITHMETICS):
        raise UnknownNameError("arithmetic", arithmetic, ARITHMETICS)
    return found.on("" if device.upper() == "CPU" else device, arithmetic or EXACT)


def for_path(path: Path, only: str | None = None) -> Backend:
    """The backend that runs files of that suffix by default; with `only`, the backend or engine of that name.

    Raises:
        ModelFileError: no backend takes such files.
        UnknownNameError, InputError: no backend, or engine, is named `only`.
    """
    suffixes: list[str] = []
    names = [name for name in plugins.names(__name__) if name not in BY_NAME_ONLY]
    for name in names if only is None else [only]:
        backend = get(name)
        if path.suffix.lower() in backend.suffixes:
            return backend
        suffixes += backend.suffixes
    raise ModelFileError(f"expected a {' or '.join(suffixes)} file, got '{path.name}'")


class DamagedError(ValueError):
    """What cannot be in a whole file, such as an offset, a length or an index that points outside of it."""


class BudgetError(DamagedError):
    """More fields, offsets or bytes than a file may have decoded."""


class Budget:
    """How much of one file may be decoded: so many fields, offsets and numbers, and twice its bytes.

    Items of a FlatBuffer may share what they refer to, a field of protobuf takes two bytes: without a limit a
    few megabytes cost a minute and gigabytes. Real files have hundreds or thousands of fields.
    `EDGEWRIGHT_MAX_FIELDS` raises the number for a file that one trusts.
    """

    __slots__ = ("_bytes", "_fields", "_most")

    def __init__(self, file_bytes: int) -> None:
        said = os.environ.get(FIELDS_VARIABLE, "")
        if said and not (said.isascii() and said.isdigit() and len(said) < 19):
            raise InputError(f"expected {FIELDS_VARIABLE} to be a whole number, got '{said[:40]}'")
        self._most = self._fields = int(said) if said else MOST_FIELDS
        self._bytes = 2 * file_bytes + 2**16

    def spend(self, fields: int = 1) -> None:
        """Raises `BudgetError`."""
        self._fields -= fields
        if self._fields < 0:
            raise BudgetError(
                f"more than {self._most:,} fields and offsets; if you trust it, set {FIELDS_VARIABLE} to a "
                "larger number"
            )

    def copy(self, count: int) -> None:
        """As many bytes are copied. Raises `BudgetError`."""
        self._bytes -= count
        if self._bytes < 0:
            raise BudgetError("parts that refer to more than the file can hold; make it anew")


@contextmanager
def damage_as(path: Path, what: str) -> Iterator[None]:
    """Turn what a damaged file makes readers raise into `ModelFileError`; `what` has a place for it."""
    try:
        yield
    except EdgewrightError:
        raise
    except BudgetError as failure:
        raise ModelFileError(f"expected less in {path}, got {failure}") from failure
    except DamagedError as failure:
        raise ModelFileError(f"{path} {what.format(failure)}") from failure
    except Exception as failure:  # whatever else a hostile file brings a reader to
        reason = f"{type(failure).__name__} {' '.join(str(failure).split())}".strip()
        raise ModelFileError(f"{path} {what.format(reason)}") from failure


def check_single(path: Path, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> None:
    """An image classifier has one input (batch, height, width, channels) and one output of scores.

    Raises:
        ModelFileError: anything else.
    """
    if len(inputs) != 1 or len(outputs) != 1 or len(inputs[0].shape) != 4 or not _is_row(outputs[0].shape):
        raise ModelFileError(
            f"expected one (batch, height, width, channels) input and one (batch, classes) output in {path}, "
            f"got inputs {[t.shape for t in inputs]} and outputs {[t.shape for t in outputs]}"
        )
    for spec in (*inputs, *outputs):
        if spec.dtype not in _NUMBERS:
            raise ModelFileError(f"expected numbers in {path}, got '{spec.name}' of dtype {spec.dtype}")


def _is_row(shape: tuple[int, ...]) -> bool:
    """True of (batch, n), and of that with axes of size 1 in it, as (batch, 1, 1, n)."""
    return len(shape) >= 2 and sum(size != 1 for size in shape[1:]) <= 1


def scores_spec(output: TensorSpec) -> TensorSpec:
    """An output that is a row of scores, as `(batch, n)`."""
    sizes = [size for size in output.shape[1:] if size != 1]
    return dataclasses.replace(output, shape=(output.shape[0], *(sizes or [1])))


def fits(shape: tuple[int, ...], declared: tuple[int, ...]) -> bool:
    """True if an array of that shape can be given where -1 stands for any size."""
    return len(shape) == len(declared) and all(
        want in (-1, got) for got, want in zip(shape, declared, strict=True)
    )


def rows(scores: Scores, path: Path, batch: int, output: TensorSpec) -> Scores:
    """What a run gave as `(batch, n)`. Raises `ModelFileError` unless it is what the file declares."""
    flat: Scores = scores.reshape(batch, -1) if scores.size and scores.shape[0] == batch else scores
    if not fits(flat.shape, (batch, output.shape[1])):
        raise ModelFileError(f"expected scores {(batch, output.shape[1])} of {path}, got {scores.shape}")
    return flat


def wrong_pixels(pixels: object, expected: TensorSpec) -> InputError:
    got = f"{pixels.dtype} {pixels.shape}" if isinstance(pixels, np.ndarray) else type(pixels).__name__
    return InputError(f"expected {expected.dtype} pixels of shape {expected.shape}, got {got}")
