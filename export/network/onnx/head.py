"""What the last operators of an ONNX graph make of the scores."""

from __future__ import annotations

from typing import Any

from edgewright.export.network.onnx.reading import ML

# Operators that hand values on as they are: what they are given decides what the scores mean.
_TRANSPARENT = ("Identity", "Cast", "Dropout", "Flatten", "Reshape", "Squeeze", "Transpose", "Unsqueeze")
_HEADS = {"Softmax": "softmax", "Sigmoid": "sigmoid"}
_SUMS = ("ReduceL1", "ReduceSum")


def head(graph: Any, value: str) -> str:
    """`softmax` where the scores of an image are made to add up to 1, `sigmoid` where each is a probability
    alone, else `logits`.

    Of what scikit-learn writes: Normalizer divides by the sum, and two classes are 1 - p beside p.
    """
    made = {name: node for node in graph.node for name in node.output}
    while value in made and made[value].op_type in _TRANSPARENT:
        value = made[value].input[0]
    node = made.get(value)
    if node is None:
        return "logits"
    if node.domain == ML:
        return "softmax" if _adds_up(node) else "logits"
    if node.op_type == "Div":
        divisor = made.get(node.input[1])
        whole = divisor is not None and divisor.op_type in _SUMS and divisor.input[0] == node.input[0]
        return "softmax" if whole else "logits"
    if node.op_type == "Concat" and len(node.input) == 2:
        rest = made.get(node.input[0])
        two = rest is not None and rest.op_type == "Sub" and rest.input[1] == node.input[1]
        return "softmax" if two else "logits"
    return _HEADS.get(node.op_type, "logits")


def _adds_up(node: Any) -> bool:
    """Whether an operator of ai.onnx.ml gives probabilities of classes that exclude each other, which is what
    its classifiers are about. The leaves of a random forest hold shares of its training images."""
    from onnx import helper

    said = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    if node.op_type == "Normalizer":
        return bool(said.get("norm") == b"L1")
    post, labels = said.get("post_transform"), said.get("classlabels_ints") or said.get("classlabels_int64s")
    if post == b"LOGISTIC":
        return len(labels or said.get("classlabels_strings") or ()) == 2
    shares = min(said.get("class_weights", [-1.0])) >= 0
    return post == b"SOFTMAX" or "prob_a" in said or shares
