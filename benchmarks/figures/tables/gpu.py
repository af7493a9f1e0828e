"""The table of LiteRT's GPU accelerator, whose answers are held against the CPU's."""

from __future__ import annotations

from edgewright.benchmarks.figures.tables import Row, Rows, table, versions


def gpu(rows: Rows, environment: Row) -> str:
    """A row a recipe and variant."""
    told = [
        {
            **row,
            "percent": 100 * row["agreement"],
            "where": f"{row['first_wrong_op']} (`{row['layer']}`)" if row["first_wrong_op"] else "",
        }
        for row in rows
    ]
    return (
        table(
            "recipe | variant | verdict | operator | what to do | images | same label, % | "
            "largest difference",
            "`{recipe}` | `{variant}` | {verdict} | {where} | {remedy} | {images:,} | {percent:.1f} | "
            "{max_abs_error:.2g}",
            told,
            left=5,
        )
        + f"\n{environment['cpu']}; {versions(environment)}.\n"
    )
