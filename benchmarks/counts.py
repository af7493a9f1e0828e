"""A table of what was counted rather than timed: a row a count, a column a variant."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from edgewright.benchmarks.measurement import Measurement
from edgewright.runtime import console


def show(found: Sequence[Measurement]) -> None:
    """Print the medians of every count, and every note.

    Args:
        found: measurements on one target, each of another variant.
    """
    names = list(dict.fromkeys(name for measured in found for name in measured.counts))
    rows = [(name, *(_median(measured.counts.get(name)) for measured in found)) for name in names]
    kernels = ("kernels", *(measured.kernels for measured in found))
    columns = ("count", *(measured.variant for measured in found))
    console.say(f"{found[0].environment['cpu']}")
    console.table(f"Target {found[0].target}", columns, [*rows, kernels])
    for measured in found:
        for note in measured.notes:
            console.say(f"warning: {measured.variant}: {note}")


def _median(samples: Sequence[float] | None) -> str:
    if not samples:
        return "-"
    value = statistics.median(samples)
    return f"{value:,.0f}" if value == int(value) or value >= 1000 else f"{value:.4g}"
