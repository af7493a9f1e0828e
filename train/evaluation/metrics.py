"""How good a classifier is, from one prediction: scikit-learn's figures, plus the cross-entropy.

Of classes that exclude each other, or (bool labels) of several labels an image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewright.runtime.backends import Scores
from edgewright.runtime.contract import THRESHOLD
from edgewright.runtime.contract.heads import Head
from edgewright.train.datasets import Labels

_LEAST = 1e-7  # probability, as Keras clips it


def probabilities(scores: Scores, head: str) -> Scores:
    """Scores `(n, count)` as probabilities `(n, labels)`: of a sigmoid alone those of both classes."""
    return Head(kind=head, count=scores.shape[1]).probabilities(scores)


def summary(scores: Scores, labels: Labels, weights: NDArray[np.float32] | None = None) -> dict[str, float]:
    """Cross-entropy `loss`, `accuracy`, and macro `f1`, `precision`, `recall`.

    Where an image may have several labels, `accuracy` is the share of right ones among all, a yes above
    .5; `exact` that of images all of whose labels are right; `auc` the mean area under the ROC curve, over
    labels that some images have and some have not (0.5 if there is none).

    Args:
        scores: probabilities `(n, labels)`.
        labels: class numbers `(n,)`, or bool `(n, labels)`.
        weights: of the images in the loss `(n,)`.
    """
    from sklearn.metrics import precision_recall_fscore_support

    guesses = _guesses(scores, labels)
    precision, recall, f1, _ = precision_recall_fscore_support(
        labels, guesses, average="macro", zero_division=0.0
    )
    found = {
        "loss": float(np.average(_losses(scores, labels), weights=weights)),
        "accuracy": float((guesses == labels).mean()),
        "f1": float(f1),
        "precision": float(precision),
        "recall": float(recall),
    }
    if labels.ndim == 2:
        areas = [
            area for i in range(labels.shape[1]) if (area := _auc(scores[:, i], labels[:, i])) is not None
        ]
        found["exact"] = float((guesses == labels).all(axis=1).mean())
        found["auc"] = float(np.mean(areas)) if areas else 0.5
    return found


def per_class(scores: Scores, labels: Labels, names: Sequence[str]) -> list[dict[str, Any]]:
    """A row a class: label, precision, recall, f1, number of images; of several labels an image `auc` too,
    None where all images or none have the label."""
    from sklearn.metrics import precision_recall_fscore_support

    several = labels.ndim == 2
    columns = precision_recall_fscore_support(
        labels, _guesses(scores, labels), labels=range(len(names)), average=None, zero_division=0.0
    )
    rows: list[dict[str, Any]] = [
        {"label": name, "precision": float(p), "recall": float(r), "f1": float(f), "images": int(n)}
        for name, p, r, f, n in zip(names, *columns, strict=True)
    ]
    if several:
        for i, row in enumerate(rows):
            row["auc"] = _auc(scores[:, i], labels[:, i])
    return rows


def confusion(scores: Scores, labels: Labels) -> NDArray[np.int64]:
    """How many images of each class (row) were taken for each class (column)."""
    from sklearn.metrics import confusion_matrix

    matrix: NDArray[np.int64] = confusion_matrix(labels, scores.argmax(1), labels=range(scores.shape[1]))
    return matrix


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """A wrongly labelled image: its index, true and guessed class, and the guess' probability.

    Where an image may have several labels: `truth` is the label it has and `guess` None, or the other way
    round; `probability` is that of the label.
    """

    index: int
    truth: int | None
    guess: int | None
    probability: float


def worst_mistakes(scores: Scores, labels: Labels, count: int) -> list[Mistake]:
    """The most confident mistakes, most confident first."""
    if labels.ndim == 2:
        apart = np.abs(scores - labels)
        images, columns = np.nonzero(_guesses(scores, labels) != labels)
        order = np.argsort(-apart[images, columns], kind="stable")[:count]
        return [
            Mistake(
                index=int(i),
                truth=int(k) if labels[i, k] else None,
                guess=None if labels[i, k] else int(k),
                probability=float(scores[i, k]),
            )
            for i, k in zip(images[order], columns[order], strict=True)
        ]
    guesses = scores.argmax(1)
    confidence = scores.max(1)
    wrong = np.flatnonzero(guesses != labels)
    ordered = wrong[np.argsort(-confidence[wrong], kind="stable")][:count]
    return [
        Mistake(index=int(i), truth=int(labels[i]), guess=int(guesses[i]), probability=float(confidence[i]))
        for i in ordered
    ]


def _guesses(scores: Scores, labels: Labels) -> NDArray[Any]:
    """Class numbers, or bool flags, as `labels` are."""
    return scores > THRESHOLD if labels.ndim == 2 else scores.argmax(1)


def _losses(scores: Scores, labels: Labels) -> NDArray[np.float32]:
    """The cross-entropy of each image, `(n,)`; of several labels their mean."""
    right = (
        np.where(labels, scores, 1 - scores) if labels.ndim == 2 else scores[np.arange(len(labels)), labels]
    )
    losses: NDArray[np.float32] = -np.log(np.clip(right, _LEAST, 1.0))
    return losses.mean(axis=1) if losses.ndim == 2 else losses


def _auc(scores: Scores, flags: NDArray[np.bool_]) -> float | None:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(flags, scores)) if flags.any() and not flags.all() else None
