"""The table that shows how each variant compares with the float Keras model it came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgewright.runtime.bundle.manifest import Judging, ParityReport

# What is left out first of the table where it is too wide.
NARROW = (
    *("tie-aware", "gzip bytes", "max abs error", "agreement", "drop, 95 % interval"),
    *("disagreement, 95 % interval", "bytes"),
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
            f"{parity.drop:+.4f}",
            f"{parity.drop_low:+.4f} to {parity.drop_high:+.4f}",
            f"{parity.agreement:.4f}",
            f"{parity.tie_agreement:.4f}",
            f"{parity.max_abs_error:.2g}",
            parity.verdict,
        )
        for name, size, gzip_bytes, parity in rows
    ]
    drop = "disagreement" if judging.by == "agreement" else "drop"
    shown = [(*_SIZES, judging.by.replace("-", " "), drop, f"{drop}, 95 % interval", *_PROOF), *table]
    if judging.by == "agreement":  # of which a column of its own tells
        shown = [(*row[:3], *row[4:]) for row in shown]
    return f"{title}, {reference['samples']:,} {_IMAGES[judging.images]}", shown[0], shown[1:]
