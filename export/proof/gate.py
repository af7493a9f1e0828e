"""The gate: is a variant proven close enough to its float Keras model to be written?

Both have judged the same images, so the accuracy drop is a difference of paired proportions; its
95 % interval is Tango's score interval (Statistics in Medicine 17, 1998, 891-908), which stays
honest with few images and with no discordant pair at all.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from edgewright.runtime.backends import Scores
from edgewright.runtime.bundle.manifest import ParityReport

Z = 1.959963984540054  # the normal distribution's 97.5 % point
_MANY = 10**9  # images; what needs more is called out of reach


def score_interval(lost: float, won: float, samples: float) -> tuple[float, float]:
    """Tango's 95 % score interval of the accuracy drop `(lost - won) / samples`.

    Args:
        lost: images that the reference has right and the variant wrong.
        won: images that the variant has right and the reference wrong.
        samples: all images, at least one.

    Returns:
        Lower and upper end, within -1 and 1.
    """
    drop = (lost - won) / samples

    def z(delta: float) -> float:
        """The score statistic of the hypothesis that the true drop is `delta`; falls as delta rises."""
        b = (2 * samples - lost + won) * delta - lost - won
        c = -won * delta * (1 - delta)
        q = (math.sqrt(max(b * b - 8 * samples * c, 0.0)) - b) / (4 * samples)
        variance = samples * (2 * q + delta * (1 - delta))
        distance = lost - won - samples * delta
        if variance <= 0:
            return 0.0 if distance == 0 else math.copysign(math.inf, distance)
        return distance / math.sqrt(variance)

    low = -1.0 if drop <= -1 else _bisect(lambda delta: z(delta) > Z, -1.0, drop)
    high = 1.0 if drop >= 1 else _bisect(lambda delta: z(delta) >= -Z, drop, 1.0)
    return low, high


def _bisect(holds_below: Callable[[float], bool], low: float, high: float) -> float:
    """Where `holds_below` turns from true to false between `low` and `high`."""
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if holds_below(middle) else (low, middle)
    return (low + high) / 2


def images_to_settle(lost: int, won: int, samples: int, max_drop: float) -> int | None:
    """How many test images would decide the gate if the rates seen so far are the true ones.

    None if no number within reach would.
    """
    drop = (lost - won) / samples

    def settled(count: float) -> bool:
        low, high = score_interval(lost / samples * count, won / samples * count, count)
        return low > max_drop if drop > max_drop else high <= max_drop

    if drop == max_drop or not settled(_MANY):
        return None
    low, high = float(samples), float(_MANY)
    while high - low > 1:
        middle = (low + high) / 2
        low, high = (low, middle) if settled(middle) else (middle, high)
    step: int = 10 ** max(int(math.log10(high)) - 1, 0)  # two digits are all such a forecast is worth
    return math.ceil(high / step) * step


def judge(reference: Scores, scores: Scores, labels: NDArray[np.int64], max_drop: float) -> ParityReport:
    """Compare a variant's scores with the reference's, image by image.

    Args:
        reference, scores: float32 `(images, classes)`, finite.
        labels: the true classes `(images,)`.
        max_drop: the largest accuracy drop that passes, a share (0.01 is one point); the upper end
            of the drop's interval is held against it.
    """
    samples = len(labels)
    reference_class, variant_class = reference.argmax(1), scores.argmax(1)
    reference_right, variant_right = reference_class == labels, variant_class == labels
    lost = int(np.sum(reference_right & ~variant_right))
    won = int(np.sum(variant_right & ~reference_right))
    low, high = score_interval(lost, won, samples)
    drop = (lost - won) / samples
    verdict, reason = "passed", ""
    if high > max_drop:
        verdict = "refused" if low > max_drop else "not proven"
        reason = (
            f"accuracy drop {drop:+.4f}, 95 % interval {low:+.4f} to {high:+.4f} over {samples:,} images, "
            f"limit {max_drop:g}"
        )
        if verdict == "not proven":
            needed = images_to_settle(lost, won, samples, max_drop)
            reason += (
                f"; about {needed:,} test images would settle it (or a larger --max-drop)"
                if needed
                else "; no number of test images would settle it"
            )
    return ParityReport(
        samples=samples,
        accuracy=float(variant_right.mean()),
        drop=drop,
        drop_low=low,
        drop_high=high,
        agreement=float(np.mean(reference_class == variant_class)),
        tie_agreement=float(np.mean(scores[np.arange(samples), reference_class] == scores.max(1))),
        max_abs_error=float(np.abs(reference - scores).max()),
        verdict=verdict,
        reason=reason,
    )
