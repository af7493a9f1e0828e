"""A QR code of the page's address for a terminal."""

from __future__ import annotations

from edgewright.runtime import plugins
from edgewright.runtime.errors import MissingExtraError

_HALVES = {(1, 1): "█", (1, 0): "▀", (0, 1): "▄", (0, 0): " "}
_BORDER = 2  # modules of quiet around it


def check() -> None:
    """Raises `MissingExtraError` where segno is not installed."""
    if not plugins.installed("segno"):
        raise MissingExtraError("segno, which makes QR codes,", "browser")


def lines(text: str) -> list[str]:
    """Two rows of modules a line; light ones are drawn, as most terminals are dark."""
    import segno

    rows = [
        [1 - bool(module) for module in row]
        for row in segno.make(text, error="l", micro=False).matrix_iter(border=_BORDER)
    ]
    rows += [[0] * len(rows[0])] * (len(rows) % 2)
    pairs = zip(rows[::2], rows[1::2], strict=True)
    return ["".join(_HALVES[top, bottom] for top, bottom in zip(*pair, strict=True)) for pair in pairs]
