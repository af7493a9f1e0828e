"""The table of the engines that tuning chose, beside the best of the peers."""

from __future__ import annotations

from edgewright.benchmarks.figures.tables import Row, Rows, table, verdict, versions


def engines(rows: Rows, environment: Row) -> str:
    """A row a recipe, what was timed and arithmetic; below it the peers that are not counted."""
    told = [{**row, "told": verdict(row)} for row in rows]
    apart = dict.fromkeys(f"`{row['recipe']}`: {one}" for row in rows for one in row["not_counted"])
    listed = f"\nOther labels than by default, not counted: {'; '.join(apart)}.\n" if apart else ""
    return (
        table(
            "recipe | what | arithmetic | variant | engine | threads | ms | best peer | of ours "
            "[95 % interval] | met",
            "`{recipe}` | {what} | {arithmetic} | `{variant}` | `{engine}` | {threads} | {ours_ms:.4g} | "
            "{best_peer} | {ratio:.3f} [{ratio_low:.3f}, {ratio_high:.3f}] | {told}",
            told,
            left=5,
        )
        + listed
        + f"\n{environment['cpu']}, {environment['cores']} cores, load {environment['load_1min']:.1f} at the "
        f"start; {versions(environment)}.\n"
    )
