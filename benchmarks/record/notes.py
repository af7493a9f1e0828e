"""What disturbed a measurement, put together over many processes.

A note says its cause, then a colon, then the figure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence


def gather(notes: Sequence[str]) -> list[str]:
    """One line a cause: its highest figure, and how often it came."""
    causes: dict[str, list[str]] = {}
    for note in notes:
        causes.setdefault(note.partition(":")[0], []).append(note)
    return [
        max(found, key=_figure) + (f" (the most of {len(found)})" if len(found) > 1 else "")
        for found in causes.values()
    ]


def _figure(note: str) -> float:
    """The first number behind the cause."""
    found = re.search(r"\d+(\.\d+)?", note.partition(":")[2])
    return float(found[0]) if found else 0.0
