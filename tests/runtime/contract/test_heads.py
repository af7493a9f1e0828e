"""What scores mean: probabilities and decisions of every kind of head."""

from __future__ import annotations

import numpy as np
import pytest

from edgewright.runtime.contract import HEADS
from edgewright.runtime.contract.heads import Head


def scores_of(*rows: list[float]) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.array(rows, np.float32)


def test_softmax_and_logits_decide_for_the_largest_and_the_first_of_equals() -> None:
    scores = scores_of([0.2, 0.5, 0.3], [0.4, 0.4, 0.2])
    for kind in ("softmax", "logits"):
        head = Head(kind=kind, count=3)
        assert head.decisions(scores).tolist() == [1, 0]
        assert (head.labels, head.is_sigmoid, head.is_binary, head.is_multi_label) == (3, False, False, False)
    np.testing.assert_array_equal(Head(kind="softmax", count=3).probabilities(scores), scores)
    huge = Head(kind="logits", count=2).probabilities(scores_of([1000, 998]))
    np.testing.assert_allclose(huge, [[1 / (1 + np.exp(-2)), 1 / (1 + np.exp(2))]], rtol=1e-6)


@pytest.mark.parametrize("kind", ["sigmoid", "sigmoid-logits"])
def test_one_score_is_that_of_the_second_of_two_labels(kind: str) -> None:
    head = Head(kind=kind, count=1)
    scores = scores_of([0.2], [0.9]) if kind == "sigmoid" else scores_of([np.log(0.25)], [np.log(9)])
    assert (head.labels, head.is_binary, head.is_multi_label) == (2, True, False)
    np.testing.assert_allclose(head.probabilities(scores), [[0.8, 0.2], [0.1, 0.9]], rtol=1e-6)
    assert head.decisions(scores).tolist() == [0, 1]
    assert Head(kind=kind, count=1, threshold=0.95).decisions(scores).tolist() == [0, 0]
    assert Head(kind=kind, count=1, threshold=0.1).decisions(scores).tolist() == [1, 1]


def test_several_sigmoids_decide_for_each_label_alone() -> None:
    head = Head(kind="sigmoid", count=3)
    assert (head.labels, head.is_binary, head.is_multi_label) == (3, False, True)
    found = head.decisions(scores_of([0.9, 0.6, 0.5], [0.1, 0.2, 0.3]))
    assert found.tolist() == [[True, True, False], [False, False, False]]
    logits = Head(kind="sigmoid-logits", count=2)
    with np.errstate(all="raise"):
        np.testing.assert_allclose(logits.probabilities(scores_of([-200, 200])), [[0, 1]], atol=1e-7)


def test_an_embedding_has_neither_labels_nor_decisions() -> None:
    head = Head(kind="embedding", count=8)
    assert (head.labels, head.is_embedding) == (0, True)
    for call in (head.probabilities, head.decisions):
        with pytest.raises(ValueError, match="embedding"):
            call(np.zeros((1, 8), np.float32))


def test_every_kind_of_head_says_how_many_labels_it_has() -> None:
    assert {kind: Head(kind=kind, count=4).labels for kind in HEADS} == dict.fromkeys(HEADS, 4) | {
        "embedding": 0
    }
