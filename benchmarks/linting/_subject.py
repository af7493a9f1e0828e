"""What is linted: a file, pictures as it takes them, and what the CPU makes of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgewright.benchmarks.agreement import Engine, EngineError, judging
from edgewright.benchmarks.agreement.cpu import Plain, floats
from edgewright.benchmarks.agreement.locating import Finding, layer_of, locate
from edgewright.benchmarks.linting import Blamed
from edgewright.benchmarks.measure.lone import arithmetic
from edgewright.runtime import backends, trust
from edgewright.runtime.backends import ModelFile
from edgewright.runtime.bundle.manifest import Bundle
from edgewright.runtime.contract.heads import Head
from edgewright.runtime.errors import EdgewrightError, InputError, ModelFileError
from edgewright.runtime.foreign import SIDE, Given, head_of, hints_of
from edgewright.runtime.verification import GOLDEN_INPUTS, read_golden

if TYPE_CHECKING:
    from edgewright.runtime.backends import Scores
    from edgewright.runtime.graph import Graph

_PICTURES = 4
_SECONDS = 120.0  # to look for an operator at fault
_GRAIN = 8  # pixels: noise as coarse as what networks see
_MOST_BLAMED = 5
FIX = "fix its input: build the model with Input(batch_shape=(1, ...)), or export it, and convert it again"
SHAPES = frozenset(("SHAPE", "STRIDED_SLICE", "PACK", "RESHAPE", "FILL", "BROADCAST_ARGS", "BROADCAST_TO"))


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A file, its graph, `pictures` as it takes them, what its scores mean, and what was assumed of it."""

    path: Path
    file: ModelFile
    graph: Graph
    pictures: Sequence[NDArray[Any]] = field(repr=False)
    head: Head
    variant: str = ""
    notes: tuple[str, ...] = ()

    @property
    def suffix(self) -> str:
        return self.path.suffix.lower()

    @property
    def is_free(self) -> bool:
        """True if it takes any number of pictures, or pictures of any size: fast kernels want them fixed."""
        return min(self.file.inputs[0].shape, default=1) < 1

    @cached_property
    def rounded(self) -> bool:
        """True if it mostly computes in 8 bits."""
        return arithmetic(self.graph) == "int8"

    @cached_property
    def computing(self) -> list[int]:
        """The places of the operators that compute something in each run: not what unpacks constants."""
        constant = {key for key, tensor in self.graph.tensors.items() if tensor.stored_bytes is not None}
        found = []
        for place, node in enumerate(self.graph.nodes):
            if constant.issuperset(node.inputs):
                constant.update(node.outputs)
            else:
                found.append(place)
        return found

    @cached_property
    def cpu(self) -> list[Scores]:
        """What the CPU gives for each picture, `(1, n)`.

        Raises:
            EngineError, ModelFileError, MissingExtraError: it does not run the file, or there is none.
        """
        if self.suffix == ".tflite":
            with Plain(self.file.raw, self.pictures) as plain:
                return [self.scores(outputs) for outputs in plain.outputs]
        session = trust.open_session(backends.for_path(self.path), self.file, 1)
        try:
            return [session.run(picture).reshape(1, -1) for picture in self.pictures]
        finally:
            session.close()

    def scores(self, outputs: Sequence[NDArray[Any]]) -> Scores:
        """All outputs for one picture, one behind the other."""
        return np.concatenate(
            [floats(one, spec) for one, spec in zip(outputs, self.file.outputs, strict=True)], axis=1
        )

    def blamed(self, places: Sequence[int]) -> tuple[Blamed, ...]:
        """Operators by their places, those of one name and layer once."""
        named = [
            Blamed(operator=self.graph.nodes[place].operator, layer=layer_of(self.graph, [place]))
            for place in places
        ]
        return tuple(dict.fromkeys(named))


@dataclass(frozen=True, kw_only=True)
class Tried:
    """What came of a file in an engine: the verdict, empty without an answer to compare with, what it said or
    died of, and the operator at fault."""

    runs: bool
    verdict: str = ""
    said: str = ""
    fault: Finding | None = None

    @property
    def blamed(self) -> tuple[Blamed, ...]:
        fault = self.fault
        return (Blamed(operator=fault.operator, layer=fault.layer, why=fault.crash),) if fault else ()


def tried(subject: Subject, engine: Engine, look: Callable[[Any], None] = lambda running: None) -> Tried:
    """Run a .tflite file in an engine beside the CPU, and find what is at fault.

    Args:
        subject: the file.
        engine: that is held against the CPU.
        look: told of the running engine once it has run.

    Raises:
        EngineError: the CPU does not run the file.
        TargetError: the engine cannot be set up here.
    """
    expected, died, said = subject.cpu, "", ""
    theirs: list[Scores] = []
    try:
        with engine.open(subject.file.raw) as running:
            for picture in subject.pictures:
                outputs = running.run([picture])
                theirs.append(subject.scores(outputs))
            said = " / ".join(running.said())
            look(running)
    except EngineError as failure:
        died = str(failure)
    except ValueError as failure:  # outputs that are not as the file declares them
        died = f"it gives other outputs than the file declares: {failure}"
    check = judging.compare(theirs, expected, subject.head, rounded=subject.rounded, fails=bool(died or said))
    fault = None
    if died or check.verdict != "right":  # few pictures may hardly show a fault
        try:
            fault = locate(subject.file.raw, engine, subject.pictures[:2], seconds=_SECONDS)
        except EngineError as failure:
            said = said or str(failure)
    verdict = "" if died else "wrong" if fault else check.verdict
    return Tried(runs=not died, verdict=verdict, said=died or said, fault=fault)


def subjects(path: Path) -> Iterator[Subject]:
    """A file, or each file of a bundle. Raises `ModelFileError`, `BundleError`, `InputError`."""
    if path.is_dir():
        bundle = Bundle.open(path)
        golden = read_golden(bundle)[GOLDEN_INPUTS][:_PICTURES]
        for entry in bundle.manifest.variants:
            place, raw = bundle.read(entry.file)
            yield _subject(backends.for_path(place).parse(place, raw), entry.name, golden)
        return
    if not path.exists():
        raise InputError(f"expected a bundle folder or a model file, got {path}, which does not exist")
    yield _subject(backends.for_path(path).read(path))


def _subject(file: ModelFile, variant: str = "", golden: NDArray[np.uint8] | None = None) -> Subject:
    if len(file.inputs) != 1 or not file.outputs:
        raise InputError(
            f"expected a model of one input, got {len(file.inputs)} inputs and {len(file.outputs)} outputs "
            f"in {file.path}; export one that takes a picture"
        )
    graph = backends.for_path(file.path).graph(file)
    given, notes = file.inputs[0], []
    if given.dtype not in ("uint8", "int8", "int16", "int32", "int64", "float16", "float32"):
        raise InputError(f"expected a model that takes numbers, got {given.dtype} in {file.path}")
    batch = max(given.shape[0], 1) if given.shape else 1
    if golden is not None:
        pictures = [image[np.newaxis].repeat(batch, axis=0).astype(given.dtype) for image in golden]
    else:
        shape = (batch, *(size if size > 0 else SIDE for size in given.shape[1:]))
        if min(given.shape[1:], default=1) < 1:
            notes.append(f"its size is free: it ran on {'x'.join(map(str, shape[1:]))}")
        low, high = _range(file)
        pictures = [_noise(shape, given.dtype, low, high, seed) for seed in range(_PICTURES)]
        notes.append(f"there are no pictures of it: it ran on noise, {low:g} to {high:g}")
    return Subject(
        path=file.path,
        file=file,
        graph=graph,
        pictures=pictures,
        head=_head(file, graph),
        variant=variant,
        notes=tuple(notes),
    )


def _range(file: ModelFile) -> tuple[float, float]:
    """What the input's numbers reach from and to."""
    dtype = file.inputs[0].dtype
    if dtype in ("uint8", "int8"):
        ends = np.iinfo(dtype)
        return float(ends.min), float(ends.max)
    hinted = hints_of(file).scaling
    if dtype.startswith("float") and hinted is not None and hinted.value.input_range is not None:
        return hinted.value.input_range
    return 0.0, 1.0


def _noise(shape: tuple[int, ...], dtype: str, low: float, high: float, seed: int) -> NDArray[Any]:
    """Numbers of that range, in blocks where there are rows and columns."""
    random = np.random.default_rng(seed)
    numbers = random.uniform(low, high, shape)
    if len(shape) == 4:
        for axis in (1, 2):
            numbers = numbers.take(np.arange(shape[axis]) // _GRAIN * _GRAIN, axis=axis)
    return (np.round(numbers) if dtype[0] != "f" else numbers).astype(dtype)


def _head(file: ModelFile, graph: Graph) -> Head:
    """What the scores mean; of what is no classifier, numbers whose direction counts."""
    try:
        contract = file.contract()
        if contract is not None:
            return Head(kind=contract.head, count=len(contract.labels))
        backends.check_single(file.path, file.inputs, file.outputs)
        count = backends.scores_spec(file.outputs[0]).shape[1]
        return head_of(graph, max(count, 1), Given(), hints_of(file))[0]
    except (ModelFileError, EdgewrightError):
        return Head(kind="embedding", count=1)


def listed(blamed: Sequence[Blamed]) -> str:
    """Operators for a line of text."""
    rest = f" and {len(blamed) - _MOST_BLAMED} more" if len(blamed) > _MOST_BLAMED else ""
    return ", ".join(map(str, blamed[:_MOST_BLAMED])) + rest
