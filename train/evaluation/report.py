"""What a training run leaves to look at: curves, per-class figures, confusion matrix, error sheet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgewright.runtime.backends import Scores
from edgewright.runtime.disk import jsonio, tables
from edgewright.train.datasets import Dataset
from edgewright.train.evaluation import metrics, plots

CURVES = ("accuracy.png", "loss.png", "f1.png")
OTHERS = ("evaluation.json", "classes.csv", "mistakes.png")
CONFUSION = ("confusion.csv", "confusion.png")  # of classes that exclude each other
FILES = CURVES + OTHERS + CONFUSION
_SHOWN = 40  # mistakes on the sheet


def write(
    folder: Path, history: Sequence[dict[str, float]], best_epoch: int, dataset: Dataset, scores: Scores
) -> None:
    """Write `FILES` into `folder`; `CONFUSION` not where an image may have several labels.

    Args:
        history: figures an epoch, as `edgewright.train.fitting.fit` notes them.
        best_epoch: the epoch that was kept, from 1.
        dataset: its test images are judged.
        scores: the kept model's probabilities of the test images, `(n, labels)`.
    """
    labels = dataset.y_test
    classes = metrics.per_class(scores, labels, dataset.labels)
    mistakes = metrics.worst_mistakes(scores, labels, _SHOWN)
    plots.curves(history, best_epoch, folder)
    plots.mistakes(mistakes, dataset, folder / "mistakes.png")
    found: dict[str, Any] = {"test": metrics.summary(scores, labels), "classes": classes}
    if not dataset.is_multi_label:
        matrix = metrics.confusion(scores, labels)
        plots.confusion(matrix, dataset.labels, folder / "confusion.png")
        found["confusion"] = matrix.tolist()
        rows = [[label, *row] for label, row in zip(dataset.labels, matrix.tolist(), strict=True)]
        _csv(folder / "confusion.csv", ["truth \\ guess", *dataset.labels], rows)
    found["most_confident_mistakes"] = [_named(mistake, dataset) for mistake in mistakes]
    (folder / "evaluation.json").write_bytes(jsonio.dump(found))
    _csv(folder / "classes.csv", list(classes[0]), [list(row.values()) for row in classes])


def write_history(path: Path, history: Sequence[dict[str, float]]) -> None:
    """A row an epoch, from 1."""
    rows = [[i, *(f"{value:.6f}" for value in row.values())] for i, row in enumerate(history, start=1)]
    _csv(path, ["epoch", *history[0]], rows)


def _named(mistake: metrics.Mistake, dataset: Dataset) -> dict[str, Any]:
    """A mistake with the names of labels, and of the file that the image was in."""
    truth, guess = (
        None if number is None else dataset.labels[number] for number in (mistake.truth, mistake.guess)
    )
    return {
        "test_image": mistake.index,
        **({"file": dataset.origin.test[mistake.index]} if dataset.origin else {}),
        "truth": truth,
        "guess": guess,
        "probability": mistake.probability,
    }


def _csv(path: Path, header: list[str], rows: Sequence[Sequence[Any]]) -> None:
    path.write_text(tables.rows([header, *rows]), encoding="utf-8", newline="")
