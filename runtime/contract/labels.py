"""Labels in a line of text."""

from __future__ import annotations

from collections.abc import Iterable


def quoted(labels: Iterable[str]) -> str:
    """Labels with commas between; one that could be taken for several, or for none, stands in quotes."""
    return ", ".join(f'"{label}"' if _is_unclear(label) else label for label in labels)


def _is_unclear(label: str) -> bool:
    return "," in label or not label or label != label.strip()
