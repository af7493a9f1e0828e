"""The figures are scikit-learn's, and the intervals cover."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn import metrics as sklearn

from edgewright.runtime.evaluation import metrics

RANDOM = np.random.default_rng(5)
TRUTH = RANDOM.integers(0, 6, 300)  # of 7 classes: one has no images
PROBABILITIES = RANDOM.dirichlet(np.full(7, 0.7), 300).astype(np.float32)
DECIDED = PROBABILITIES.argmax(1)
FLAGS, SCORES = RANDOM.random((300, 4)) < 0.3, RANDOM.random((300, 4)).astype(np.float32).round(2)


def test_rates_are_those_of_scikit_learn() -> None:
    for truth, decided, labels in ((TRUTH, DECIDED, 7), (FLAGS, SCORES > 0.5, 4)):
        found = metrics.rates(truth, decided, labels)
        p, r, f, n = sklearn.precision_recall_fscore_support(
            truth, decided, labels=range(labels), zero_division=0.0
        )
        assert np.allclose(found.precision, p) and np.allclose(found.recall, r)
        assert np.allclose(found.f1, f) and np.array_equal(found.images, n)


def test_confusion_and_top_hits_are_those_of_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    assert np.array_equal(
        metrics.confusion(TRUTH, DECIDED, 7), sklearn.confusion_matrix(TRUTH, DECIDED, labels=range(7))
    )
    monkeypatch.setattr(metrics, "_CHUNK", 77)
    for k in (1, 2, 5):
        share = sklearn.top_k_accuracy_score(TRUTH, PROBABILITIES, k=k, labels=range(7))
        assert metrics.top_hits(PROBABILITIES, TRUTH, k) == round(share * 300)
    ties = np.array([[0.5, 0.5, 0.0], [0.5, 0.5, 0.0]], np.float32)
    assert metrics.top_hits(ties, np.array([0, 1]), 1) == 1  # of equal ones the lower number first


def test_auc_is_that_of_scikit_learn_with_ties() -> None:
    for i in range(4):
        expected = sklearn.roc_auc_score(FLAGS[:, i], SCORES[:, i])
        assert metrics.auc(SCORES[:, i], FLAGS[:, i]) == pytest.approx(expected)
    assert metrics.auc(SCORES[:, 0], np.zeros(300, bool)) is None
    assert metrics.auc(SCORES[:, 0], np.ones(300, bool)) is None


def test_brier_is_that_of_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "_CHUNK", 77)
    expected = ((PROBABILITIES - np.eye(7)[TRUTH]) ** 2).sum(1).mean()
    assert metrics.brier(PROBABILITIES, TRUTH) == pytest.approx(expected, rel=1e-6)
    yes = SCORES[:, :1]
    both = np.concatenate([1 - yes, yes], 1)
    expected = sklearn.brier_score_loss(FLAGS[:, 0], SCORES[:, 0])
    assert metrics.brier(both, FLAGS[:, 0].astype(int)) == pytest.approx(expected, rel=1e-6)
    assert metrics.brier(SCORES, FLAGS) == pytest.approx(((SCORES - FLAGS) ** 2).mean(), rel=1e-6)


def test_calibration_error_by_hand() -> None:
    confidence = np.array([1.0, 1.0, 1.0, 0.5, 0.5, 0.0])
    right = np.array([True, True, False, True, False, False])
    # bins of 1.0: |3 - 2|, of .5: |1 - 1|, of 0: 0, over six
    assert metrics.calibration_error(confidence, right) == pytest.approx(1 / 6)
    edge = np.array([1 / 15, np.nextafter(1 / 15, 1)])  # the first bin ends with 1/15
    assert metrics.calibration_error(edge, np.array([True, False])) == pytest.approx(1 / 2, abs=0.1)


def test_wilson_is_the_score_interval_and_stays_inside() -> None:
    """Newcombe, Statistics in Medicine 17, 1998, 857-872, table I: 81 of 263, 15 of 148, 0 of 20."""
    for hits, count, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0, 0.1611)):
        found = metrics.wilson(hits, count)
        assert (round(found.low, 4), round(found.high, 4)) == (low, high)
    assert metrics.wilson(20, 20).high == 1.0
    random = np.random.default_rng(0)
    covered = [
        found.low <= 0.9 <= found.high
        for hits in random.binomial(200, 0.9, 4000)
        if (found := metrics.wilson(int(hits), 200))
    ]
    assert math.isclose(np.mean(covered), 0.95, abs_tol=0.02)
