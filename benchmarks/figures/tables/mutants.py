"""The tables of the deliberate faults: how many tests notice, and which test each."""

from __future__ import annotations

from edgewright.benchmarks.figures.tables import Row, Rows, markdown, versions


def mutants(rows: Rows, environment: Row) -> str:
    """A row a folder, and one of all."""
    lines = []
    for folder in (*dict.fromkeys(row["folder"] for row in rows), "all"):
        noticed = [bool(row["killed_by"]) for row in rows if folder in (row["folder"], "all")]
        share = f"{sum(noticed) / len(noticed):.0%}"
        name = folder if folder == "all" else f"`{folder}/`"
        lines.append((name, f"{len(noticed):,}", f"{sum(noticed):,}", share))
    return markdown(("folder", "faults", "noticed", "share"), lines, 1) + f"\n{versions(environment)}.\n"


def each(rows: Rows, _: Row) -> str:
    """A row a fault, with the test that noticed it, in the file of its path."""
    lines = []
    for row in rows:
        file, _colons, test = row["killed_by"].partition("::")
        lines.append((row["folder"], row["name"], f"`{file}`", f"`{test}`" if test else "**none**"))
    return markdown(("folder", "fault", "file", "noticed by"), lines, 4)
