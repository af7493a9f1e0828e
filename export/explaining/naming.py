"""What Keras calls the layers that a file's steps are, as far as tensors are still called after them."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from edgewright.export.explaining.graphs import Step
from edgewright.runtime.disk import zips
from edgewright.runtime.graph import keras_layers

_CONFIG, _MOST_BYTES = "config.json", 2**26
_MOST_BETWEEN = 8  # layers that one operator stands for


def layers(steps: Sequence[Step], twins: Sequence[Step]) -> list[tuple[str, ...]]:
    """The names of the Keras layers that each step is made of, as far as `steps` or the `twins` of the float
    model hold them, the one with the kernel first; empty where none is known."""
    named = [
        (*step.names[:1], *twin.names[:1], *step.names[1:], *twin.names[1:])
        for step, twin in zip(steps, twins, strict=True)
    ]
    return keras_layers(named)


def order(model: Path) -> dict[str, str]:
    """The layer in front of each, of a .keras file whose layers are called as in files: of layers that have
    one alone. Empty for other models, and for what is no whole file."""
    try:
        with model.open("rb") as file, zips.archive(file) as archive:
            told = json.loads(zips.member(archive, _CONFIG, _MOST_BYTES))
        found = [layer for layer in told["config"]["layers"] if isinstance(layer, dict)]
        names = [str(layer["config"]["name"]) for layer in found]
        if told["class_name"] == "Sequential":
            return {after: front for front, after in pairwise(names)}
        before = {name: _inputs(layer.get("inbound_nodes")) for name, layer in zip(names, found, strict=True)}
    except (BadZipFile, zlib.error, OSError, KeyError, TypeError, ValueError, RuntimeError):
        return {}
    return {name: given.pop() for name, given in before.items() if len(given) == 1}


def _inputs(nodes: Any) -> set[str]:
    """The layers that a layer reads, out of its nodes in a model's configuration."""
    if isinstance(nodes, dict):
        history = nodes.get("keras_history")
        if isinstance(history, list) and history:
            return {str(history[0])}
        nodes = list(nodes.values())
    return {name for node in nodes for name in _inputs(node)} if isinstance(nodes, list) else set()


def filled(names: tuple[str, ...], before: Mapping[str, str]) -> tuple[str, ...]:
    """The layers of a step with those that stand between the first and the last, whose names are lost when
    a converter folds them."""
    path = list(names[-1:])
    while len(names) > 1 and path[-1] != names[0] and len(path) < _MOST_BETWEEN and path[-1] in before:
        path.append(before[path[-1]])
    return tuple(reversed(path)) if len(names) > 1 and path[-1] == names[0] else names


def titles(steps: Sequence[Step], known: Sequence[tuple[str, ...]]) -> list[str]:
    """A name for each step, different from all others: of its first layer, else what the file says."""
    chosen: list[str] = []
    for i, (step, names) in enumerate(zip(steps, known, strict=True)):
        title = names[0] if names else "scores" if i == len(steps) - 1 else step.label
        chosen.append(title if title not in chosen else f"{title} ({step.label})")
    return chosen
