"""Model files of others, which carry no contract: what they leave unsaid is given, or assumed and said.

What the scores mean is read off the operator that gives them. Labels, scaling and thresholds are the user's;
else what the file's own metadata say (`standard`, `properties`), or what lies beside it (`huggingface`).
Scaling is not inside such a file, so the runtime does it (`scaling`, `scaled`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from edgewright.runtime.backends import ModelFile, Session, check_single, scores_spec
from edgewright.runtime.bundle.manifest import Manifest
from edgewright.runtime.contract import HEADS, InputContract, ModelContract, TensorSpec
from edgewright.runtime.contract.heads import NUMBERS, Head
from edgewright.runtime.errors import InputError, ModelFileError, UnknownNameError
from edgewright.runtime.foreign import huggingface, properties, standard
from edgewright.runtime.foreign.heads import head_of
from edgewright.runtime.foreign.hints import Hints, Said
from edgewright.runtime.foreign.scaled import Scaled, bare, inner
from edgewright.runtime.foreign.scaling import ASK, InputRange, Scaling, table
from edgewright.runtime.graph import Graph

__all__ = ["BY_NUMBER", "LONE", "SIDE", "Adopted", "Given", "InputRange", "Scaling", "adopt", "bare"]
__all__ += ["head_of", "hints_of", "inner", "input_shape", "told_of"]

BY_NUMBER = "classes are called by their numbers"

SIDE = 224  # pixels, of a file whose size nobody says
LONE = "lone"  # in the provenance of a bundle that stands for a lone file: what `load` has to be told of it


@dataclass(frozen=True, kw_only=True)
class Given:
    """What a user says of a file that does not say it: each is None, or as in `edgewright.runtime.load`."""

    labels: Sequence[str] | None = None
    input_range: InputRange | None = None
    mean: float | Sequence[float] | None = None
    std: float | Sequence[float] | None = None
    head: str | None = None
    threshold: float | None = None
    size: tuple[int, int] | None = None

    def __bool__(self) -> bool:
        return any(getattr(self, field.name) is not None for field in fields(self))

    def check(self) -> None:
        """Raises `InputError`, `UnknownNameError`: what no file can be."""
        if self.head is not None and self.head not in HEADS:
            raise UnknownNameError("head", self.head, HEADS)
        if self.threshold is not None and not 0 < self.threshold < 1:
            raise InputError(f"expected a threshold between 0 and 1, got {self.threshold:g}")
        if self.size is not None and not 1 <= min(self.size) <= max(self.size) <= 2**14:
            raise InputError(f"expected a size of 1 to {2**14} pixels a side, got {self.size}")


@dataclass(frozen=True, kw_only=True)
class Adopted:
    """A file that was given a contract: `session` is open for raw pixels, `reopen` opens another.

    `assumptions` are lines for the user.
    """

    contract: ModelContract
    session: Session
    reopen: Callable[[], Session]
    assumptions: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class _Layout:
    height: int
    width: int
    channels: int
    channels_first: bool

    @property
    def shape(self) -> tuple[int, int, int]:
        return (self.height, self.width, self.channels)


def adopt(file: ModelFile, given: Given, graph: Graph, open_file: Callable[[], Session]) -> Adopted:
    """Open a file that has no contract, and make one for it.

    Args:
        given: what the user says; it comes before what the file's metadata say.
        graph: of the file.
        open_file: opens the file as it is.

    Raises:
        InputError: what the user says does not fit the file, or nobody says how pixels are scaled.
        ModelFileError: not an image classifier, or nobody says its labels or its size.
    """
    given.check()
    check_single(file.path, file.inputs, file.outputs)
    hints = hints_of(file)
    layout, size_said = _layout(file, given, hints)
    count = scores_spec(file.outputs[0]).shape[1]
    session: Session | None = None
    if count < 0:  # the file leaves it open
        session = open_file()
        count = _count(session, file.inputs[0], layout)
    head, head_said = head_of(graph, count, given, hints)
    labels, labels_said = _labels(file, given, hints, head)
    source = hints.scaling.source if hints.scaling else ""
    told = Scaling(input_range=given.input_range, mean=given.mean, std=given.std)
    said = hints.scaling.value if hints.scaling else None
    codes, range_said, remark = table(file.path, file.inputs[0], told, said, source, layout.channels)
    bgr = hints.bgr is not None and layout.channels == 3
    as_it_is = file.inputs[0].shape[1:] == layout.shape and scores_spec(file.outputs[0]).shape[1] == count
    plain = codes is None and not layout.channels_first and not bgr and as_it_is
    every_value = np.tile(np.arange(256, dtype=np.uint8), (layout.channels, 1)) if codes is None else codes

    def for_pixels(own: Session) -> Session:
        if plain:
            return own
        first = layout.channels_first
        return Scaled(own, layout.shape, every_value, channels_first=first, bgr=bgr, scores=count)

    contract = ModelContract(
        name=file.path.stem,
        variant="foreign",
        input=InputContract(
            height=layout.height,
            width=layout.width,
            channels=layout.channels,
            fit=hints.fit.value if hints.fit else "stretch",
            resample=hints.resample.value if hints.resample else "bilinear",
        ),
        labels=labels,
        head=head.kind,
        threshold=head.threshold,
    )
    kind = "grey" if layout.channels == 1 else "BGR" if bgr else "RGB"
    order = "channels first" if layout.channels_first else "channels last"
    lines = (
        f"{kind} pixels, {order}, {range_said}",
        _fitted(contract.input, hints),
        *size_said,
        *head_said,
        *labels_said,
        *([remark] if remark else []),
        *hints.remarks,
    )
    ready = for_pixels(session or open_file())
    if session is None:  # what opens and does not run is refused here
        ready.run(np.zeros((max(1, ready.input.shape[0]), *layout.shape), np.uint8))
    return Adopted(
        contract=contract,
        session=ready,
        reopen=lambda: for_pixels(open_file()),
        assumptions=lines,
    )


def told_of(manifest: Manifest) -> dict[str, Any]:
    """What `load` has to be told of the file of a bundle that stands for a lone one; nothing of others."""
    told = manifest.provenance.get(LONE)
    if not isinstance(told, Mapping):
        return {}
    given = {key: tuple(value) for key, value in told.items() if key in ("input_range", "size")}
    return {**given, **({"labels": NUMBERS} if told.get("nameless") else {})}


def hints_of(file: ModelFile) -> Hints:
    """What the file's own metadata say, and where they say nothing, what lies beside it. Never raises."""
    return standard.read(file).or_else(properties.read(file)).or_else(huggingface.read(file))


def input_shape(file: ModelFile, size: tuple[int, int] | None = None) -> tuple[tuple[int, ...], str]:
    """The shape of one input of a file `(batch, …)` with what it leaves open filled in, and a line if nobody
    says how: 224 pixels a side. Raises `InputError`, `ModelFileError`."""
    check_single(file.path, file.inputs, file.outputs)
    given, hints, remark = Given(size=size), hints_of(file), ""
    given.check()
    shape = file.inputs[0].shape
    if file.contract() is None and min(shape[1:]) < 0:
        if size is None and hints.size is None:
            given, remark = Given(size=(SIDE, SIDE)), f"its size is free: it ran on {SIDE}x{SIDE} pixels"
        layout, _ = _layout(file, given, hints)
        form = layout.shape
        if layout.channels_first:
            form = (layout.channels, layout.height, layout.width)
        shape = (shape[0], *form)
    return (max(1, shape[0]), *shape[1:]), remark


def _layout(file: ModelFile, given: Given, hints: Hints) -> tuple[_Layout, Sequence[str]]:
    """Where height, width and channels are; and what fixes the sizes that the file leaves open."""
    shape = file.inputs[0].shape
    if shape[1] in (1, 3) or shape[3] in (1, 3):
        channels_first = shape[1] in (1, 3) and shape[3] not in (1, 3)
        channels = shape[1] if channels_first else shape[3]
    elif shape[1] < 0 and hints.channels_first is not None:
        channels_first, channels = True, hints.channels.value if hints.channels else 3
    else:
        channels_first, channels = False, shape[3]
    height, width = shape[2:] if channels_first else shape[1:3]
    said: Sequence[str] = ()
    if min(height, width) < 0:
        wanted = Said(value=given.size, source="told") if given.size else hints.size
        if wanted is not None:
            height, width = (
                told if free < 0 else free for free, told in zip((height, width), wanted.value, strict=True)
            )
            said = (f"{height}x{width} pixels, as {_says(wanted.source)}",)
    elif given.size is not None and given.size != (height, width):
        raise InputError(f"expected no size for {file.path}, or its own {height}x{width}, got {given.size}")
    if channels not in (1, 3) or min(height, width) < 1:
        raise ModelFileError(
            f"expected an input of fixed size with 1 or 3 channels in {file.path}, got {shape}; "
            "give the size it was trained on (--size 224x224, in Python size=(224, 224))"
            if channels in (1, 3)
            else f"expected an input of fixed size with 1 or 3 channels in {file.path}, got {shape}"
        )
    return _Layout(height=height, width=width, channels=channels, channels_first=channels_first), said


def _says(source: str) -> str:
    return source if source == "told" else f"{source} says"


def _count(session: Session, given: TensorSpec, layout: _Layout) -> int:
    """How many scores there are, by running the file once."""
    height, width, channels = layout.shape
    shape = (channels, height, width) if layout.channels_first else layout.shape
    scores = session.run(np.zeros((max(1, given.shape[0]), *shape), given.dtype))
    return int(scores.shape[1])


def _labels(file: ModelFile, given: Given, hints: Hints, head: Head) -> tuple[tuple[str, ...], Sequence[str]]:
    """A label for each class, and a line of where they are from if it was not the user."""
    wanted = head.labels
    if head.is_embedding:
        if given.labels is not None and given.labels is not NUMBERS:
            raise InputError(f"expected no labels for {file.path}, whose scores are an embedding")
        return (), ()
    said: list[str] = []
    if given.labels is not None and given.labels is not NUMBERS:
        if (found := _named(tuple(given.labels), head)) is None:
            raise InputError(f"expected {wanted} labels for {file.path}, got {len(given.labels)}")
        return found, ()
    if hints.labels is not None:
        if found := _named(hints.labels.value, head):
            return found, (f"{wanted} labels, as {hints.labels.source} says",)
        said.append(
            f"the labels of {hints.labels.source} are not used: there are {len(hints.labels.value)} for "
            f"{wanted} classes"
        )
    if given.labels is NUMBERS:
        return tuple(map(str, range(wanted))), (*said, BY_NUMBER)
    raise ModelFileError(
        f"{file.path} carries no contract (input and labels); export it with edgewright export, or give "
        f"labels= (--labels FILE{_and_range(file.inputs[0], hints)}" + (f"; {said[0]}" if said else "")
    )


def _and_range(given: TensorSpec, hints: Hints) -> str:
    """What else has to be given, as far as it is known; it recommends no range."""
    if given.dtype == "uint8":
        return "); its pixels go in as they are"
    if hints.scaling is not None:
        return ")"
    return f" --input-range LOW..HIGH); {ASK}"


def _named(labels: tuple[str, ...], head: Head) -> tuple[str, ...] | None:
    """As many labels as there have to be; of two classes the one of a yes is enough."""
    if head.is_binary and len(labels) == 1:
        return (f"not {labels[0]}", labels[0])
    return labels if len(labels) == head.labels else None


def _fitted(contract: InputContract, hints: Hints) -> str:
    how = {
        "stretch": "stretched to size",
        "crop": "cut to the middle of their shape, then brought to size",
        "letterbox": "brought to size with black around them",
    }[contract.fit]
    source = hints.fit or hints.resample
    return f"pictures are {how}, {contract.resample}" + (f", as {source.source} says" if source else "")
