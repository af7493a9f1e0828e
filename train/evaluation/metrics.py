"""How good a classifier is, from one prediction: scikit-learn's figures, plus the cross-entropy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewright.runtime.backends import Scores
from edgewright.train.datasets import Labels


def probabilities(scores: Scores, head: str) -> Scores:
    """Scores as probabilities: their softmax if they are `logits`."""
    if head == "softmax":
        return scores
    powers: Scores = np.exp(scores - scores.max(axis=1, keepdims=True))
    shares: Scores = powers / powers.sum(axis=1, keepdims=True)
    return shares


def summary(scores: Scores, labels: Labels) -> dict[str, float]:
    """Cross-entropy `loss`, `accuracy`, and macro `f1`, `precision`, `recall`.

    Args:
        scores: probabilities `(n, classes)`.
        labels: class numbers `(n,)`.
    """
    from sklearn.metrics import precision_recall_fscore_support

    guesses = scores.argmax(1)
    precision, recall, f1, _ = precision_recall_fscore_support(
        labels, guesses, average="macro", zero_division=0.0
    )
    chosen = np.clip(scores[np.arange(len(labels)), labels], 1e-7, 1.0)
    return {
        "loss": float(-np.log(chosen).mean()),
        "accuracy": float((guesses == labels).mean()),
        "f1": float(f1),
        "precision": float(precision),
        "recall": float(recall),
    }


def per_class(scores: Scores, labels: Labels, names: Sequence[str]) -> list[dict[str, Any]]:
    """A row a class: label, precision, recall, f1, number of images."""
    from sklearn.metrics import precision_recall_fscore_support

    columns = precision_recall_fscore_support(
        labels, scores.argmax(1), labels=range(len(names)), zero_division=0.0
    )
    return [
        {"label": name, "precision": float(p), "recall": float(r), "f1": float(f), "images": int(n)}
        for name, p, r, f, n in zip(names, *columns, strict=True)
    ]


def confusion(scores: Scores, labels: Labels) -> NDArray[np.int64]:
    """How many images of each class (row) were taken for each class (column)."""
    from sklearn.metrics import confusion_matrix

    matrix: NDArray[np.int64] = confusion_matrix(labels, scores.argmax(1), labels=range(scores.shape[1]))
    return matrix


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """A wrongly labelled image: its index, true and guessed class, and the guess' probability."""

    index: int
    truth: int
    guess: int
    probability: float


def worst_mistakes(scores: Scores, labels: Labels, count: int) -> list[Mistake]:
    """The most confident mistakes, most confident first."""
    guesses = scores.argmax(1)
    confidence = scores.max(1)
    wrong = np.flatnonzero(guesses != labels)
    ordered = wrong[np.argsort(-confidence[wrong], kind="stable")][:count]
    return [
        Mistake(index=int(i), truth=int(labels[i]), guess=int(guesses[i]), probability=float(confidence[i]))
        for i in ordered
    ]
