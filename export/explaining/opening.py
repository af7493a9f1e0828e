"""Opens what is explained, and the pictures it is explained on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgewright.export.explaining.graphs import Grid, Network, Prepare, Values
from edgewright.export.explaining.onnx import OnnxNetwork
from edgewright.export.explaining.tflite import TFLiteNetwork
from edgewright.runtime import backends, pictures, trust
from edgewright.runtime.backends import ModelFile
from edgewright.runtime.bundle.manifest import MANIFEST, Bundle, VariantEntry
from edgewright.runtime.contract import CONTRACT_KEY, InputContract, ModelContract
from edgewright.runtime.errors import InputError, ModelFileError
from edgewright.runtime.preprocess import to_pixels
from edgewright.runtime.verification import GOLDEN_INPUTS, read_golden
from edgewright.train.normalization import Normalization

MOST_IMAGES = 64  # more say the same, and the float model runs on each once a layer
_PIXELS = ("uint8", "int8", "float32")
_NETWORKS: dict[str, Callable[[Path, bytes, Prepare], Network]] = {
    ".tflite": TFLiteNetwork,
    ".onnx": OnnxNetwork,
}
TFLITE, ONNX = "tflite", "onnx"


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A file that may be opened in this process. `passes` are those of a bundle's variant; `notes` are lines
    for the user."""

    name: str
    format: str
    file: ModelFile
    contract: ModelContract | None
    network: Network
    passes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def input(self) -> InputContract:
        if self.contract is not None:
            return self.contract.input
        height, width, channels = self.file.inputs[0].shape[1:]
        return InputContract(height=height, width=width, channels=channels)


def open_file(
    name: str,
    file: ModelFile,
    normalization: Normalization | None = None,
    passes: tuple[str, ...] = (),
    *,
    made_here: bool = False,
) -> Opened:
    """A file that somebody vouched for (`edgewright.runtime.trust`). One that was changed after it was
    written is the very thing to be explained: its contract is left aside, and a note says so.

    Args:
        name: what to call it.
        file: as it was read.
        normalization: what its network wants done to pixels, for a file that was written by others.
        passes: of a bundle's variant.
        made_here: this process has just made it.

    Raises:
        ModelFileError, MissingExtraError: damaged, no interpreter takes it, or there is none here.
        InputError: nobody vouched for it, it takes something else than pictures, or nothing says how it wants
            their pixels.
    """
    backend, notes = backends.for_path(file.path), []
    try:
        contract = file.contract()
    except ModelFileError as failure:
        metadata = {key: value for key, value in file.metadata.items() if key != CONTRACT_KEY}
        contract, file = None, dataclasses.replace(file, metadata=metadata)
        notes.append(f"explained as it is, though not as it was written: {failure}")
    if not backend.available():
        backend.open(file, 1)  # says what to install
    backends.check_single(file.path, file.inputs, file.outputs)
    if not (made_here or trust.opens_here(file.sha256, backend)):
        raise InputError(
            "expected a file that was exported here or is trusted, as what is explained runs in this "
            f"process, got {file.path}; if you trust it, add --trust"
        )
    given = file.inputs[0]
    if given.dtype not in _PIXELS or given.shape[-1] not in (1, 3) or min(given.shape[1:]) < 1:
        raise InputError(
            "expected a file that takes pictures (batch, height, width, channels), got "
            f"{given.dtype} {given.shape} in {file.path}; export its model"
        )
    ours = contract is not None or bool(notes)
    return Opened(
        name=name,
        format=file.path.suffix.lower().removeprefix("."),
        file=file,
        contract=contract,
        network=network_of(file.path, file.raw, np.asarray if ours else _prepare(file, normalization)),
        passes=passes,
        notes=tuple(notes),
    )


def network_of(path: Path, raw: bytes, prepare: Prepare = np.asarray) -> Network:
    """The steps of a file of that name. Raises `ModelFileError`."""
    return _NETWORKS[path.suffix.lower()](path, raw, prepare)


def _prepare(file: ModelFile, normalization: Normalization | None) -> Prepare:
    """What makes of raw pixels what a file of others takes. Raises `InputError`: nothing says what."""
    given = file.inputs[0]
    if normalization is None:
        if given.dtype == "uint8":
            return np.asarray
        raise InputError(
            f"expected what {file.path} wants pixels brought to, as it carries no contract, got nothing of "
            "it; add --input-range 0..1, -1..1 or 0..255, or --mean and --std"
        )
    if given.dtype == "float32":
        return normalization.apply
    grid = Grid(dtype=np.dtype(given.dtype), scale=given.scale or 1.0, zero_point=given.zero_point)
    return lambda pixels: grid.nearest(normalization.apply(pixels))


def open_path(path: Path, normalization: Normalization | None = None, *, made_here: bool = False) -> Opened:
    """A file of no bundle. Raises as `open_file`."""
    return open_file(path.name, backends.for_path(path).read(path), normalization, made_here=made_here)


def open_entry(bundle: Bundle, entry: VariantEntry) -> Opened:
    """A file of a bundle. Raises `BundleError` too."""
    place, raw = bundle.read(entry.file)
    return open_file(entry.name, backends.for_path(place).parse(place, raw), passes=entry.passes)


def open_all(
    path: Path, variants: Sequence[str], normalization: Normalization | None
) -> tuple[Bundle | None, list[Opened]]:
    """A bundle with those of its files that are asked for, by default all; or a file, with the bundle that
    lies around it.

    `normalization` is as for `open_file`.

    Raises:
        BundleError, UnknownNameError: a damaged bundle, or without such a variant; else as `open_file`.
    """
    if path.is_dir():
        bundle = Bundle.open(path)
        entries = [bundle.variant(name) for name in variants] or bundle.manifest.variants
        return bundle, [open_entry(bundle, entry) for entry in entries]
    if variants:
        raise InputError(f"expected a bundle folder to choose {', '.join(variants)} from, got {path}")
    if not path.exists():
        raise InputError(f"expected a bundle folder or a model file, got {path}, which does not exist")
    around = Bundle.open(path.parent) if (path.parent / MANIFEST).is_file() else None
    one = open_path(path, normalization)
    known = around.manifest.variants if around else ()
    same = next((v for v in known if one.contract is not None and v.name == one.contract.variant), None)
    return around, [dataclasses.replace(one, passes=same.passes if same else ())]


def read_images(bundle: Bundle | None, images: Path | None, contract: InputContract) -> tuple[Values, str]:
    """Pictures, uint8 `(n, height, width, channels)`, and where they are from.

    Raises:
        InputError: there are none.
        ImageError: one cannot be decoded.
        BundleError: the golden ones are damaged.
    """
    if images is None:
        if bundle is None:
            raise InputError("expected --images FOLDER for a file without its bundle around it, got none")
        golden = read_golden(bundle)[GOLDEN_INPUTS]
        return golden[:MOST_IMAGES], str(bundle.folder / bundle.manifest.golden.file)
    found = []
    for picture in pictures.find([str(images)]):
        found.append(to_pixels(picture.read(), contract)[0])
        if len(found) == MOST_IMAGES:
            break
    return np.stack(found), str(images)
