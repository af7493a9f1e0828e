"""The float files that others are compared with: out of the bundle, named, or converted from the model."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from edgewright.export import formats
from edgewright.export import variants as known_variants
from edgewright.export.explaining import naming
from edgewright.export.explaining.comparison import Pairing, probe
from edgewright.export.explaining.graphs import Network, Values
from edgewright.export.explaining.matching import match
from edgewright.export.explaining.opening import TFLITE, Opened, open_entry, open_path
from edgewright.export.network.model import KERAS, FileInterface, Model, described, kind_of
from edgewright.export.work.events import Converted, Failed
from edgewright.export.work.protocol import TEST
from edgewright.export.work.steps import Steps
from edgewright.runtime import backends
from edgewright.runtime.bundle.manifest import Bundle, Manifest
from edgewright.runtime.contract import InputContract, ModelContract
from edgewright.runtime.disk.jsonio import JsonObject
from edgewright.runtime.errors import BundleError, ExportError, InputError
from edgewright.train import datasets
from edgewright.train.checkpoint import CHECKPOINT, MODEL, Checkpoint
from edgewright.train.normalization import Normalization

FLOAT = "float32"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Said:
    """What a user says of the model, where neither a checkpoint nor the bundle does; see
    `edgewright.export.source.options.Given`."""

    normalization: Normalization | None = None
    unsafe_load: bool = False
    output: str | None = None
    code: Path | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reference:
    """A float file that files of its format are compared with, and the Keras layers known to be in each of
    its steps, by the step's value. `passes` are those that it has gone through."""

    name: str
    format: str
    network: Network
    passes: tuple[str, ...] = ()
    layers: Mapping[Any, tuple[str, ...]] = dataclasses.field(default_factory=dict)


def of_bundle(bundle: Bundle, opened: Sequence[Opened]) -> list[Reference]:
    """The float files of a bundle. Raises as `edgewright.export.explaining.opening.open_entry`."""
    known = {one.name: one for one in opened}
    floats = [v for v in bundle.manifest.variants if v.scheme == FLOAT]
    found = []
    for entry in floats:
        one = known.get(entry.name) or open_entry(bundle, entry)
        found.append(
            Reference(name=one.name, format=one.format, network=one.network, passes=tuple(entry.passes))
        )
    return found


def twin_of(model: Path, one: Opened, normalization: Normalization | None) -> Reference | None:
    """A float file that takes the same input; None if `model` is something that such are made of."""
    suffix = model.suffix.lower()
    if not model.is_file() or suffix not in (".tflite", ".onnx"):
        return None
    if suffix == ".onnx":
        given = backends.for_path(model).read(model).inputs
        if [(s.shape, s.dtype) for s in given] != [(s.shape, s.dtype) for s in one.file.inputs]:
            return None
    twin = open_path(model, normalization)
    return Reference(name=model.name, format=twin.format, network=twin.network)


def namers(bundle: Bundle | None, opened: Sequence[Opened]) -> list[Opened]:
    """Files whose tensors are called after Keras layers: what is `opened`, and the bundle's TFLite file of
    most 8-bit operators. Raises as `edgewright.export.explaining.opening.open_entry`."""
    known = {one.name for one in opened}
    entries = [v for v in bundle.manifest.variants if v.format == TFLITE and not v.passes] if bundle else []
    best = min(entries, key=lambda v: v.rank, default=None)
    if bundle is None or best is None or best.name in known:
        return list(opened)
    return [*opened, open_entry(bundle, best)]


def for_file(references: Sequence[Reference], one: Opened) -> Reference:
    """That of the same passes, else that of none. Raises `InputError`: there is none of its format."""
    own = [each for each in references if each.format == one.format]
    chosen = [r for r in own if r.passes == one.passes] or [r for r in own if not r.passes]
    if not chosen:
        raise InputError(
            f"expected a float {one.format} file to compare {one.name} with, got none; add --model with the "
            f"checkpoint or model that it was exported from, or export {one.format}-{FLOAT} too"
        )
    return chosen[0]


def with_layers(references: Sequence[Reference], others: Sequence[Opened], pixels: Values) -> list[Reference]:
    """References with the names of their layers: ONNX files of ours have none of their own, so theirs are
    those of a TFLite file where a step is the same. Converters keep other names in 8-bit files than in float
    ones, so the names in `others` are added."""
    named = next((each for each in references if each.format == TFLITE), None)
    if named is None:
        return list(references)
    steps = probe(named.network, pixels[:1])
    plain = [step for step, _ in steps]
    layers = dict(zip((step.value for step in plain), naming.layers(plain, plain), strict=True))
    for other in others:
        if other.format == TFLITE and other.network is not named.network:
            pairing = Pairing(other.network, named.network, pixels[:1])
            for twin, names in zip(pairing.twins, naming.layers(pairing.steps, pairing.twins), strict=True):
                layers[twin.value] = max(layers[twin.value], names, key=len)
    found = []
    for each in references:
        own = steps if each is named else probe(each.network, pixels[:1])
        pairs = match([s for s, _ in own], [n for _, n in own], plain, [shape for _, shape in steps])
        known = {own[i][0].value: layers[plain[j].value] for i, j in pairs}
        found.append(dataclasses.replace(each, layers=known))
    return found


def keras_file(model: Path) -> Path:
    """The .keras file of a checkpoint; another model itself."""
    return model / MODEL if (model / CHECKPOINT).exists() else model


def normalization_of(model: Path | None, said: Said) -> Normalization | None:
    """What a network wants done to pixels, as a checkpoint or the user says. Raises `CheckpointError`."""
    if model is not None and (model / CHECKPOINT).exists():
        return Normalization.of_range(*Checkpoint.open(model).input_range)
    return said.normalization


def model_at(path: Path, manifest: Manifest | None, said: Said, size: tuple[int, int]) -> Model:
    """The model that files were made of.

    Args:
        path: a checkpoint folder or a model.
        manifest: of the bundle, which knows what was said of the model when it was exported.
        size: height and width of the pictures that the files take.

    Raises:
        InputError, CheckpointError: it cannot be used, or nothing says what it wants pixels brought to.
    """
    normalization = normalization_of(path, said)
    if (path / CHECKPOINT).exists() and normalization is not None:
        return Model.at(path / MODEL, normalization)
    if kind_of(path) is None:
        raise InputError(
            "expected a checkpoint folder, a .keras, .h5, .onnx or float .tflite file or a SavedModel folder "
            f"as --model, got {described(path)}"
        )
    told = _told(manifest)
    if normalization is None and told is not None:
        normalization = Normalization.from_json(told.object("normalization"))
    if normalization is None:
        raise InputError(
            f"expected what {path} wants pixels brought to, got nothing of it; add --input-range 0..1, "
            "-1..1 or 0..255, or --mean and --std"
        )
    output = said.output
    if output is None and told is not None and kind_of(path) != KERAS:
        output = told.text("output")
    return Model.at(path, normalization, size=size, unsafe=said.unsafe_load, output=output, code=said.code)


def _told(manifest: Manifest | None) -> JsonObject | None:
    """What a bundle says of the model of someone else's that it was made of."""
    model = manifest.provenance.get("model") if manifest else None
    if not isinstance(model, Mapping):
        return None
    return JsonObject(dict(model), "the bundle's provenance of the model", BundleError)


@contextmanager
def converted(model: Model, opened: Sequence[Opened], pixels: Values) -> Iterator[list[Reference]]:
    """Float files of a model, converted as export does and kept in its cache, for files of the same input; a
    TFLite one always if the model can become one, as its tensors are called after Keras layers.

    Args:
        model: as `model_at` gives it.
        opened: the files that they are for.
        pixels: uint8 `(n, height, width, channels)`, which the model is run on once.

    Raises:
        ExportError: the model cannot be converted.
        InputError: it takes other pictures than the files.
    """
    wanted = list(dict.fromkeys([*(one.format for one in opened), TFLITE]))
    takes = [name for name in wanted if model.kind in formats.get(name).takes]
    if not {one.format for one in opened} <= {*takes}:
        raise InputError(
            f"expected a model that .{' and .'.join(wanted[:-1])} files are made of, got {model.path}; take "
            "the one that they were exported from"
        )
    chosen = known_variants.parse([f"{name}-{FLOAT}" for name in takes])
    contract, given = opened[0].contract, opened[0].file.inputs[0]
    batch = given.shape[0] if given.shape[0] > 0 else None
    dtype = given.dtype if given.dtype == "float32" else "uint8"
    with TemporaryDirectory() as scratch, Steps(FileInterface(batch=batch, dtype=dtype)) as steps:
        folder = Path(scratch)
        facts = steps.load(model, ())
        if facts.shape != pixels.shape[1:]:
            raise InputError(
                f"expected a model of {pixels.shape[1:]} pictures, got {facts.shape} in {model.path}"
            )
        base = contract or ModelContract(
            name=model.path.stem,
            variant="",
            input=InputContract(height=facts.shape[0], width=facts.shape[1], channels=facts.shape[2]),
            labels=tuple(map(str, range(max(facts.classes, 2)))),
            head=facts.head,
        )
        contracts = {v.name: dataclasses.replace(base, variant=v.name) for v in chosen}
        np.save(folder / TEST, pixels)
        nothing: Any = np.empty((0, *pixels.shape[1:]), np.uint8)
        found = []
        for event in steps.convert(folder, model, chosen, contracts, nothing, datasets.digest(pixels), {}):
            if isinstance(event, Failed):
                raise ExportError(f"{event.variant} of {model.path} {event.reason}")
            if isinstance(event, Converted):
                variant = next(v for v in chosen if v.name == event.variant)
                one = open_path(folder / variant.file, made_here=True)
                name = f"{variant.name} of {model.path.name}"
                found.append(Reference(name=name, format=one.format, network=one.network))
        yield found
