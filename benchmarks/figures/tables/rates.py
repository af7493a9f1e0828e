"""The tables of how often the gate is wrong and figures of a browser are, of what repair makes of files that
collapse, of 4 bits, and of attacks on what is read."""

from __future__ import annotations

from typing import Any

from edgewright.benchmarks.figures.tables import Row, Rows, markdown, table, versions


def gate(rows: Rows, environment: Row) -> str:
    """A row a limit and discordance, a column a number of images: which part of the draws passes."""
    sizes = sorted({row["images"] for row in rows})
    kinds: dict[tuple[Any, ...], dict[int, Row]] = {}
    for row in rows:
        what = f"loses {100 * row['class_drop']:g} points of a class" if "class_drop" in row else "no drop"
        what = "at the bound" if row["at_bound"] else what
        if row["limit"] == "min-agreement" and not row["at_bound"]:
            what = "half of that disagreement"
        key = (row["limit"], row["bound"], row["discordance"], what)
        kinds.setdefault(key, {})[row["images"]] = row
    lines = [
        (
            *(f"`{limit}` {bound:g}", what, f"{100 * discordance:g} %"),
            *(f"{100 * of[n]['passed'] / of[n]['draws']:.2f}" if n in of else "" for n in sizes),
        )
        for (limit, bound, discordance, what), of in kinds.items()
    ]
    columns = ("limit", "the file", "discordance", *(f"{n:,} images" for n in sizes))
    said = f"\nPer cent of {rows[0]['draws']:,} draws that pass; {versions(environment)}.\n"
    return markdown(columns, lines, left=2) + said


_PLAIN = " (loads without optimizations alone)"


def repair(rows: Rows, environment: Row) -> str:
    """A row a case, format and way: what it gets right, by how much less than the float model."""
    told = [
        {
            **row,
            "interval": f"{100 * row['drop_low']:+.2f} to {100 * row['drop_high']:+.2f}",
            "behind": f"{100 * row['ours_behind_high']:+.2f}" if "ours_behind_high" in row else "",
            "points": 100 * row["drop"],
            "way": f"{row['way']}{_PLAIN if row.get('plain') else ''}",
            "multiplied": f"{100 * row['in_8_bits']:.1f} %" if "in_8_bits" in row else "",
            "a76": f"{row['a76_instructions'] / 1e6:.1f}" if "a76_instructions" in row else "",
            "leaves": f"{100 * row['npu_leaves']:.0f} %" if "npu_leaves" in row else "",
        }
        for row in rows
    ]
    return (
        table(
            "case | format | way | accuracy | drop, points | 95 % interval | float operators | "
            "multiplied in 8 bits | Cortex-A76, million instructions | NPU leaves | seconds | "
            "ours behind it, at most",
            "{case} | {format} | {way} | {accuracy:.4f} | {points:+.2f} | {interval} | {float_ops} | "
            "{multiplied} | {a76} | {leaves} | {seconds:.1f} | {behind}",
            told,
            left=3,
        )
        + f"\n{environment['cpu']}, {environment['cores']} cores; {versions(environment)}.\n"
    )


def int4(rows: Rows, environment: Row) -> str:
    """A row a recipe and file of 4-bit weights."""
    told = [
        {
            **row,
            "interval": f"{100 * row['drop_low']:+.2f} to {100 * row['drop_high']:+.2f}",
            "points": 100 * row["drop"],
        }
        for row in rows
    ]
    return (
        table(
            "recipe | epochs | variant | way | accuracy | drop, points | 95 % interval | agreement | bytes | "
            "verdict",
            "`{recipe}` | {epochs} | `{variant}` | {way} | {accuracy:.4f} | {points:+.2f} | {interval} | "
            "{agreement:.4f} | {bytes:,} | {verdict}",
            told,
            left=4,
        )
        + f"\n{versions(environment)}.\n"
    )


def reliability(rows: Rows, environment: Row) -> str:
    """A row an attack, and one of all of them."""
    counted = ("inputs", "accepted", "refused", "crashes", "hangs", "accepted_wrong")
    worst = ("most_bytes", "slowest_seconds")
    whole = {
        "attack": "all",
        **{key: sum(row[key] for row in rows) for key in counted},
        **{key: max(row[key] for row in rows) for key in worst},
    }
    told = [{**row, "mib": row["most_bytes"] / 2**20} for row in (*rows, whole)]
    return (
        table(
            "attack | inputs | accepted | refused | crashes | hangs | accepted wrongly | most memory, MiB | "
            "slowest, s",
            "{attack} | {inputs:,} | {accepted:,} | {refused:,} | {crashes} | {hangs} | {accepted_wrong} | "
            "{mib:.1f} | {slowest_seconds:.2f}",
            told,
            left=1,
        )
        + f"\n{environment['cpu']}, {environment['cores']} cores; {versions(environment)}.\n"
    )


def browser(rows: Rows, environment: Row) -> str:
    """A row a file, way and truth: how often a difference was found."""
    told = [
        {
            **row,
            "which": "as taken" if row["how"] == "taken" else f"drawn from {row['frames']} frames",
            "true": f"{row['slow_down']:.0%}" if row["slow_down"] else "none",
            "share": row["found"] / row["comparisons"],
        }
        for row in rows
    ]
    return (
        table(
            "recipe | variant | comparisons | true slow-down | how many | found | B to A, median [range]",
            "`{recipe}` | `{variant}` | {which} | {true} | {comparisons:,} | {found:,} ({share:.1%}) | "
            "{ratio:.3f} [{ratio_low:.3f}, {ratio_high:.3f}]",
            told,
            left=4,
        )
        + f"\nA clock with steps of {rows[0]['clock_step_ns'] / 1000:g} µs; {environment['cpu']}, "
        f"{environment['cores']} cores, load {environment['load_1min']:.1f} at the start.\n"
    )
