"""At which operator an engine and the CPU part: each alone, then two and three together.

A prefix of the file misleads: differences of one step grow over the operators that follow, cutting undoes
what an engine fuses, and a cut may crash where the file does not. So each operator is a file of its own
(`cutting`), in a process of its own, and takes what the CPU handed to it in the whole file (`cpu`): what it
gives differs by its own doing. What is right alone may be wrong when an engine computes two or three at once:
those that hand values to each other, or stand beside each other, are tried together.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from edgewright.benchmarks.agreement import Engine, EngineError, NotAskedError
from edgewright.benchmarks.agreement.cpu import Piece, Plain
from edgewright.runtime import backends
from edgewright.runtime.backends import ModelFile
from edgewright.runtime.errors import InputError
from edgewright.runtime.graph import Graph, keras_layers

MOST_PICTURES = 4
_TOGETHER = 3


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What an engine computes wrongly, or not at all.

    `operator` is what the file calls it, with `+` between several; `layer` the Keras layer, empty if the file
    does not tell; `places` are those of the operators in the file. `max_steps` is how far it is off, in steps
    of 8 bits (see `cpu.steps_apart`). `crash` is what became of the engine, empty if it answered.
    """

    operator: str
    layer: str
    places: tuple[int, ...]
    max_steps: float
    crash: str


def locate(
    raw: bytes,
    engine: Engine,
    inputs: Sequence[NDArray[Any]],
    *,
    reference: bool = False,
    seconds: float = math.inf,
) -> Finding | None:
    """The first operator of a .tflite file that an engine computes otherwise than the CPU, or dies of.

    If none is by itself, the first two or three that are when they are in one file. An operator that the
    engine refuses by itself counts only where it gets the whole file wrong, too.

    Args:
        raw: the file.
        engine: with how far an operator may be off.
        inputs: pictures, each as the file takes it, `(1, height, width, channels)`; the first four are used.
        reference: held against LiteRT's reference kernels, for an engine that is made after them.
        seconds: that it may take; of a file of many operators, hundreds are tried.

    Returns:
        None if there is none, or none was found in that time.

    Raises:
        ModelFileError: no .tflite file, or a damaged one.
        InputError: it has several inputs, or no picture is given.
        EngineError: the CPU does not run it.
        TargetError: the engine cannot be set up here.
    """
    graph, end = _graph(raw, inputs), time.monotonic() + seconds
    with Plain(raw, inputs[:MOST_PICTURES], reference=reference) as plain:
        whole = _tried(engine, _whole(raw, plain, inputs))
        fails = whole.wrong
        for size in range(1, _TOGETHER + 1):
            refused: Finding | None = None
            for places in _together(graph, plain.alone, size):
                if time.monotonic() > end:
                    return refused if fails else None
                found = _judged(engine, plain, graph, places)
                if found is not None and not found.crash:
                    return found
                if found is not None and whole.crash:  # it dies of the whole file, too
                    return found
                refused = refused or found
            if refused is not None and fails:
                return refused
    return None


def refused(raw: bytes, engine: Engine, inputs: Sequence[NDArray[Any]]) -> list[Finding]:
    """Each operator that an engine does not take, or dies of, by itself. Arguments and errors as `locate`."""
    graph = _graph(raw, inputs)
    with Plain(raw, inputs[:1]) as plain:
        found = [_judged(engine, plain, graph, (place,)) for place in plain.alone]
    return [one for one in found if one is not None and one.crash]


def layer_of(graph: Graph, places: Sequence[int]) -> str:
    """The Keras layers that operators are of, with `+` between; of one that the file does not tell, `after`
    the layer in front of it, or `before` the one behind it. Empty if none is known."""
    constant = {key for key, tensor in graph.tensors.items() if tensor.stored_bytes is not None}
    named = []
    for node in graph.nodes:
        if constant.issuperset(node.inputs):  # what unpacks weights
            constant.update(node.outputs)
        weights = [key for key in node.inputs[1:] if key in constant]
        named.append([graph.tensors[key].name for key in (*weights, *node.outputs)])
    layers = keras_layers(named)
    maker = {key: place for place, node in enumerate(graph.nodes) for key in node.outputs}
    reader = {key: place for place, node in reversed(list(enumerate(graph.nodes))) for key in node.inputs}

    def walk(place: int, forward: bool) -> str:
        for _ in graph.nodes:
            node = graph.nodes[place]
            found = reader if forward else maker
            following = [found[key] for key in (node.outputs if forward else node.inputs) if key in found]
            if not following:
                return ""
            place = following[0]
            if layers[place]:
                return layers[place][0]
        return ""

    def of(place: int) -> str:
        if layers[place]:
            return layers[place][0]
        if before := walk(place, forward=False):
            return f"after {before}"
        behind = walk(place, forward=True)
        return f"before {behind}" if behind else ""

    return " + ".join(dict.fromkeys(name for name in map(of, places) if name))


def _graph(raw: bytes, inputs: Sequence[NDArray[Any]]) -> Graph:
    path, backend = Path("model.tflite"), backends.get("litert")
    file: ModelFile = backend.parse(path, raw)
    if len(file.inputs) != 1 or not inputs:
        raise InputError(
            f"expected a file of one input and pictures for it, got {len(file.inputs)} inputs and "
            f"{len(inputs)} pictures"
        )
    return backend.graph(file)


def _together(graph: Graph, alone: Sequence[int], size: int) -> Iterator[tuple[int, ...]]:
    """So many operators that hand values to each other, then those that stand beside each other."""
    if size == 1:
        yield from ((place,) for place in alone)
        return
    maker = {key: place for place, node in enumerate(graph.nodes) for key in node.outputs}
    near: dict[int, set[int]] = {place: set() for place in alone}
    for place in alone:
        for front in {maker[key] for key in graph.nodes[place].inputs if key in maker} & set(alone):
            near[place].add(front)
            near[front].add(place)
    linked = {tuple(sorted((a, b))) for a in alone for b in near[a]}
    if size > 2:
        linked = {tuple(sorted((a, m, b))) for m in alone for a, b in combinations(sorted(near[m]), 2)}
    beside = (tuple(alone[i : i + size]) for i in range(len(alone) - size + 1))
    yield from dict.fromkeys((*sorted(linked), *beside))


def _judged(engine: Engine, plain: Plain, graph: Graph, places: tuple[int, ...]) -> Finding | None:
    try:
        piece = plain.piece(places, engine.steps, engine.error)
    except EngineError:  # the CPU itself does not take them alone
        return None
    tried = _tried(engine, piece)
    if not tried.wrong or tried.unasked:
        return None
    return Finding(
        operator=" + ".join(graph.nodes[place].operator for place in places),
        layer=layer_of(graph, places),
        places=places,
        max_steps=tried.steps,
        crash=tried.crash,
    )


@dataclass(frozen=True, kw_only=True)
class _Trial:
    """How many steps an engine is off at most, whether that is too many, and what became of it; `unasked` if
    it could not be asked."""

    steps: float
    wrong: bool
    crash: str = ""
    unasked: bool = False


def _tried(engine: Engine, piece: Piece) -> _Trial:
    most, wrong = 0.0, False
    try:
        with engine.open(piece.raw) as running:
            for picture, inputs in enumerate(piece.inputs):
                far, bad = piece.judged(picture, running.run(inputs), engine.steps, engine.error)
                most, wrong = max(most, far), wrong or bad
    except EngineError as failure:
        unasked = isinstance(failure, NotAskedError)
        return _Trial(steps=most, wrong=True, crash=str(failure) or "it does not say why", unasked=unasked)
    return _Trial(steps=most, wrong=wrong)


def _whole(raw: bytes, plain: Plain, inputs: Sequence[NDArray[Any]]) -> Piece:
    return Piece(raw=raw, inputs=[[one] for one in inputs[:MOST_PICTURES]], expected=[plain.outputs])
