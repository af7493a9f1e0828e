"""Which score stands for which class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgewright.runtime.errors import DataError, InputError
from edgewright.train.datasets import Labels


def read_labels(path: Path) -> tuple[str, ...]:
    """The file's labels, one a line. Raises `InputError`."""
    try:
        lines = path.read_text(encoding="utf-8-sig").rstrip().splitlines()
    except (OSError, UnicodeDecodeError) as failure:
        raise InputError(f"cannot read labels from {path}: {failure}") from failure
    labels = tuple(line.strip() for line in lines)
    if "" in labels:
        raise InputError(f"expected a label a line in {path}, got an empty line {labels.index('') + 1}")
    return labels


@dataclass(frozen=True)
class Classes:
    """Which score stands for which class: `labels` where the user gave them, else only how many."""

    labels: tuple[str, ...] | None
    count: int

    def settle(
        self, folders: Sequence[str], numbers: Labels, where: object
    ) -> tuple[tuple[str, ...], Labels]:
        """The labels of all scores, and `numbers`, which count `folders`, as numbers of scores.

        Without labels, as many class folders as scores are taken in the order of their names, as
        Keras and torchvision read them; fewer must be called by the numbers of their scores.

        Raises:
            DataError: a folder or number that stands for no score.
        """
        if not folders:
            return self.labels or self.numbered, self.checked(numbers, where)
        if self.labels is None and len(folders) == self.count:
            return tuple(folders), numbers
        labels = self.labels or self.numbered
        for folder in folders:
            if labels.count(folder) != 1:
                known = (
                    f"one of {self.count} labels" if self.labels else f"a number from 0 to {self.count - 1}"
                )
                cure = "call folders by the labels" if self.labels else "add --labels"
                raise DataError(f"expected class folders in {where} to be {known}, got '{folder}'; {cure}")
        return labels, np.array([labels.index(folder) for folder in folders], np.int64)[numbers]

    @property
    def numbered(self) -> tuple[str, ...]:
        return tuple(str(i) for i in range(self.count))

    def checked(self, numbers: Labels, where: object) -> Labels:
        if int(numbers.max()) >= self.count:
            raise DataError(
                f"expected class numbers from 0 to {self.count - 1} in {where}, got {int(numbers.max())}"
            )
        return numbers
