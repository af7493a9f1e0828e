"""What scores mean: from the raw scores of a network to probabilities and decisions, whatever its head.

| kind | scores of an image | labels |
| --- | --- | --- |
| `softmax`, `logits` | one a class, of classes that exclude each other | one a score |
| `sigmoid`, `sigmoid-logits` with one score | how likely the second of two classes is | two |
| `sigmoid`, `sigmoid-logits` with several | how likely each label is, whatever the others are | one a score |
| `embedding` | a vector: its direction tells pictures apart | none |

`logits` and `sigmoid-logits` are what comes before that function. One score never goes through argmax,
which is 0 whatever it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float32]
# This very tuple as labels of a file that has none: its classes go by their numbers.
NUMBERS = ("0", "1", "…")


@dataclass(frozen=True, kw_only=True)
class Head:
    """`kind` is one of `HEADS`; `count` how many scores an image has; above `threshold` a probability of
    a sigmoid is a yes."""

    kind: str
    count: int
    threshold: float = 0.5

    @property
    def is_sigmoid(self) -> bool:
        return self.kind in ("sigmoid", "sigmoid-logits")

    @property
    def is_binary(self) -> bool:
        """One score for two classes."""
        return self.is_sigmoid and self.count == 1

    @property
    def is_multi_label(self) -> bool:
        """An image may have several labels, or none."""
        return self.is_sigmoid and self.count > 1

    @property
    def is_embedding(self) -> bool:
        return self.kind == "embedding"

    @property
    def labels(self) -> int:
        """How many labels there are."""
        return 0 if self.is_embedding else 2 if self.is_binary else self.count

    def probabilities(self, scores: Scores) -> Scores:
        """Float32 `(n, labels)` of scores `(n, count)`; one score becomes those of both classes.

        Raises:
            ValueError: an embedding, which has none.
        """
        if self.is_embedding:
            raise ValueError("an embedding has no probabilities")
        if self.kind == "logits":
            powers: Scores = np.exp(scores - scores.max(axis=1, keepdims=True))
            scores = powers / powers.sum(axis=1, keepdims=True)
        elif self.kind == "sigmoid-logits":
            scores = (0.5 * (1 + np.tanh(0.5 * scores))).astype(np.float32)  # does not overflow
        return np.concatenate([1 - scores, scores], axis=1) if self.is_binary else scores

    def margins(self, scores: Scores) -> Scores:
        """How far each score is above where it turns to yes, float32 `(n, count)`, in units of score."""
        turn = self.threshold
        if self.kind == "sigmoid-logits":
            turn = float(np.log(turn / (1 - turn)))
        return scores - np.float32(turn)

    def decisions(self, scores: Scores) -> NDArray[Any]:
        """What an image is taken for: class numbers `(n,)` where classes exclude each other, of equal scores
        the first; of several labels a yes or no each, bool `(n, count)`.

        Raises:
            ValueError: an embedding decides nothing.
        """
        if self.is_embedding:
            raise ValueError("an embedding decides nothing")
        if not self.is_sigmoid:
            best: NDArray[np.intp] = scores.argmax(1)
            return best
        yes = self.margins(scores) > 0
        return yes[:, 0].astype(np.intp) if self.is_binary else yes
