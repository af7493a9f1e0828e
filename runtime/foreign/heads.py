"""What the scores of a file of others mean: the operator that gives them says it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgewright.runtime.contract import THRESHOLD
from edgewright.runtime.contract.heads import NUMBERS, Head
from edgewright.runtime.errors import InputError
from edgewright.runtime.foreign.hints import Hints
from edgewright.runtime.graph import Graph

if TYPE_CHECKING:
    from edgewright.runtime.foreign import Given

_ENDINGS = {
    **dict.fromkeys(("SOFTMAX", "Softmax", "QLinearSoftmax"), "softmax"),
    **dict.fromkeys(
        ("LOGISTIC", "STABLEHLO_LOGISTIC", "Sigmoid", "QLinearSigmoid", "HardSigmoid"), "sigmoid"
    ),
    **dict.fromkeys(("LOG_SOFTMAX", "LogSoftmax"), "logits"),  # whose softmax are the probabilities too
    **dict.fromkeys(("L2_NORMALIZATION", "LpNormalization"), "embedding"),
}


def head_of(graph: Graph, count: int, given: Given, hints: Hints) -> tuple[Head, Sequence[str]]:
    """What `count` scores mean, and lines that say why.

    The user comes first; then the graph, if it ends in an operator that makes probabilities; then the
    metadata. What ends in anything else gives logits: of several classes, or of one sigmoid.

    Raises:
        InputError: a head that so many scores cannot have, or a threshold where there is none.
    """
    kind, why = _kind(graph.ending(), count, given, hints)
    if kind in ("softmax", "logits") and count < 2 and given.head is not None:
        raise InputError(f"expected several scores for head '{kind}', got {count}; take sigmoid")
    head = Head(kind=kind, count=count)
    lines = [f"scores are {_WORDS[kind]}, {why}"]
    threshold = THRESHOLD
    if given.threshold is not None:
        if not head.is_sigmoid:
            raise InputError(
                f"expected a threshold for sigmoids alone, got one for scores that are {_WORDS[kind]}"
            )
        threshold = given.threshold
    elif hints.threshold is not None:
        stated = f"the threshold {hints.threshold.value:g} of {hints.threshold.source}"
        if head.is_sigmoid:
            threshold = hints.threshold.value
            lines.append(f"a label is given above {stated}")
        elif not head.is_embedding:
            lines.append(f"{stated} is not used: the best classes are shown whatever their probability")
    return Head(kind=kind, count=count, threshold=threshold), lines


_WORDS = {
    "softmax": "probabilities",
    "logits": "logits",
    "sigmoid": "probabilities of independent labels",
    "sigmoid-logits": "logits of independent labels",
    "embedding": "an embedding",
}


def _kind(ending: str, count: int, given: Given, hints: Hints) -> tuple[str, str]:
    if given.head is not None:
        return given.head, "as told"
    found = _ENDINGS.get(ending)
    if found == "embedding" and given.labels not in (None, NUMBERS):
        found = None
    if found is not None:
        return found, f"as the graph ends in {ending}"
    if hints.head is not None and count > 1:
        return hints.head.value, f"as {hints.head.source} says"
    kind = "logits" if count > 1 else "sigmoid-logits"
    return kind, f"as the graph ends in {ending or 'nothing'} and not in a softmax or sigmoid (--head)"
