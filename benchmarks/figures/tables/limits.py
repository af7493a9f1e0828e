"""The tables of where the time of a label goes, and of what 16-bit weights take."""

from __future__ import annotations

from edgewright.benchmarks.figures.tables import Row, Rows, markdown, table, versions


def limit(rows: Rows, environment: Row) -> str:
    """A row a file and machine, a column a stage: its share, and how much of the peak it reaches."""
    stages = list(dict.fromkeys(row["stage"] for row in rows))
    found: dict[tuple[str, str, str], dict[str, Row]] = {}
    for row in rows:
        found.setdefault((row["recipe"], row["variant"], row["machine"]), {})[row["stage"]] = row
    lines = [
        (
            *(f"`{recipe}`", f"`{variant}`", "x86" if machine == "here" else f"Cortex-{machine.upper()}"),
            _total(of),
            *(_cell(of[stage]) for stage in stages),
            f"{100 * sum(row['left'] for row in of.values()):.0f} %",
        )
        for (recipe, variant, machine), of in found.items()
    ]
    emulation = environment.get("emulation")
    said = f", instructions counted by QEMU {emulation['qemu']}" if emulation else ""
    where = f"\n{environment['cpu']}, one of {environment['cores']} cores{said}; {versions(environment)}.\n"
    return markdown(("recipe", "variant", "machine", "whole", *stages, "left"), lines, left=3) + where


def _total(of: dict[str, Row]) -> str:
    taken, unit = sum(row["cost"] for row in of.values()), next(iter(of.values()))["unit"]
    return f"{1000 * taken:.3g} ms" if unit == "seconds" else f"{taken / 1e6:.3g} M"


def _cell(row: Row) -> str:
    """Of what takes nothing, a dash."""
    if not row["cost"]:
        return "-"
    peak = "" if row["peak_share"] is None else f" ({100 * row['peak_share']:.0f} %)"
    return f"{100 * row['share']:.1f} %{peak}"


def float16(rows: Rows, environment: Row) -> str:
    """A row a recipe and engine: the time of its float16 file over that of its float32 file."""
    told = [
        {**row, "interval": "{ratio:.3f} [{ratio_low:.3f}, {ratio_high:.3f}]".format(**row)} for row in rows
    ]
    return (
        table(
            "recipe | engine | float16 to float32 [95 % interval] | scores apart, at most",
            "`{recipe}` | {engine} | {interval} | {max_abs_error:.2g}",
            told,
            left=2,
        )
        + f"\n{environment['cpu']}, {environment['cores']} cores; {versions(environment)}.\n"
    )
