"""What can be known of a data set by looking at it."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np

from edgewright.runtime import plugins
from edgewright.runtime.errors import MissingExtraError
from edgewright.train.datasets import Dataset
from edgewright.train.evaluation import plots

_PER_CLASS = 8
_MOST_CLASSES = 20


@dataclass(frozen=True, kw_only=True)
class Exploration:
    """`counts`: label, training and test images of each class; pixels over both parts; `duplicates`: test
    images that also occur, to the pixel, in training."""

    counts: list[tuple[str, int, int]]
    darkest: int
    brightest: int
    mean: float
    duplicates: int


def explore(dataset: Dataset) -> Exploration:
    classes = len(dataset.labels)
    train, test = (np.bincount(y, minlength=classes) for y in (dataset.y_train, dataset.y_test))
    known = {image.tobytes() for image in dataset.x_train}
    both = (dataset.x_train, dataset.x_test)
    return Exploration(
        counts=[(label, int(a), int(b)) for label, a, b in zip(dataset.labels, train, test, strict=True)],
        darkest=min(int(x.min()) for x in both),
        brightest=max(int(x.max()) for x in both),
        mean=float(sum(x.sum(dtype=np.float64) for x in both) / sum(x.size for x in both)),
        duplicates=sum(image.tobytes() in known for image in dataset.x_test),
    )


def samples(dataset: Dataset) -> bytes:
    """A PNG of the first training images of each class, a row a class."""
    if not plugins.installed("matplotlib"):
        raise MissingExtraError("matplotlib, which draws samples,", "train")
    chosen, titles = [], []
    for number, label in enumerate(dataset.labels[:_MOST_CLASSES]):
        of_class = np.flatnonzero(dataset.y_train == number)[:_PER_CLASS]
        chosen += of_class.tolist()
        titles += [label] * len(of_class)
    png = io.BytesIO()
    plots.samples(dataset.x_train[chosen], titles, f"{dataset.name}: training images", png)
    return png.getvalue()
