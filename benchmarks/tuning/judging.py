"""May an engine be chosen for a variant? Its arithmetic is a part of what has to be proven, like a scheme.

The scores that were recorded where the bundle was made, the golden ones, have to be repeated as closely as
the manifest says: that is exact arithmetic. An engine that computes with fewer bits need not, but has to
decide as the variant does on its own interpreter here, on images of the user's: of those the lower end of the
agreement's interval (Wilson, 95 %) has to be at least `LEAST`, so that at most as much accuracy is lost as
the gate lets a scheme lose by default. Images can also show that an engine which repeats the few golden
scores is wrong: one whose agreement is surely less is refused.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgewright.runtime.backends import EXACT, Scores
from edgewright.runtime.bundle.manifest import VariantEntry
from edgewright.runtime.contract.heads import Head
from edgewright.runtime.evaluation.metrics import Share, wilson
from edgewright.runtime.verification import decided_otherwise, judge

LEAST = 0.99
PASSED, REFUSED, NOT_PROVEN, FAILED = "passed", "refused", "not proven", "failed"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """`status` is "passed", "refused", "not proven", or "failed" of what did not run, with `reason`;
    `max_abs_error` is over the golden scores, `agreement` over so many `images` of the user's, None of none.
    """

    status: str
    reason: str = ""
    kernels: str = ""
    max_abs_error: float = 0.0
    agreement: Share | None = None
    images: int = 0


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What an engine computes: `golden` scores `(n, scores)`, and those of the user's `images`, None of none.
    `kernels` names what computed them."""

    kernels: str
    golden: Scores
    images: Scores | None = None


def verdict(
    entry: VariantEntry,
    arithmetic: str,
    head: Head,
    expected: Scores,
    found: Answers,
    own: Scores | None = None,
) -> Verdict:
    """Whether an engine may be chosen.

    Args:
        entry: the variant, with its tolerance.
        arithmetic: what the engine computes in, of `backends.ARITHMETICS`.
        head: what scores mean.
        expected: the golden scores as they were recorded.
        found: what the engine gave.
        own: what the variant's own interpreter gave here of the user's images.
    """
    held = judge(entry, found.kernels, found.golden, expected, head)
    agreement, count = None, 0
    if own is not None and found.images is not None and len(own) and not head.is_embedding:
        count = len(own)
        alike = count - int(decided_otherwise(head, found.images, own).sum())
        agreement = wilson(alike, count)
    reason, status = "", PASSED
    if not np.isfinite(found.golden).all():
        status, reason = REFUSED, "scores that are no numbers"
    elif arithmetic == EXACT and held.status != "ok":
        status, reason = REFUSED, held.reason
    elif agreement is not None and agreement.high < LEAST:
        status = REFUSED
        reason = f"decides otherwise on {count - round(agreement.value * count)} of {count:,} images"
    elif arithmetic != EXACT and agreement is None:
        status, reason = NOT_PROVEN, "fewer bits have to be judged on images; give --images"
        if found.images is not None:
            reason = "there is nothing to judge it by: the file's own interpreter does not run it here"
        if head.is_embedding:
            reason = "an embedding decides nothing that fewer bits could be judged by"
    elif arithmetic != EXACT and agreement is not None and agreement.low < LEAST:
        status = NOT_PROVEN
        reason = (
            f"agrees on {agreement.value:.4f} of {count:,} images, surely on {agreement.low:.4f}, less than "
            f"{LEAST}; give more images"
        )
    return Verdict(
        status=status,
        reason=reason,
        kernels=found.kernels,
        max_abs_error=held.max_abs_error,
        agreement=agreement,
        images=count,
    )
