"""What the commands print: tables and progress with rich where it is installed, plain text elsewhere.

A device has no rich; the same tables then come as aligned columns. A table is as wide as the terminal, or
COLUMNS, at most; into a file or a pipe without COLUMNS all of it goes. Where there is no terminal for a bar,
a line says how far the work is, and nothing is silent for longer than `EVERY`.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol

from edgewright.runtime import plugins

EVERY = 10.0  # seconds without a word, until a line says what is being done
_BETWEEN = 2  # blanks between columns
_LEAST = 12  # letters that are left of a cell that has to be cut

_tasks: list[Callable[[], str]] = []  # what is being done, the innermost last
_spoken = 0.0  # when the last line was printed


def say(text: str = "") -> None:
    """One line of a command's result, on standard output."""
    _print(_printable(text), sys.stdout)


def complain(text: str) -> None:
    """One line about what went wrong, on standard error."""
    _print(f"edgewright: {_printable(' '.join(text.split()))}", sys.stderr)


def _print(line: str, stream: Any) -> None:
    global _spoken
    print(line, file=stream, flush=True)
    _spoken = time.monotonic()


def _printable(text: str) -> str:
    """`text` with control characters escaped: names from files may not steer the terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def table(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    left: int = 1,
    drop: Sequence[str] = (),
    also: str = "",
) -> None:
    """Print a table; the first `left` columns and the last are aligned left, the others right.

    Where it is too wide, the columns of `drop` are left out, the first ones first; then the widest cells of
    text are cut; then columns are left out from the right. A line below says so, and that a wider terminal
    shows them, or what `also` names.
    """
    whole = [[_printable(cell) for cell in row] for row in (columns, *rows)]
    rich, room = plugins.installed("rich"), _room()
    shown, missing, is_cut = _fitted(whole, left, drop, room)
    for line in _wrapped(title, room):
        say(line)
    (_rich_table if rich else _plain_table)(shown, {*range(left), len(shown[0]) - 1})
    lost = [f"left out for want of room: {', '.join(missing)}"] if missing else []
    lost += ["cells were cut"] if is_cut else []
    if lost:
        for line in _wrapped(f"{'; '.join(lost)}; a wider terminal{also and f' or {also}'} shows all", room):
            say(line)


def spread(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table of which no column may be missing: in several where it is too wide, each with the first
    column."""
    room = _room()
    widths = [max(_width(_printable(row[i])) for row in (columns, *rows)) for i in range(len(columns))]
    parts: list[list[int]] = [[0]]
    for i in range(1, len(columns)):
        needed = sum(widths[j] + _BETWEEN for j in (*parts[-1], i))
        if room is not None and needed > room and len(parts[-1]) > 1:
            parts.append([0])
        parts[-1].append(i)
    for number, part in enumerate(parts, 1):
        of = f", {number} of {len(parts)}" if len(parts) > 1 else ""
        table(f"{title}{of}", [columns[i] for i in part], [[row[i] for i in part] for row in rows])


def _room() -> int | None:
    """The columns there are; None where nothing limits them."""
    import shutil

    if sys.stdout.isatty():
        return max(shutil.get_terminal_size().columns, _LEAST)
    told = os.environ.get("COLUMNS", "")
    return max(int(told), _LEAST) if told.isdecimal() and int(told) else None


def _wrapped(text: str, room: int | None) -> list[str]:
    import textwrap

    return textwrap.wrap(_printable(text), room) if room else [text]


def _fitted(
    whole: Sequence[Sequence[str]], left: int, drop: Sequence[str], room: int | None
) -> tuple[list[list[str]], list[str], bool]:
    """The rows as far as there is room, the headings first; the columns that were left out; whether cells
    were cut."""
    shown = [list(row) for row in whole]

    def needed() -> int:
        widths = [max(map(_width, cells)) for cells in zip(*shown, strict=True)]
        return sum(widths) + _BETWEEN * len(widths)

    def leave_out(place: int) -> str:
        heading, *_ = [row.pop(place) for row in shown]
        return heading

    if room is None or needed() <= room:
        return shown, [], False
    missing = []
    for name in drop:
        if name in shown[0] and needed() > room:
            missing.append(leave_out(shown[0].index(name)))
    is_cut = False
    while (over := needed() - room) > 0:
        texts = {*range(min(left, len(shown[0]))), len(shown[0]) - 1}
        widths = {i: max(_width(row[i]) for row in shown) for i in texts}
        widest = max(widths, key=lambda i: widths[i])
        if widths[widest] > _LEAST:
            others = sorted(widths.values())[:-1]
            target = max(widths[widest] - over, _LEAST, min(others[-1] if others else 0, widths[widest] - 1))
            for row in shown:
                row[widest] = _cut(row[widest], target)
            is_cut = True
        elif len(shown[0]) > 1:
            missing.append(leave_out(-1))
        else:
            break
    return shown, missing, is_cut


def _width(text: str) -> int:
    """Columns that a text takes on a terminal: letters of East Asia take two, marks on letters none."""
    if text.isascii():
        return len(text)
    import unicodedata

    return sum(0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF") for c in text)


def _cut(text: str, width: int) -> str:
    if _width(text) <= width:
        return text
    while _width(text) >= width:
        text = text[:-1]
    return f"{text}\N{HORIZONTAL ELLIPSIS}"


def _plain_table(shown: Sequence[Sequence[str]], aligned_left: set[int]) -> None:
    widths = [max(map(_width, cells)) for cells in zip(*shown, strict=True)]
    for row in shown:
        cells = []
        for i, (cell, width) in enumerate(zip(row, widths, strict=True)):
            blanks = " " * (width - _width(cell))
            cells.append(cell + blanks if i in aligned_left else blanks + cell)
        say("  ".join(cells).rstrip())


def _rich_table(shown: Sequence[Sequence[str]], aligned_left: set[int]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    out = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for i, column in enumerate(shown[0]):
        out.add_column(Text(column), justify="left" if i in aligned_left else "right", no_wrap=True)
    for row in shown[1:]:
        out.add_row(*map(Text, row))
    _console(sys.stdout, width=10**6 if not sys.stdout.isatty() else None).print(out)


class Progress(Protocol):
    """Is told by the library that `done` of `total` steps of a stage are done; `note` says which was last."""

    def __call__(self, stage: str, done: float, total: float, note: str = "") -> None: ...


def silent(stage: str, done: float, total: float, note: str = "") -> None:
    """The `Progress` of those who do not ask."""


class Bars(ExitStack):
    """The `Progress` of commands: a bar for each stage, one after the other. Used in `with`; `title` is what
    is done before the first."""

    _stage, _done = "", 0.0

    def __init__(self, title: str = "starting") -> None:
        super().__init__()
        self._bar = self.enter_context(progress(title, 0))

    def __call__(self, stage: str, done: float, total: float, note: str = "") -> None:
        if stage != self._stage:
            self.close()
            self._bar = self.enter_context(progress(stage, total))
            self._stage, self._done = stage, 0.0
        self._bar.advance(done - self._done, note)
        self._done = done


class Bar:
    """What is being done and how far, moved on by `advance`; `note` is what stands behind it. `bars` and
    `task` are rich's, if it shows it."""

    def __init__(self, title: str, total: float, bars: Any = None, task: Any = None) -> None:
        self._title, self._total, self._bars, self._task = title, total, bars, task
        self._done, self._note, self._start = 0.0, "", time.monotonic()

    def advance(self, steps: float = 1, note: str = "") -> None:
        self._done, self._note = self._done + steps, note
        if self._bars is not None:
            self._bars.update(self._task, advance=steps, note=note)

    def text(self) -> str:
        """Such as `measuring: 3 of 36 (tflite-int8), 1 min 20 s`."""
        minutes, seconds = divmod(round(time.monotonic() - self._start), 60)
        passed = f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
        far = f"{self._done:.4g} of {self._total:.4g}" if self._total else ""
        note = f"({self._note})" if self._note else ""
        told = " ".join(filter(None, (far, note)))
        return f"{self._title}: {told + ', ' if told else ''}{passed}"


@contextmanager
def progress(title: str, total: float) -> Iterator[Bar]:
    """A progress bar with the time left, on standard error; a line every `EVERY` seconds without any other
    where that is no terminal, or `total` is 0, which is not worth a bar.

    What is printed meanwhile goes to standard output as ever.
    """
    if not total or not plugins.installed("rich") or not sys.stderr.isatty():
        bar = Bar(title, total)
        with busy(bar.text):
            yield bar
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as RichProgress

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    # Rich would send what is printed to the bar's stream, away from the file that it was meant for.
    redirect = sys.stdout.isatty()
    console = _console(sys.stderr)
    with (
        busy(str),
        RichProgress(*columns, console=console, transient=True, redirect_stdout=redirect) as bars,
    ):
        yield Bar(title, total, bars, bars.add_task(title, total=total, note=""))


@contextmanager
def busy(text: Callable[[], str]) -> Iterator[None]:
    """Until the block ends, print what `text` says on standard error whenever nothing was printed for `EVERY`
    seconds; an empty one is not. Of several, one in the other, the innermost speaks."""
    global _spoken
    _tasks.append(text)
    ended = threading.Event()
    _spoken = _spoken or time.monotonic()
    if len(_tasks) == 1:
        threading.Thread(target=_speak, args=(ended,), daemon=True).start()
    try:
        yield
    finally:
        ended.set()
        _tasks.remove(text)


def _speak(ended: threading.Event) -> None:
    while not ended.wait(max(_spoken + EVERY - time.monotonic(), 0.01)):
        task = next(reversed(_tasks), str)
        if time.monotonic() - _spoken >= EVERY:
            line = task()
            if line:
                _print(_printable(line), sys.stderr)
            else:
                _rest()


def _rest() -> None:
    """A bar is speaking: start counting anew."""
    global _spoken
    _spoken = time.monotonic()


def _console(stream: Any, width: int | None = None) -> Any:
    from rich.console import Console

    return Console(file=stream, width=width, highlight=False)
