"""Metrics against figures worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from edgewright.train.evaluation import metrics

LABELS = np.array([0, 0, 1, 1, 2])
SCORES = np.array(
    [[0.8, 0.1, 0.1], [0.3, 0.6, 0.1], [0.1, 0.9, 0.0], [0.0, 1.0, 0.0], [0.5, 0.3, 0.2]], np.float32
)


def test_metrics_summary_is_macro_averaged() -> None:
    found = metrics.summary(SCORES, LABELS)
    assert found["accuracy"] == pytest.approx(3 / 5)
    assert found["precision"] == pytest.approx((1 / 2 + 2 / 3 + 0) / 3)
    assert found["recall"] == pytest.approx((1 / 2 + 1 + 0) / 3)
    assert found["f1"] == pytest.approx((1 / 2 + 4 / 5 + 0) / 3)
    assert found["loss"] == pytest.approx(-np.log([0.8, 0.3, 0.9, 1.0, 0.2]).mean(), rel=1e-6)


def test_metrics_per_class_and_confusion_count_every_image() -> None:
    rows = metrics.per_class(SCORES, LABELS, ("a", "b", "c"))
    assert [row["images"] for row in rows] == [2, 2, 1]
    assert rows[1] == {"label": "b", "precision": 2 / 3, "recall": 1.0, "f1": 0.8, "images": 2}
    assert metrics.confusion(SCORES, LABELS).tolist() == [[1, 1, 0], [0, 2, 0], [1, 0, 0]]


def test_worst_mistakes_begin_with_the_most_confident() -> None:
    found = metrics.worst_mistakes(SCORES, LABELS, 5)
    assert [(m.index, m.truth, m.guess) for m in found] == [(1, 0, 1), (4, 2, 0)]
    assert found[0].probability == pytest.approx(0.6)
    assert len(metrics.worst_mistakes(SCORES, LABELS, 1)) == 1


def test_probabilities_of_logits_are_their_softmax() -> None:
    logits = np.array([[1000.0, 999.0], [0.0, 0.0]], np.float32)
    expected = [[np.e / (1 + np.e), 1 / (1 + np.e)], [0.5, 0.5]]
    np.testing.assert_allclose(metrics.probabilities(logits, "logits"), expected, rtol=1e-6)
    assert metrics.probabilities(logits, "softmax") is logits


FLAGS = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 0]], bool)
CHANCES = np.array([[0.9, 0.6, 0.1], [0.4, 0.8, 0.2], [0.3, 0.7, 0.1], [0.2, 0.1, 0.6]], np.float32)


def test_metrics_summary_of_several_labels_is_over_labels() -> None:
    found = metrics.summary(CHANCES, FLAGS)
    assert found["accuracy"] == pytest.approx(9 / 12)
    assert found["exact"] == pytest.approx(1 / 4)
    assert found["f1"] == pytest.approx((2 / 3 + 4 / 5 + 0) / 3)
    assert found["auc"] == pytest.approx((1.0 + 1.0) / 2)  # no image has the third
    right = np.where(FLAGS, CHANCES, 1 - CHANCES)
    assert found["loss"] == pytest.approx(-np.log(right).mean(), rel=1e-6)


def test_metrics_per_class_of_several_labels_has_a_row_a_label() -> None:
    rows = metrics.per_class(CHANCES, FLAGS, ("a", "b", "c"))
    assert [row["images"] for row in rows] == [2, 2, 0]
    assert [row["auc"] for row in rows] == [1.0, 1.0, None]


def test_worst_mistakes_of_several_labels_are_missed_or_wrongly_given() -> None:
    found = metrics.worst_mistakes(CHANCES, FLAGS, 5)
    assert {(m.index, m.truth, m.guess) for m in found} == {(1, 0, None), (0, None, 1), (3, None, 2)}


def test_metrics_summary_weighs_the_loss_alone() -> None:
    weights = np.array([1, 0, 0, 0, 1], np.float32)
    found = metrics.summary(SCORES, LABELS, weights)
    assert found["loss"] == pytest.approx(-np.log([0.8, 0.2]).mean(), rel=1e-6)
    assert found["accuracy"] == metrics.summary(SCORES, LABELS)["accuracy"]


def test_probabilities_of_one_sigmoid_are_those_of_both_classes() -> None:
    scores = np.array([[0.2], [0.9]], np.float32)
    np.testing.assert_allclose(metrics.probabilities(scores, "sigmoid"), [[0.8, 0.2], [0.1, 0.9]], rtol=1e-6)
