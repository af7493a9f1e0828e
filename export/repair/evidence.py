"""What a file under repair is held against: training images that neither calibrate nor judge."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgewright.export.proof import gate
from edgewright.export.proof.figures import Truth
from edgewright.export.proof.limits import Limits
from edgewright.runtime import backends
from edgewright.runtime.backends import Scores
from edgewright.runtime.contract.heads import Head
from edgewright.train.datasets import Images

# Without labels only disagreement is seen, of which a loss of accuracy is a part; so good files disagree on
# more images than they lose.
_COLLAPSED, _DISAGREEING = 5, 2  # times the limit
_CLEARLY = 0.95  # of the error that there was
_GLANCE = 64  # images that show which operator loses most


@dataclass(frozen=True, kw_only=True)
class Seen:
    """How far a file was from the float model: the `drop` of accuracy with the lower end of its 95 %
    interval, `agreement`, and the mean squared `error` of scores; `refused` if the gate would refuse it on
    these images, for a class that is lost too."""

    drop: float
    low: float
    agreement: float
    error: float
    refused: bool = False

    def closer_than(self, other: Seen) -> bool:
        """Clearly so. By the error: it is the least noisy."""
        return self.error <= _CLEARLY * other.error

    def to_json(self) -> dict[str, float]:
        error = float(f"{self.error:.4g}")
        return {"drop": round(self.drop, 6), "agreement": round(self.agreement, 6), "error": error}


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Images, uint8 `(n, height, width, channels)`, with the float model's scores of them; `truth`, `limits`
    and `measure` as the gate takes them."""

    images: Images
    reference: Scores
    truth: Truth | None
    head: Head
    measure: str
    limits: Limits

    def look(self, path: Path) -> Seen:
        """Run the file at `path` on all images."""
        scores = np.concatenate([*_scores(path, self.images)])
        if not np.isfinite(scores).all():
            return Seen(drop=1.0, low=1.0, agreement=0.0, error=float("inf"), refused=True)
        report = gate.judge(self.head, self.reference, scores, self.truth, self.limits, self.measure)
        error = float(np.mean((scores.astype(np.float64) - self.reference) ** 2))
        return Seen(
            drop=report.drop,
            low=report.drop_low,
            agreement=report.tie_agreement,
            error=error,
            refused=report.verdict == "refused",
        )

    def glance(self, path: Path) -> float:
        """The error alone, on few images."""
        scores = np.concatenate([*_scores(path, self.images[:_GLANCE])])
        error = np.mean((scores.astype(np.float64) - self.reference[: len(scores)]) ** 2)
        return float(error) if np.isfinite(error) else float("inf")

    def shows_loss(self, seen: Seen) -> bool:
        """Whether a file that nothing was done to needs repair."""
        most = self.limits.max_drop
        if self.truth is None:
            return seen.drop > _COLLAPSED * most
        return seen.refused or (seen.drop > most and seen.low > 0)

    def holds(self, seen: Seen) -> bool:
        """Whether a file under repair holds the limits, with a margin: the gate will see other images."""
        most = self.limits.max_drop
        if self.truth is None:
            return seen.drop <= max(_DISAGREEING * most, 1 / len(self.images))
        alike = seen.agreement >= 1 - _COLLAPSED * most
        return alike and not seen.refused and seen.drop <= max(most / 2, 1 / len(self.images))


def _scores(path: Path, images: Images) -> Iterator[Any]:
    backend = backends.for_path(path)
    session = backend.open(backend.read(path), threads=1)
    size = session.input.shape[0] if session.input.shape[0] > 0 else _GLANCE
    try:
        for start in range(0, len(images), size):
            yield session.run(images[start : start + size])
    finally:
        session.close()
