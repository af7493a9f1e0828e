"""Collects what LiteRT's GPU accelerator makes of bundles: a row a recipe and variant.

    python -m edgewright.benchmarks.figures.gpu FILE… --out DIR

Reads what `edgewright bench --target gpu` wrote; nothing is measured here. Rows of other recipes that the
file holds stay.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from edgewright.benchmarks.figures import script
from edgewright.benchmarks.figures.publish import Row, write
from edgewright.benchmarks.record.record import Record, read_record
from edgewright.runtime.disk import jsonio
from edgewright.runtime.errors import InputError

FILE = "gpu.json"


def rows_of(record: Record) -> list[Row]:
    """Those of a bundle's variants that were held against the CPU on target gpu."""
    return [
        {"recipe": record.bundle, "variant": m.variant, **dataclasses.asdict(m.check)}
        for m in record.measurements
        if m.check is not None and m.target == "gpu"
    ]


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args(words)
    records = [read_record(path) for path in arguments.files]
    rows = [row for record in records for row in rows_of(record)]
    if not rows:
        raise InputError("expected measurements of target gpu, got none; run: edgewright bench --target gpu")
    environment = records[0].environment
    surroundings = {"cpu": next(m for m in records[0].measurements if m.check).environment["cpu"]}
    path = arguments.out / FILE
    if path.exists():
        anew = {row["recipe"] for row in rows}
        held = [row.data for row in jsonio.read(path, InputError).objects("rows")]
        rows = [*(row for row in held if row["recipe"] not in anew), *rows]
    write(path, {**surroundings, "versions": environment["versions"]}, rows)
    return 0


if __name__ == "__main__":
    script.run(main)
