"""The published rows of what was attacked, kept in one order and each replaced alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgewright.benchmarks.figures import publish
from edgewright.benchmarks.figures.reliability.attacks import ATTACKS
from edgewright.benchmarks.figures.reliability.targets import TARGETS
from edgewright.benchmarks.measure import environment

Row = Mapping[str, Any]
KILLED = ("train", "export", "bench")
NAMES = (*ATTACKS, *(f"fuzz-{name}" for name in TARGETS), *(f"kill-{name}" for name in KILLED))
FILE = "reliability.json"


def put(folder: Path, rows: Sequence[Row]) -> None:
    """Write rows into the file of the folder, which keeps its rows of other attacks.

    Raises:
        InputError: a file that is none of these rows.
    """
    path = folder / FILE
    names = {row["attack"] for row in rows}
    kept = [row for row in publish.held(path) if row.get("attack") not in names]
    publish.write(
        path, environment.describe(), sorted((*kept, *rows), key=lambda r: NAMES.index(r["attack"]))
    )
