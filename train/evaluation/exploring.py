"""What can be known of a data set by looking at it."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgewright.runtime import plugins
from edgewright.runtime.errors import MissingExtraError
from edgewright.train.datasets import Dataset, Labels
from edgewright.train.evaluation import plots

_PER_CLASS = 8
_MOST_CLASSES = 20


@dataclass(frozen=True, kw_only=True)
class Exploration:
    """`counts`: label, training and test images of each class or with each label; pixels over both parts."""

    counts: list[tuple[str, int, int]]
    darkest: int
    brightest: int
    mean: float


def explore(dataset: Dataset) -> Exploration:
    train, test = (_counts(y, len(dataset.labels)) for y in (dataset.y_train, dataset.y_test))
    both = (dataset.x_train, dataset.x_test)
    return Exploration(
        counts=[(label, int(a), int(b)) for label, a, b in zip(dataset.labels, train, test, strict=True)],
        darkest=min(int(x.min()) for x in both),
        brightest=max(int(x.max()) for x in both),
        mean=float(sum(x.sum(dtype=np.float64) for x in both) / sum(x.size for x in both)),
    )


def samples(dataset: Dataset) -> bytes:
    """A PNG of the first training images of each class, or with each label, a row each."""
    if not plugins.installed("matplotlib"):
        raise MissingExtraError("matplotlib, which draws samples,", "train")
    chosen, titles = [], []
    for number, label in enumerate(dataset.labels[:_MOST_CLASSES]):
        y = dataset.y_train
        of_class = np.flatnonzero(y[:, number] if dataset.is_multi_label else y == number)[:_PER_CLASS]
        chosen += of_class.tolist()
        titles += [label] * len(of_class)
    png = io.BytesIO()
    plots.samples(dataset.x_train[chosen], titles, f"{dataset.name}: training images", png)
    return png.getvalue()


def _counts(y: Labels, classes: int) -> NDArray[np.int64]:
    return y.sum(axis=0) if y.ndim == 2 else np.bincount(y, minlength=classes)
