"""Scores of a bundle's golden images that a device gave, held against the recorded ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgewright.benchmarks.record.measurement import Check

if TYPE_CHECKING:
    from edgewright.runtime.backends import Scores
    from edgewright.runtime.bundle.manifest import Manifest, VariantEntry
    from edgewright.runtime.contract.heads import Head


def head_of(manifest: Manifest) -> Head:
    """What the scores of a bundle's files mean."""
    from edgewright.runtime.contract.heads import Head

    return Head(kind=manifest.head, count=manifest.scores, threshold=manifest.threshold)


def right_within(entry: VariantEntry) -> float:
    """How far off scores may be on another machine and still be called right: 8-bit scores a step, floats as
    far as kernels differ."""
    step = entry.output.scale
    return 1.01 * step if step else entry.tolerance.max_abs_elsewhere


def held(
    manifest: Manifest, entry: VariantEntry, kernels: str, scores: Scores, expected: Scores
) -> tuple[Check, str]:
    """The verdict on scores `(n, scores)`, and why they are wrong, empty if they are not.

    They are `right` as `right_within` has it, `wrong` beyond what kernels elsewhere may differ, and differ
    between the two.
    """
    from edgewright.runtime.verification import decided_otherwise, judge

    head = head_of(manifest)
    verdict = judge(entry, kernels, scores, expected, head)
    alike = 1.0 if head.is_embedding else 1.0 - float(decided_otherwise(head, scores, expected).mean())
    right = verdict.max_abs_error <= right_within(entry)
    check = Check(
        images=len(scores),
        max_abs_error=verdict.max_abs_error,
        agreement=alike,
        verdict="wrong" if verdict.reason else "right" if right else "differs",
    )
    return check, verdict.reason
