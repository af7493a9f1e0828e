"""The gate: is a variant proven close enough to its float model to be written?

Both have judged the same images, so the accuracy drop is paired, and its 95 % interval
(`edgewright.export.proof.interval`) is held against the limit; so are the others (`limits`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from statistics import NormalDist
from typing import Any

import numpy as np

from edgewright.export.proof import figures
from edgewright.export.proof.figures import Truth
from edgewright.export.proof.interval import Losses
from edgewright.export.proof.limits import (
    ClassDrops,
    Limits,
    Outcome,
    above,
    judge_agreement,
    judge_calibration,
)
from edgewright.runtime.backends import Scores
from edgewright.runtime.bundle.parity import ParityReport
from edgewright.runtime.contract.heads import Head

_CLEAREST = 8.0  # standard errors: nothing is said to be clearer
_MANY = 10**9  # images; what needs more is called out of reach
_SEVERITY = ("passed", "not proven", "refused")  # the worst verdict of all limits is the file's


def images_to_settle(losses: Losses, max_drop: float) -> int | None:
    """How many test images would let a variant pass if the rates seen so far are the true ones.

    None if no number within reach would.
    """

    def passes(count: float) -> bool:
        return losses.interval(count)[1] <= max_drop

    if losses.mean >= max_drop or not passes(_MANY):
        return None
    low, high = losses.samples, float(_MANY)
    while high - low > 1:
        middle = (low + high) / 2
        low, high = (low, middle) if passes(middle) else (middle, high)
    step: int = 10 ** max(int(math.log10(high)) - 1, 0)  # two digits are all such a forecast is worth
    return math.ceil(high / step) * step


def judge(
    head: Head,
    reference: Scores,
    scores: Scores,
    truth: Truth | None,
    limits: Limits,
    measure: str = "accuracy",
    labels: Sequence[str] = (),
) -> ParityReport:
    """Compare a variant's scores with the reference's, image by image.

    Args:
        head: what the scores are.
        reference, scores: float32 `(images, scores)`, finite.
        truth: class numbers, or the labels of each image; None where they are not known: then the
            reference's own decisions are, so that the drop is the share of disagreement, the most accuracy
            that can be lost, and classes and calibration are not judged.
        limits: what must be kept; the unfavourable end of each interval is held against it.
        measure: what is dropping, one of `edgewright.runtime.bundle.parity.MEASURES`.
        labels: what the classes are called; by default their numbers.
    """
    labels = labels or tuple(str(i) for i in range(head.labels))
    samples = len(reference)
    known: dict[str, Any] = {}
    outcomes: list[Outcome] = []
    if head.is_embedding:
        cosines = figures.cosines(reference, scores)
        each, value = 1 - np.clip(cosines, 0, 1), float(cosines.mean())
        agreement = tie_agreement = figures.same_neighbours(reference, scores)
    else:
        decided, given = head.decisions(reference), head.decisions(scores)
        held = decided if truth is None else truth
        right = [figures.right(found, held) for found in (decided, given)]
        each, value = right[0] - right[1], float(right[1].mean())
        agreement, tie_agreement = figures.agreement(head, decided, given, scores)
        if truth is not None:
            known, outcomes = _of_labelled(head, reference, scores, truth, limits, labels)
    losses = Losses.of(each)
    drop, (low, high) = losses.mean, losses.interval()
    if losses.values[0] >= 0 and measure in ("agreement", "cosine"):
        low = max(low, 0.0)  # nothing can be won there
    compared = min(samples, figures.NEIGHBOURS) if head.is_embedding else samples
    alike, ends = judge_agreement(agreement, compared, limits.min_agreement)
    outcomes = [_of_drop(losses, low, high, limits.max_drop, measure), *outcomes, alike]
    verdict = max((outcome.verdict for outcome in outcomes), key=_SEVERITY.index)
    return ParityReport(
        samples=samples,
        accuracy=value,
        drop=drop,
        drop_low=low,
        drop_high=high,
        agreement=agreement,
        agreement_low=ends[0],
        agreement_high=ends[1],
        tie_agreement=tie_agreement,
        max_abs_error=float(np.abs(reference - scores).max()),
        verdict=verdict,
        reason=_reason(outcomes, verdict),
        chance=1.0
        if verdict == "refused"
        else _chance(partial(_kept, head, reference, scores, truth, limits, losses, compared, agreement)),
        **known,
    )


def _kept(
    head: Head,
    reference: Scores,
    scores: Scores,
    truth: Truth | None,
    limits: Limits,
    losses: Losses,
    compared: int,
    agreement: float,
    z: float,
) -> bool:
    """Whether all limits would be kept if intervals reached `z` standard errors."""
    if losses.interval(z=z)[1] > limits.max_drop:
        return False
    if judge_agreement(agreement, compared, limits.min_agreement, z)[0].verdict != "passed":
        return False
    if truth is None or not limits.need_labels:
        return True
    calibration = judge_calibration(head, reference, scores, truth, limits.max_calibration_drop, z)
    drops = ClassDrops.of(head, reference, scores, truth)
    return calibration.outcome.verdict == "passed" and drops.kept(limits.max_class_drop, z)


def _chance(kept: Callable[[float], bool]) -> float:
    """How often a file at a limit would pass as clearly: the level of the longest intervals that keep all
    limits, 1 where not even a point within them does. To a part in a thousand of a standard error."""
    if not kept(0.0):
        return 1.0
    low, high = 0.0, _CLEAREST
    while high - low > 1e-3:
        middle = (low + high) / 2
        low, high = (middle, high) if kept(middle) else (low, middle)
    return 1 - NormalDist().cdf(low)


def _of_labelled(
    head: Head, reference: Scores, scores: Scores, truth: Truth, limits: Limits, labels: Sequence[str]
) -> tuple[dict[str, Any], list[Outcome]]:
    """What only labelled images tell: fields of the report, and how the limits on them were kept."""
    drops = ClassDrops.of(head, reference, scores, truth)
    classes = drops.judge(labels, limits)
    calibration = judge_calibration(head, reference, scores, truth, limits.max_calibration_drop)
    found = {
        "beside": figures.figures_beside(head, scores, truth),
        "class_images": tuple(drops.images.tolist()),
        "class_lost": tuple(drops.lost.tolist()),
        "class_won": tuple(drops.won.tolist()),
        "not_judged": tuple(labels[i] for i in classes.not_judged),
        "calibration_drop": calibration.drop,
        "calibration_drop_low": calibration.low,
        "calibration_drop_high": calibration.high,
    }
    if classes.worst is not None:
        found |= {
            "worst_class": labels[classes.worst],
            "worst_class_drop": classes.drop,
            "worst_class_drop_low": classes.low,
            "worst_class_drop_high": classes.high,
        }
    return found, [classes.outcome, calibration.outcome]


def _of_drop(losses: Losses, low: float, high: float, max_drop: float, measure: str) -> Outcome:
    if high <= max_drop:
        return Outcome(verdict="passed")
    what = "share of disagreement" if measure == "agreement" else f"{measure.replace('-', ' ')} drop"
    reason = (
        f"{what} {losses.mean:+.4f}, 95 % interval {low:+.4f} to {high:+.4f} over {losses.samples:,.0f} "
        f"images, limit {max_drop:g}"
    )
    if low > max_drop:
        return Outcome(verdict="refused", reason=reason)
    if needed := images_to_settle(losses, max_drop):
        outlook = f"about {needed:,} test images would settle it"
    elif losses.mean > max_drop:
        outlook = "it is beyond the limit, and more images would hardly bring it below"
    else:
        outlook = "no number of test images would settle it"
    return Outcome(verdict="not proven", reason=f"{reason}; {outlook}", remedy=f"--max-drop {above(high)}")


def _reason(outcomes: Sequence[Outcome], verdict: str) -> str:
    """Of a refused file why it was; of one that is not proven also with what it would pass."""
    if verdict == "passed":
        return ""
    reasons = "; ".join(outcome.reason for outcome in outcomes if outcome.verdict == verdict)
    remedies = " ".join(outcome.remedy for outcome in outcomes if outcome.remedy)
    if verdict == "refused" or not remedies:
        return reasons
    return f"{reasons}; it would pass now with {remedies}"
