"""Tables of what is not ours: peers beside our files, and models and files of others that went through."""

from __future__ import annotations

from collections.abc import Sequence

from edgewright.benchmarks.figures.tables import Row, Rows, markdown, versions, where


def peers(rows: Rows, environment: Row) -> str:
    """A row for each of our files, a column a peer."""
    return _beside(rows, sorted({row["peer"] for row in rows[1:]} - {rows[0]["peer"]}), environment)


def peers_int8(rows: Rows, environment: Row) -> str:
    """Our 8-bit files alone, beside the peers that ran any; a file's bare interpreter is one column."""
    ours = rows[0]["peer"]
    small = [
        {**row, "peer": "bare interpreter"} if row["peer"].startswith("bare-") else row
        for row in rows
        if row["against"].endswith("-int8")
    ]
    return _beside(small, sorted({row["peer"] for row in small if not row["reason"]} - {ours}), environment)


def _beside(rows: Rows, names: Sequence[str], environment: Row) -> str:
    ours = rows[0]["peer"]
    found = {(row["recipe"], row["against"], row["peer"]): row for row in rows}

    def cell(row: Row | None) -> str:
        if row is None or row["reason"]:
            return "-" if row is None else "fails"
        alike = round(row["agreement"] * row["images"])
        others = "" if alike == row["images"] else f", {alike} of {row['images']}"
        return f"{row['p50_ms']:.3g} ({row['ratio']:.2f}x{others})"

    lines = []
    for recipe, variant in dict.fromkeys((row["recipe"], row["against"]) for row in rows):
        own = found[recipe, variant, ours]
        figure = (
            "fails" if own["reason"] else f"{own['p50_ms']:.3g} [{own['low_ms']:.3g}, {own['high_ms']:.3g}]"
        )
        peers = (cell(found.get((recipe, variant, name))) for name in names)
        lines.append((f"`{recipe}`", f"`{variant}`", figure, *peers))
    return markdown(("recipe", "variant", "Edgewright", *names), lines, left=2) + where(environment)


def guests(rows: Rows, environment: Row) -> str:
    """A row a guest, a column a variant: how far its scores are from its maker's tool, else why there are
    none."""
    found = {(row["model"], f"{row['format']}-{row['scheme']}"): row for row in rows}
    variants = list(dict.fromkeys(name for _, name in found if not name.endswith(("-foreign", "--"))))
    notes: list[str] = []

    def cell(row: Row | None) -> str:
        if row is None:
            return ""
        if row["verdict"] == "passed":
            return f"{row['max_abs_error']:.2g}"
        if row["reason"] not in notes:
            notes.append(row["reason"])
        return f"{row['verdict']} ({notes.index(row['reason']) + 1})"

    lines = []
    for name, origin, seconds in dict.fromkeys((r["model"], r["origin"], r["seconds"]) for r in rows):
        whole = next(
            (row for row in rows if row["model"] == name and row["scheme"] in ("foreign", "-")), None
        )
        cells = [cell(whole)] + [cell(found.get((name, variant))) for variant in variants]
        lines.append([name, origin, *cells, f"{seconds:.0f}"])
    columns = ("model", "made by", "as it is", *(f"`{variant}`" for variant in variants), "seconds")
    said = "".join(f"{i}. {note}\n" for i, note in enumerate(notes, 1))
    return f"{markdown(columns, lines, 2)}\n{said}\n{versions(environment)}.\n"
