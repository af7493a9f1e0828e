"""What the scores of an ONNX file mean is read off the operators that give them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

from edgewright.train.datasets import Images
from tests.export.network.onnx.conftest import Layers, Make, Score, network_of, written


def ends(*steps: tuple[str, dict[str, Any]]) -> list[Any]:
    """Nodes from "s" to "y"."""
    nodes = []
    for i, (operator, attributes) in enumerate(steps):
        names = ["s" if i == 0 else f"e{i}"], ["y" if i == len(steps) - 1 else f"e{i + 1}"]
        nodes.append(helper.make_node(operator, *names, **attributes))
    return nodes


@pytest.mark.parametrize(
    ("last", "head"),
    [
        (ends(("Softmax", {"axis": -1})), "softmax"),
        (ends(("Softmax", {"axis": -1}), ("Identity", {})), "softmax"),
        (ends(("Sigmoid", {})), "sigmoid"),
        (ends(("LogSoftmax", {"axis": -1})), "logits"),
        (ends(("Identity", {})), "logits"),
        (
            [
                *ends(("Sigmoid", {}))[:0],
                helper.make_node("Exp", ["s"], ["e"]),
                helper.make_node("ReduceSum", ["e", "axis"], ["all"]),
                helper.make_node("Div", ["e", "all"], ["y"]),
            ],
            "softmax",
        ),
    ],
)
def test_onnx_head_is_what_the_last_operator_makes_of_the_scores(
    last: list[Any], head: str, make: Make, layers: Layers
) -> None:
    nodes, constants = layers
    dense = helper.make_node("Gemm", ["f", "dense", "shift"], ["s"])
    axis = {"axis": np.array([1], np.int64)}
    assert network_of(make([*nodes[:-1], dense, *last], {**constants, **axis})).facts().head == head


@pytest.mark.parametrize(
    ("last", "facts"),
    [
        ([helper.make_node("Sigmoid", ["s"], ["y"])], (1, "sigmoid")),
        ([helper.make_node("Identity", ["s"], ["y"])], (1, "sigmoid-logits")),
        ([helper.make_node("Squeeze", ["s", "axis"], ["y"])], (1, "sigmoid-logits")),
        (
            [
                helper.make_node("Sigmoid", ["s"], ["p"]),
                helper.make_node("Sub", ["one", "p"], ["q"]),
                helper.make_node("Concat", ["q", "p"], ["y"], axis=1),
            ],
            (2, "softmax"),
        ),
    ],
)
def test_onnx_head_of_one_score(
    last: list[Any], facts: tuple[int, str], make: Make, images: Images, score: Score, tmp_path: Path
) -> None:
    row, dense = np.array([-1, 432], np.int64), np.full((432, 1), 0.01, np.float32)
    more = {"axis": np.array([1], np.int64), "one": np.array(1, np.float32)}
    nodes = [
        helper.make_node("Reshape", ["x", "row"], ["f"]),
        helper.make_node("MatMul", ["f", "dense"], ["s"]),
        *last,
    ]
    network = network_of(make(nodes, {"row": row, "dense": dense, **more}))
    found = network.facts()
    assert (found.classes, found.head) == facts
    model = written(network, "float32", images, tmp_path)
    assert score(model, images).shape == (40, facts[0])
