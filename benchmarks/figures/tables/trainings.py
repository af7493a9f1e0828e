"""Tables of what recipes reach, and of what they would reach otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from edgewright.benchmarks.figures.tables import Row, Rows, markdown

_PARTS = {"train": "training", "validation": "validation", "test": "test"}


def train(rows: Rows, _: Row) -> str:
    """A row a recipe and data set, over all seeds that it was trained with."""
    trained: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        trained.setdefault((row["recipe"], row["data"]), []).append(row)
    lines = [
        (
            *(f"`{recipe}`", data, f"{of[0]['parameters']:,}", str(len(of))),
            *(_range([row[key] for row in of]) for key in ("epochs", "best_epoch")),
            f"{fmean(row['seconds'] for row in of):.0f}",
            *(_mean([row[f"{part}_accuracy"] for row in of]) for part in _PARTS),
        )
        for (recipe, data), of in trained.items()
    ]
    columns = ("recipe", "data", "parameters", "seeds", "epochs", "best", "seconds")
    return markdown((*columns, *(f"{name} accuracy" for name in _PARTS.values())), lines, left=2)


def choices(rows: Rows, _: Row) -> str:
    """A row a choice: what validation images say of the recipe as it is, and as it might have been."""
    lines = []
    for recipe in dict.fromkeys(row["of"] for row in rows):
        of = [row for row in rows if row["of"] == recipe]
        ways = [[row for row in of if (row["recipe"] == recipe) is own] for own in (True, False)]
        figures = [_mean([row["validation_accuracy"] for row in way]) if way else "-" for way in ways]
        seeds = " and ".join(dict.fromkeys(str(len(way)) for way in ways))
        lines.append((f"`{recipe}`", of[0]["choice"], figures[0], of[0]["otherwise"], figures[1], seeds))
    columns = ("recipe", "chosen", "validation accuracy", "otherwise", "validation accuracy", "seeds")
    return markdown(columns, lines, left=2)


def _range(values: Sequence[float], digits: int = 0) -> str:
    ends = [f"{end:.{digits}f}" for end in (min(values), max(values))]
    return " to ".join(dict.fromkeys(ends))


def _mean(accuracies: Sequence[float]) -> str:
    """With its range where there are several."""
    several = f" ({_range(accuracies, 4)})" if len(accuracies) > 1 else ""
    return f"{fmean(accuracies):.4f}{several}"
