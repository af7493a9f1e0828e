"""CSV that a spreadsheet opens without running it: cells of text that it would take for formulas are quoted.

A cell that begins with one of = + - @ (or a tab or line end before it) is computed by Excel, LibreOffice
and Google Sheets, which is how a file name or a label could run a program there (OWASP, CSV Injection).
An apostrophe in front makes it text. Numbers stay numbers, also where they are written as text.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

_BEGINNINGS = ("=", "+", "-", "@", "\t", "\r", "\n")
_QUOTE = "'"


def rows(lines: Iterable[Sequence[Any]], *, quote_all: bool = False) -> str:
    """The lines as CSV, a row a line; numbers and texts may be mixed."""
    memory = io.StringIO()
    writer = csv.writer(
        memory, lineterminator="\n", quoting=csv.QUOTE_ALL if quote_all else csv.QUOTE_MINIMAL
    )
    writer.writerows([escaped(cell) if isinstance(cell, str) else cell for cell in line] for line in lines)
    return memory.getvalue()


def escaped(text: str) -> str:
    """A cell of text, with an apostrophe in front where a spreadsheet would compute it."""
    return _QUOTE + text if text.startswith(_BEGINNINGS) and not _is_number(text) else text


def plain(cell: str) -> str:
    """What `escaped` made the cell of."""
    return cell[1:] if cell.startswith(_QUOTE) and escaped(cell[1:]) == cell else cell


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text.isascii() and not text.isspace()
