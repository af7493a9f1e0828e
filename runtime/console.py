"""What the commands print: tables and progress with rich where it is installed, plain text elsewhere.

A device has no rich; the same tables then come as aligned columns.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol

from edgewright.runtime import plugins

WIDE = 180  # columns when the output is a file or a pipe: tables are not wrapped there


def say(text: str = "") -> None:
    """One line of a command's result, on standard output."""
    print(_printable(text), flush=True)  # noqa: T201


def complain(text: str) -> None:
    """One line about what went wrong, on standard error."""
    print(f"edgewright: {_printable(' '.join(text.split()))}", file=sys.stderr, flush=True)  # noqa: T201


def _printable(text: str) -> str:
    """`text` with control characters escaped: names from files may not steer the terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> None:
    """Print a table; the first `left` columns and the last are aligned left, the others right.

    A terminal too narrow for it gets a paragraph a row instead of broken cells.
    """
    import shutil

    widths = [max(len(row[i]) for row in [columns, *rows]) for i in range(len(columns))]
    aligned_left = {*range(left), len(columns) - 1}
    room = shutil.get_terminal_size().columns if sys.stdout.isatty() else WIDE
    if sum(widths) + 3 * len(widths) > room:
        _paragraphs(title, columns, rows, room)
    elif plugins.installed("rich"):
        _rich_table(title, columns, rows, aligned_left)
    else:
        say(title)
        for row in [columns, *rows]:
            cells = (
                cell.ljust(width) if i in aligned_left else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            say("  ".join(cells).rstrip())


def _paragraphs(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], room: int) -> None:
    import textwrap

    say(title)
    for row in rows:
        named = (
            f"{column} {cell}" for column, cell in zip(columns[1:], row[1:], strict=True) if cell.strip("-")
        )
        text = textwrap.fill(", ".join(named), room, initial_indent="    ", subsequent_indent="    ")
        for line in (f"  {row[0]}", *text.splitlines()):
            say(line)


def _rich_table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], aligned_left: set[int]
) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    out = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for i, column in enumerate(columns):
        out.add_column(column, justify="left" if i in aligned_left else "right", no_wrap=True)
    for row in rows:
        out.add_row(*(Text(_printable(cell)) for cell in row))
    _console(stderr=False).print(out)


class Progress(Protocol):
    """Is told by the library that `done` of `total` steps of a stage are done; `note` says which was last."""

    def __call__(self, stage: str, done: float, total: float, note: str = "") -> None: ...


def silent(stage: str, done: float, total: float, note: str = "") -> None:
    """The `Progress` of those who do not ask."""


class Bars(ExitStack):
    """The `Progress` of commands: a bar for each stage, one after the other. Used in `with`."""

    _stage, _done = "", 0.0

    def __call__(self, stage: str, done: float, total: float, note: str = "") -> None:
        if stage != self._stage:
            self.close()
            self._bar = self.enter_context(progress(stage, total))
            self._stage, self._done = stage, 0.0
        self._bar.advance(done - self._done, note)
        self._done = done


class Bar:
    """A bar that is moved on by `advance`; `note` is what stands behind it. Without `bars` none is shown."""

    def __init__(self, bars: Any = None, task: Any = None) -> None:
        self._bars, self._task = bars, task

    def advance(self, steps: float = 1, note: str = "") -> None:
        if self._bars is not None:
            self._bars.update(self._task, advance=steps, note=note)


@contextmanager
def progress(title: str, total: float) -> Iterator[Bar]:
    """A progress bar with the time left, on standard error; nothing where that is no terminal.

    What is printed meanwhile goes to standard output as ever. A `total` of 0 is not worth a bar.
    """
    if not total or not plugins.installed("rich") or not sys.stderr.isatty():
        yield Bar()
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    # Rich would send what is printed to the bar's stream, away from the file that it was meant for.
    redirect = sys.stdout.isatty()
    with RichProgress(
        *columns, console=_console(stderr=True), transient=True, redirect_stdout=redirect
    ) as bars:
        yield Bar(bars, bars.add_task(title, total=total, note=""))


def _console(*, stderr: bool) -> Any:
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(file=stream, width=None if stream.isatty() else WIDE, highlight=False)
