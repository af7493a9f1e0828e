"""Figures of scores are those of scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest

from edgewright.export.proof.figures import figures_beside
from edgewright.runtime.contract.heads import Head


def test_macro_f1_and_auc_are_those_of_scikit_learn() -> None:
    from sklearn.metrics import f1_score, roc_auc_score

    random = np.random.default_rng(0)
    truth = random.random((200, 5)) < 0.3
    scores = np.round(random.random((200, 5)) * 0.6 + truth * 0.3, 1).astype(np.float32)
    found = figures_beside(Head(kind="sigmoid", count=5), scores, truth)
    assert found["macro_f1"] == pytest.approx(f1_score(truth, scores > 0.5, average="macro"))
    assert found["auc"] == pytest.approx(roc_auc_score(truth, scores, average="macro"))
    one = figures_beside(Head(kind="sigmoid", count=1), scores[:, :1], truth[:, 0].astype(int))
    assert one["auc"] == pytest.approx(roc_auc_score(truth[:, 0], scores[:, 0]))
