"""Markdown for a README: the advice, the table, the warnings."""

from __future__ import annotations

import re

from edgewright.benchmarks.report import wording
from edgewright.benchmarks.report.facts import Report

# What would be markup, or end a table's cell or line.
_SPECIAL = re.compile(r"([\\`*_\[\]<>|#~&])")


def write(report: Report) -> bytes:
    lines = []
    for task in report.tasks:
        best = task.advice.best
        lines += [f"**Ship {_plain(wording.named(best, task))}**: {_plain(task.advice.reason)}.", ""]
        columns = [c for c in wording.columns(task.rows) if not c.several or len(task.subjects) > 1]
        table = [[column.title for column in columns], ["---:" if c.number else "---" for c in columns]]
        for row in task.rows:
            cells = [column.cell(row) for column in columns]
            texts = [_plain(cell.text) + f" [{cell.interval}]" * bool(cell.interval) for cell in cells]
            if row is best:
                texts[0] = f"**{texts[0]}**"
            table.append(texts)
        lines += [*(f"| {' | '.join(texts)} |" for texts in table), ""]
        keras = "; ".join(
            f"{_plain(s.model)} {100 * s.manifest.reference['accuracy']:.2f} %" for s in task.subjects
        )
        lines += [f"Accuracy of the Keras model: {keras}. In brackets: 95 % intervals.", ""]
    if report.place:
        lines += [f"Times in milliseconds for one picture, {_plain(report.place)}.", ""]
    for subject in report.subjects:
        if subject.bench is None:
            command = _line(subject.bench_command.replace("`", ""))
            said = f": speed was not measured; it would be by `{command}`."
        else:
            said = f" was measured on {_plain(dict(wording.circumstances(subject))['measured on'])}."
        lines += [_plain(subject.model) + said, ""]
    warned = [(s.model, warning) for s in report.subjects for warning in s.warnings]
    if warned:
        lines += ["Warnings:", "", *(f"- {_plain(model)}: {_plain(warning)}" for model, warning in warned)]
    return ("\n".join(lines).rstrip() + "\n").encode("utf-8", "replace")


WRITER = write


def _plain(text: str) -> str:
    """`text` on one line, with nothing in it that Markdown or HTML would take for markup."""
    return _SPECIAL.sub(r"\\\1", _line(text))


def _line(text: str) -> str:
    return " ".join(text.split())
