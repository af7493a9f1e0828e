"""Which score stands for which class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgewright.export.proof.figures import Truth
from edgewright.runtime.contract.heads import Head
from edgewright.runtime.disk import outside
from edgewright.runtime.errors import DataError, InputError
from edgewright.train.datasets import Labels


def read_labels(path: Path) -> tuple[str, ...]:
    """The file's labels, one a line. Raises `InputError`."""
    labels = tuple(line.strip() for line in outside.lines(path, InputError))
    while labels and not labels[-1]:
        labels = labels[:-1]
    if "" in labels:
        raise InputError(f"expected a label a line in {path}, got an empty line {labels.index('') + 1}")
    return labels


@dataclass(frozen=True)
class Classes:
    """Which score stands for which class: `labels` where the user gave them, else only what `head` says."""

    labels: tuple[str, ...] | None
    head: Head

    def settle(self, found: Sequence[str], truth: Labels, where: object) -> tuple[tuple[str, ...], Truth]:
        """The labels of all scores, and `truth`, which counts the labels `found`, in their order.

        Args:
            found: names of class folders or of a table's labels; none where numbers were given.
            truth: class numbers `(n,)`, or of several labels bool `(n, labels)`.

        Without labels, as many class folders as scores are taken in the order of their names, as
        Keras and torchvision read them; fewer must be called by the numbers of their scores.

        Raises:
            DataError: a name or number that stands for no score, or one label an image where a model gives
                several, or the other way round.
        """
        if (truth.ndim == 2) != self.head.is_multi_label:
            several = "a yes or no for each label (a table image,NAME,…, or y of (n, labels))"
            kinds = ("one class an image", several)
            expected, got = kinds[::-1] if self.head.is_multi_label else kinds
            raise DataError(
                f"expected {expected} in {where}, as the model gives {self.head.count} {self.head.kind} "
                f"scores, got {got}; --head says what they are, if not that"
            )
        labels = self.labels or self.numbered
        if not found:
            return labels, self._checked(truth, where)
        if self.labels is None and len(found) == self.head.labels:
            return tuple(found), truth
        for name in found:
            if labels.count(name) != 1:
                count = self.head.labels
                known = f"one of {count} labels" if self.labels else f"a number from 0 to {count - 1}"
                cure = "call folders by the labels" if self.labels else "add --labels"
                raise DataError(f"expected class folders in {where} to be {known}, got '{name}'; {cure}")
        places = np.array([labels.index(name) for name in found], np.int64)
        if truth.ndim == 1:
            return labels, places[truth]
        flags = np.zeros((len(truth), len(labels)), bool)
        flags[:, places] = truth
        return labels, flags

    @property
    def numbered(self) -> tuple[str, ...]:
        return tuple(str(i) for i in range(self.head.labels))

    def _checked(self, truth: Labels, where: object) -> Labels:
        count = self.head.labels
        if truth.ndim == 2 and truth.shape[1] != count:
            raise DataError(f"expected {count} labels an image in {where}, got {truth.shape[1]}")
        if truth.ndim == 1 and int(truth.max()) >= count:
            raise DataError(
                f"expected class numbers from 0 to {count - 1} in {where}, got {int(truth.max())}"
            )
        return truth
