"""Labels in any script, drawn by a font that has them: matplotlib's own has no Chinese, Japanese or Korean.

What no font on this machine has is drawn as a question mark, without a warning for each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache

_UNKNOWN = "?"
_MARKS = "\n\t "


@contextmanager
def of(texts: Sequence[str]) -> Iterator[list[str]]:
    """The texts as they can be drawn, and, as long as it lasts, the fonts for them. `$` is no formula."""
    import matplotlib

    wanted = {c for text in texts for c in text if c not in _MARKS}
    first = matplotlib.rcParams["font.family"]
    families, missing = list(first), wanted - _letters_of(_default())
    if missing:
        for family, path in _others():
            if found := missing & _letters_of(path):
                families.append(family)
                missing -= found
            if not missing:
                break
    drawn = ["".join(_UNKNOWN if c in missing else c for c in text) for text in texts]
    with matplotlib.rc_context({"font.family": families, "text.parse_math": False}):
        yield drawn


def _default() -> str:
    from matplotlib import font_manager

    return str(font_manager.findfont(font_manager.FontProperties()))


def _others() -> list[tuple[str, str]]:
    """Name and file of each upright font that matplotlib knows on this machine."""
    from matplotlib import font_manager

    fonts = font_manager.fontManager.ttflist
    return [
        (font.name, font.fname) for font in fonts if font.style == "normal" and font.weight in (400, "normal")
    ]


@cache
def _letters_of(path: str) -> frozenset[str]:
    from matplotlib.ft2font import FT2Font

    try:
        return frozenset(map(chr, FT2Font(path).get_charmap()))
    except (OSError, RuntimeError):
        return frozenset()
