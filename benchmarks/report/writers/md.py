"""Markdown for a README: the advice, the table, the warnings."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from edgewright.benchmarks.report import wording
from edgewright.benchmarks.report.facts import Report

# What would be markup, or end a table's cell or line.
_SPECIAL = re.compile(r"([\\`*_\[\]<>|#~&])")


def write(report: Report) -> bytes:
    lines = []
    for task in report.tasks:
        best = task.advice.best
        lines += [f"**Ship {_plain(wording.named(best, task))}**: {_plain(task.advice.reason)}.", ""]
        if doubt := task.words.doubt(best.entry.parity):
            lines += [_plain(doubt), ""]
        if note := wording.speed_note(task):
            lines += [_plain(note), ""]
        lines += [*_table(wording.columns(task), task.rows, best), ""]
        said = "In brackets: 95 % intervals."
        if task.words.compares_models:
            keras = "; ".join(
                f"{_plain(s.model)} {task.words.value(s.manifest.reference['accuracy'])}"
                for s in task.subjects
            )
            said = f"{task.words.measure.capitalize()} of the Keras model: {keras}. {said}"
        lines += [said, ""]
        if beside := wording.limits(task.rows):
            lines += ["What else was judged:", "", *_table(beside, task.rows), ""]
    if report.files:
        rows = [file.row for file in report.files]
        lines += [*_table(wording.file_columns(rows), rows), "", wording.UNPROVEN, ""]
    if report.place:
        lines += [f"Times in milliseconds for one picture, {_plain(report.place)}.", ""]
    for subject in report.measured:
        if not subject.benches:
            command = _line(subject.bench_command.replace("`", ""))
            said = f": speed was not measured; it would be by `{command}`."
        else:
            on = [value for name, value in wording.circumstances(subject) if name == "measured on"]
            said = f" was measured on {_plain(' and '.join(dict.fromkeys(on)))}."
        lines += [_plain(subject.model) + said, ""]
    warned = [(s.model, warning) for s in report.measured for warning in s.warnings]
    if warned:
        lines += ["Warnings:", "", *(f"- {_plain(model)}: {_plain(warning)}" for model, warning in warned)]
    return ("\n".join(lines).rstrip() + "\n").encode("utf-8", "replace")


WRITER = write


def _table(columns: Sequence[wording.Column], rows: Sequence[Any], best: Any = None) -> list[str]:
    """The lines of a table, the file to ship in bold."""
    table = [[column.title for column in columns], ["---:" if c.number else "---" for c in columns]]
    for row in rows:
        cells = [column.cell(row) for column in columns]
        texts = [_plain(cell.text) + f" [{cell.interval}]" * bool(cell.interval) for cell in cells]
        if cells[0].note:
            texts[0] += f" ({_plain(cells[0].note)})"
        if row is best:
            texts[0] = f"**{texts[0]}**"
        table.append(texts)
    return [f"| {' | '.join(texts)} |" for texts in table]


def _plain(text: str) -> str:
    """`text` on one line, with nothing in it that Markdown or HTML would take for markup."""
    return _SPECIAL.sub(r"\\\1", _line(text))


def _line(text: str) -> str:
    return " ".join(text.split())
