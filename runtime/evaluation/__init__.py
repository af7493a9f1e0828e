"""How good a model file is on labelled pictures: accuracy, classes, confusion, calibration, worst mistakes.

What runs on a device is what is judged: pictures go the same way as in `predict`, on all cores.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewright.runtime.backends import Scores
from edgewright.runtime.console import Progress, silent
from edgewright.runtime.contract.heads import NUMBERS
from edgewright.runtime.errors import DataError, ImageError, InputError, ModelFileError
from edgewright.runtime.evaluation import labelled, metrics
from edgewright.runtime.evaluation.labelled import Labelled
from edgewright.runtime.evaluation.metrics import Share
from edgewright.runtime.foreign import BY_NUMBER
from edgewright.runtime.machine.threads import cores
from edgewright.runtime.pictures import through
from edgewright.runtime.predictor import FailedImage, Predictor, load

MOST_MISTAKES = 100  # that are kept
_MOST_CLASSES = 4096  # of a confusion matrix


@dataclass(frozen=True, kw_only=True)
class ClassFigures:
    """One class or label: images of it, precision, recall, F1 (0 where there are none); the area under the
    ROC curve of a sigmoid, None where all or none of the images have the label."""

    label: str
    images: int
    precision: float
    recall: float
    f1: float
    auc: float | None = None


@dataclass(frozen=True, kw_only=True)
class Confused:
    """So many images of `truth` were taken for `guess`, and their share of those of `truth`."""

    truth: str
    guess: str
    images: int
    share: float


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """A picture that was decided wrongly, with the probability of what it was taken for. Of several labels,
    `guess` is the label with `not` in front where it was not given, and `truth` the other."""

    picture: str
    truth: str
    guess: str
    probability: float


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What came of it. Intervals are Wilson's at 95 %.

    Of classes that exclude each other there are `accuracy`, `top` (the class is among the `k` most probable),
    `confusion` `(labels, labels)` (row: truth; None of more than 4,096 classes) and the pairs that are
    `confused` most. Of several labels `exact_match` (every label of a picture is right), `label_accuracy`
    (the mean share of labels that are). `macro_f1` and `macro_auc` are means over the classes that have
    images, and over the labels that some and not all have. `calibration_error` has 15 bins; `brier` is as in
    `edgewright.runtime.evaluation.metrics`. `mistakes` are the most confident ones. `left_out` names
    pictures that could not be read, with the reason; `notes` are lines for the user.
    """

    model: str
    variant: str
    data: str
    head: str
    threshold: float | None
    labels: tuple[str, ...]
    images: int
    seconds: float
    accuracy: Share | None = None
    k: int | None = None
    top: Share | None = None
    exact_match: Share | None = None
    label_accuracy: float | None = None
    macro_precision: float
    macro_recall: float
    macro_f1: float
    macro_auc: float | None = None
    calibration_error: float
    brier: float
    classes: tuple[ClassFigures, ...]
    confusion: NDArray[np.int64] | None = dataclasses.field(default=None, compare=False)
    confused: tuple[Confused, ...] = ()
    mistakes: tuple[Mistake, ...]
    left_out: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON takes it."""
        matrix = None if self.confusion is None else self.confusion.tolist()
        told = dataclasses.asdict(dataclasses.replace(self, confusion=None))
        left = [{"picture": picture, "error": error} for picture, error in self.left_out]
        return {"schema_version": 1, **told, "confusion": matrix, "left_out": left}


def evaluate(
    path: str | os.PathLike[str],
    data: str | os.PathLike[str],
    *,
    top: int = 5,
    threads: int = 1,
    variant: str | None = None,
    backend: str | None = None,
    progress: Progress = silent,
    labels: Sequence[str] | None = None,
    **said: Any,
) -> Evaluation:
    """Judge a bundle, or one .tflite or .onnx file, on labelled pictures.

    Args:
        path: a bundle folder or a model file, of others too.
        data: class folders, or a .zip of them (of `train` and `test` folders `test`); an .npz with `x` and
            `y`, or `x_test` and `y_test`; a .csv of `image,label` or a column a label. Classes are matched
            with the model's labels by name; if no name matches and there are as many, in sorted order.
        top: k of the top-k accuracy; left out where there are no more classes.
        threads: of each interpreter; there are as many interpreters as that leaves cores for.
        variant, backend: as in `edgewright.runtime.load`.
        progress: is told how far it is.
        labels, said: of a file that carries no contract, as `load` takes it: `input_range`, `mean`, `std`,
            `head`, `threshold`, `size`. Without labels its classes are those of the data, or numbers.

    Raises:
        DataError: data that cannot be used, or classes that are not the model's.
        InputError: an embedding, which decides nothing; options that cannot be.
        EdgewrightError: whatever `load` raises.
    """
    path, data = Path(path), Path(data)
    if top < 1:
        raise InputError(f"expected top of at least 1, got {top}")
    found = labelled.read(data)
    start = time.perf_counter()
    labels = NUMBERS if labels is None else labels
    with load(path, threads=threads, variant=variant, backend=backend, labels=labels, **said) as predictor:
        if predictor.head.is_embedding:
            raise InputError(f"expected a model that names classes, got {path}, which gives an embedding")
        known = _truth(found, predictor, data)
        workers = max(1, cores() // threads)
        judged, scores, left_out = _scores(predictor, found, workers, progress)
    if not judged:
        raise DataError(f"expected pictures that can be read in {data}, got none; {left_out[0][1]}")
    return _judged(
        predictor,
        scores,
        dataclasses.replace(known, truth=known.truth[judged]),
        [found.pictures[i].name for i in judged],
        top,
        about={
            "model": str(path),
            "variant": predictor.contract.variant,
            "data": str(data),
            "seconds": time.perf_counter() - start,
            "left_out": tuple(left_out),
            "notes": known.notes,
        },
    )


@dataclass(frozen=True, kw_only=True)
class _Truth:
    """`truth` in terms of `labels`: class numbers `(n,)`, or bool `(n, labels)`. `columns` are the places of
    the labels among the model's scores, where a picture may have several: others are not judged."""

    labels: tuple[str, ...]
    truth: NDArray[Any]
    columns: NDArray[np.int64] | None = None
    notes: tuple[str, ...]


def _truth(found: Labelled, predictor: Predictor, data: Path) -> _Truth:
    """What the data say, in the model's terms. Raises `DataError`."""
    labels, truth, head = predictor.contract.labels, found.truth, predictor.head
    if truth.ndim == 2 and not head.is_multi_label:
        raise DataError(
            f"expected one class a picture in {data}, as {predictor.contract.name} gives one, got several"
        )
    names, notes, said = found.names, tuple[str, ...](), list(predictor.assumptions)
    if names is None:
        width = truth.shape[1] if truth.ndim == 2 else int(truth.max()) + 1
        if width > len(labels) or (truth.ndim == 2 and width != len(labels)):
            raise DataError(f"expected classes from 0 to {len(labels) - 1} in {data}, got {width} of them")
        names, places = labels[:width], np.arange(width)
    else:
        places, notes = labelled.align(names, labels, data)
        if notes and BY_NUMBER in said:
            labels, said = names, [line for line in said if line != BY_NUMBER]
            notes = (f"classes are called by the sorted names in {data}",)
    notes = (*said, *found.notes, *notes)
    if not head.is_multi_label:
        return _Truth(labels=labels, truth=places[truth], notes=notes)
    if truth.ndim == 1:
        notes = (*notes, "each picture has one label, so every other is taken to be wrong for it")
        truth = truth[:, None] == np.arange(len(names))
    if others := sorted(set(labels) - {labels[place] for place in places}):
        notes = (*notes, f"{len(others)} labels that {data} does not name are not judged: {others[0]}, …")
    order = np.argsort(places)
    chosen = places[order]
    return _Truth(labels=tuple(labels[i] for i in chosen), truth=truth[:, order], columns=chosen, notes=notes)


def _scores(
    predictor: Predictor, found: Labelled, workers: int, progress: Progress
) -> tuple[list[int], Scores, list[tuple[str, str]]]:
    """Which pictures were read, the scores of those `(n, scores)`, and the others with the reason."""
    judged: list[int] = []
    left_out: list[tuple[str, str]] = []
    scores = np.empty((len(found.pictures), predictor.head.count), np.float32)

    def work(sources: Iterator[Any]) -> Iterator[Scores | FailedImage]:
        return predictor.scores_many(sources, workers=workers)

    for place, (picture, outcome) in enumerate(through(found.pictures, work)):
        progress("evaluating", place + 1, len(found.pictures))
        failure = outcome.error if isinstance(outcome, FailedImage) else outcome
        if isinstance(failure, ImageError):
            left_out.append((picture.name, str(failure)))
            continue
        scores[len(judged)] = failure
        judged.append(place)
    scores = scores[: len(judged)]
    if not np.isfinite(scores).all():
        first = judged[int(np.flatnonzero(~np.isfinite(scores).all(1))[0])]
        raise ModelFileError(
            f"expected numbers as scores, got others from {predictor.contract.name} for "
            f"{found.pictures[first].name}"
        )
    return judged, scores, left_out


def _judged(
    predictor: Predictor,
    scores: Scores,
    known: _Truth,
    names: Sequence[str],
    top: int,
    about: dict[str, Any],
) -> Evaluation:
    """All figures of scores `(n, scores)` beside the truth; `names` are those of the pictures."""
    head, labels, truth = predictor.head, known.labels, known.truth
    probabilities, decided = head.probabilities(scores), head.decisions(scores)
    if known.columns is not None:
        scores, probabilities, decided = (a[:, known.columns] for a in (scores, probabilities, decided))
    rates = metrics.rates(truth, decided, len(labels))
    areas: list[float | None] = [None] * len(labels)
    if head.is_multi_label:
        areas = [metrics.auc(scores[:, i], truth[:, i]) for i in range(len(labels))]
    elif head.is_binary:
        areas[1] = metrics.auc(scores[:, 0], truth == 1)
    with_images = rates.images > 0
    known_areas = [area for area in areas if area is not None]
    figures: dict[str, Any] = {
        "macro_precision": float(rates.precision[with_images].mean()) if with_images.any() else 0.0,
        "macro_recall": float(rates.recall[with_images].mean()) if with_images.any() else 0.0,
        "macro_f1": float(rates.f1[with_images].mean()) if with_images.any() else 0.0,
        "macro_auc": float(np.mean(known_areas)) if known_areas else None,
        "brier": metrics.brier(probabilities, truth),
    }
    if head.is_multi_label:
        right = (truth == decided).all(1)
        figures |= {
            "exact_match": metrics.wilson(int(right.sum()), len(truth)),
            "label_accuracy": float((truth == decided).mean()),
            "calibration_error": metrics.calibration_error(probabilities.ravel(), truth.ravel()),
            "mistakes": _label_mistakes(probabilities, truth, decided, labels, names),
        }
    else:
        right = truth == decided
        confidence = probabilities[np.arange(len(truth)), decided]
        figures |= {
            "accuracy": metrics.wilson(int(right.sum()), len(truth)),
            "calibration_error": metrics.calibration_error(confidence, right),
            "mistakes": _mistakes(confidence, truth, decided, labels, names),
            "confused": _confused(truth, decided, labels, rates.images),
        }
        if len(labels) <= _MOST_CLASSES:
            figures["confusion"] = metrics.confusion(truth, decided, len(labels))
        if top < len(labels) and top > 1:
            hits = metrics.top_hits(probabilities, truth, top)
            figures |= {"k": top, "top": metrics.wilson(hits, len(truth))}
    classes = tuple(
        ClassFigures(label=label, images=int(n), precision=float(p), recall=float(r), f1=float(f), auc=area)
        for label, n, p, r, f, area in zip(
            labels, rates.images, rates.precision, rates.recall, rates.f1, areas, strict=True
        )
    )
    return Evaluation(
        **about,
        **figures,
        head=head.kind,
        threshold=head.threshold if head.is_sigmoid else None,
        labels=labels,
        images=len(truth),
        classes=classes,
    )


def _confused(
    truth: NDArray[Any], decided: NDArray[Any], labels: Sequence[str], images: NDArray[np.int64]
) -> tuple[Confused, ...]:
    """The pairs of classes that are taken for each other, those with most images first."""
    wrong = truth != decided
    pairs, counts = np.unique(truth[wrong] * len(labels) + decided[wrong], return_counts=True)
    order = np.argsort(-counts, kind="stable")[:MOST_MISTAKES]
    return tuple(
        Confused(
            truth=labels[pair // len(labels)],
            guess=labels[pair % len(labels)],
            images=count,
            share=count / int(images[pair // len(labels)]),
        )
        for pair, count in zip(pairs[order].tolist(), counts[order].tolist(), strict=True)
    )


def _mistakes(
    confidence: NDArray[Any],
    truth: NDArray[Any],
    decided: NDArray[Any],
    labels: Sequence[str],
    names: Sequence[str],
) -> tuple[Mistake, ...]:
    wrong = np.flatnonzero(truth != decided)
    worst = wrong[np.argsort(-confidence[wrong], kind="stable")][:MOST_MISTAKES]
    return tuple(
        Mistake(
            picture=names[i],
            truth=labels[truth[i]],
            guess=labels[decided[i]],
            probability=float(confidence[i]),
        )
        for i in worst
    )


def _label_mistakes(
    probabilities: Scores,
    truth: NDArray[Any],
    decided: NDArray[Any],
    labels: Sequence[str],
    names: Sequence[str],
) -> tuple[Mistake, ...]:
    images, places = np.nonzero(truth != decided)
    yes = decided[images, places]
    confidence = np.where(yes, probabilities[images, places], 1 - probabilities[images, places])
    worst = np.argsort(-confidence, kind="stable")[:MOST_MISTAKES]

    def called(place: int, given: bool) -> str:
        return labels[place] if given else f"not {labels[place]}"

    return tuple(
        Mistake(
            picture=names[images[i]],
            truth=called(places[i], not yes[i]),
            guess=called(places[i], bool(yes[i])),
            probability=float(confidence[i]),
        )
        for i in worst
    )
