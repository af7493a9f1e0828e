"""Tables of Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

Row: TypeAlias = Mapping[str, Any]
Rows: TypeAlias = Sequence[Row]


def markdown(columns: Sequence[str], rows: Sequence[Sequence[str]], left: int) -> str:
    """A table whose first `left` columns are aligned left, the others right."""
    rule = ["---" if i < left else "---:" for i in range(len(columns))]
    return "".join(f"| {' | '.join(row)} |\n" for row in (columns, rule, *rows))


def table(heading: str, line: str, rows: Rows, left: int) -> str:
    """One whose columns stand between the bars of `heading`, and of `line`, which each row fills in."""
    return markdown(heading.split(" | "), [[line.format(**row)] for row in rows], left)


def versions(environment: Row) -> str:
    """The versions that gave the figures."""
    return ", ".join(f"{name} {version}" for name, version in environment["versions"].items() if version)


def where(environment: Row) -> str:
    """The line that says what machine and which versions gave the figures."""
    return (
        f"\nMilliseconds, one thread, load {environment['load_1min']:.1f} at the start: "
        f"{environment['cpu']}, {environment['cores']} cores"
        f"{' (virtual machine)' if environment['virtual_machine'] else ''}; {versions(environment)}.\n"
    )


def verdict(row: Row) -> str:
    """Whether a limit was met, by interval, and if not the reason if there is one."""
    told = row["verdict"] if row["verdict"] != "missed" else "**missed**"
    return f"{told}: {row['reason']}" if row.get("reason") else str(told)
