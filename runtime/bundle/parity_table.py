"""The table that shows how each variant compares with the float Keras model it came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgewright.runtime.bundle.parity import Judging, ParityReport

# What is left out first of the table where it is too wide.
NARROW = (
    *("tie-aware", "gzip bytes", "max abs error", "agreement", "drop, 95 % interval"),
    *("disagreement, 95 % interval", "bytes"),
)
LIMITS_NARROW = (
    "not judged",
    "Brier score, 95 % interval",
    "agreement, 95 % interval",
    "its drop, 95 % interval",
)
_SIZES = ("variant", "bytes", "gzip bytes")
_PROOF = ("agreement", "tie-aware", "max abs error", "verdict")
_IMAGES = {"labelled": "test images", "unlabelled": "unlabelled pictures", "noise": "pictures of noise"}


def parity_table(
    title: str,
    reference: Mapping[str, Any],
    rows: Sequence[tuple[str, int, int, ParityReport]],
    judging: Judging,
) -> tuple[str, Sequence[str], Sequence[Sequence[str]]]:
    """Title, columns and rows: one for the Keras model and one a variant.

    Of a variant that passed with a pool of pictures without labels the drop is that of both together.
    `reference` holds its `samples`, `accuracy`, `bytes`, `gzip_bytes`; a row is a variant's name,
    bytes, gzip bytes and report; `judging` says what `accuracy` is of them.
    """
    first = (
        "keras float32",
        f"{reference['bytes']:,}",
        f"{reference['gzip_bytes']:,}",
        f"{reference['accuracy']:.4f}",
        *["-"] * 5,
        "reference",
    )
    table = [first] + [
        (
            name,
            f"{size:,}",
            f"{gzip_bytes:,}",
            f"{parity.accuracy:.4f}",
            f"{parity.judged_drop[0]:+.4f}",
            f"{parity.judged_drop[1]:+.4f} to {parity.judged_drop[2]:+.4f}",
            f"{parity.agreement:.4f}",
            f"{parity.tie_agreement:.4f}",
            f"{parity.max_abs_error:.2g}",
            f"{parity.verdict} with a pool" if parity.pool else parity.verdict,
        )
        for name, size, gzip_bytes, parity in rows
    ]
    drop = "disagreement" if judging.by == "agreement" else "drop"
    shown = [(*_SIZES, judging.by.replace("-", " "), drop, f"{drop}, 95 % interval", *_PROOF), *table]
    if judging.by == "agreement":  # of which a column of its own tells
        shown = [(*row[:3], *row[4:]) for row in shown]
    return f"{title}, {reference['samples']:,} {_IMAGES[judging.images]}", shown[0], shown[1:]


def limits_table(
    title: str, rows: Sequence[tuple[str, ParityReport]]
) -> tuple[str, Sequence[str], Sequence[Sequence[str]]]:
    """Title, columns and rows of what is judged beside the drop, one a variant: the class that has surely
    lost most, the agreement, the rise of the Brier score, and how many classes have too few images for it."""
    columns = (
        *("variant", "worst class", "its drop", "its drop, 95 % interval"),
        *("agreement", "agreement, 95 % interval", "Brier score", "Brier score, 95 % interval", "not judged"),
    )
    found = [
        (
            name,
            p.worst_class or "-",
            _signed(p.worst_class_drop),
            _ends(p.worst_class_drop_low, p.worst_class_drop_high, "+.4f"),
            f"{p.agreement:.4f}",
            _ends(p.agreement_low, p.agreement_high, ".4f"),
            _signed(p.calibration_drop),
            _ends(p.calibration_drop_low, p.calibration_drop_high, "+.4f"),
            f"{len(p.not_judged)} of {len(p.class_images)} classes" if p.class_images else "-",
        )
        for name, p in rows
    ]
    return title, columns, found


def judged_beside(parity: ParityReport) -> str:
    """The same of one variant, in a line; empty if nothing was judged."""
    p, told = parity, []
    if p.worst_class_drop is not None:
        ends = _ends(p.worst_class_drop_low, p.worst_class_drop_high, "+.4f")
        told.append(f"worst class '{p.worst_class}' drops by {p.worst_class_drop:+.4f} [{ends}]")
    if p.agreement_low is not None:
        told.append(f"agreement {p.agreement:.4f} [{_ends(p.agreement_low, p.agreement_high, '.4f')}]")
    if p.calibration_drop is not None:
        ends = _ends(p.calibration_drop_low, p.calibration_drop_high, "+.4f")
        told.append(f"Brier score {p.calibration_drop:+.4f} [{ends}]")
    if p.not_judged:
        told.append(f"{len(p.not_judged)} of {len(p.class_images)} classes not judged")
    return ", ".join(told)


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.4f}"


def _ends(low: float | None, high: float | None, form: str) -> str:
    return "-" if low is None or high is None else f"{low:{form}} to {high:{form}}"
