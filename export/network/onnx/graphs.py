"""Walks ONNX graphs with the graphs that their nodes hold (branches of an If, bodies of a Loop)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any


def inner(node: Any) -> Iterator[Any]:
    """The graphs that a node holds."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def everywhere(graph: Any) -> Iterator[Any]:
    """The graph and all within it."""
    yield graph
    for node in graph.node:
        for part in inner(node):
            yield from everywhere(part)


def read_by(node: Any) -> set[str]:
    """The values that a node reads, those that its graphs take from around it among them."""
    parts = [part for held in inner(node) for part in everywhere(held)]
    return {*node.input, *(n for p in parts for m in p.node for n in m.input)} | {
        value.name for part in parts for value in part.output
    }


def cut(graph: Any, output: str) -> None:
    """Leave only what `output` is computed by; it is not declared as the graph's output."""
    needed, kept = {output}, []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            kept.append(node)
            needed |= read_by(node)
    nodes = [type(node).FromString(node.SerializeToString()) for node in reversed(kept)]
    del graph.node[:]
    graph.node.extend(nodes)
    for constants in (graph.initializer, graph.sparse_initializer):
        for place in reversed(range(len(constants))):
            constant = constants[place]
            name = constant.name if constants is graph.initializer else constant.values.name
            if name not in needed:
                del constants[place]
    del graph.output[:], graph.value_info[:], graph.quantization_annotation[:]


def prefix(graph: Any, start: str) -> None:
    """Put `start` in front of every name, so that what is put around the graph meets none of them, and number
    the nodes, of which exporters leave some without a name."""
    numbers = itertools.count()
    for part in everywhere(graph):
        for value in (*part.input, *part.output, *part.initializer, *part.value_info):
            value.name = start + value.name
        for sparse in part.sparse_initializer:
            sparse.values.name = start + sparse.values.name
        for node in part.node:
            node.name = f"{start}{node.op_type}_{next(numbers)}"
            node.input[:] = [name and start + name for name in node.input]
            node.output[:] = [name and start + name for name in node.output]
