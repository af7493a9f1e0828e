"""What disturbed a measurement, put together over many processes.

A note says its cause, then a colon, then the figure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Set


def gather(
    noted: Iterable[tuple[str, str]], everywhere: Set[str], *, where: str = " in ", alike: bool = True
) -> list[str]:
    """One line a cause: its highest figure, how often it came, and in which variants, unless in all.

    Args:
        noted: variant and note.
        everywhere: all variants that were measured.
        where: what stands before the variants.
        alike: whether notes that are the same count as several.
    """
    causes: dict[str, list[tuple[str, str]]] = {}
    for variant, note in noted:
        causes.setdefault(note.partition(":")[0], []).append((variant, note))
    lines = []
    for told in causes.values():
        notes = [note for _, note in told]
        variants = dict.fromkeys(variant for variant, _ in told)
        most = f" (the most of {len(notes)})" if len(notes if alike else set(notes)) > 1 else ""
        of = "" if set(variants) == everywhere else f"{where}{', '.join(variants)}"
        lines.append(f"{max(notes, key=_figure)}{most}{of}")
    return lines


def _figure(note: str) -> float:
    """The first number behind the cause."""
    number = re.search(r"\d+(\.\d+)?", note.partition(":")[2])
    return float(number[0]) if number else 0.0
