"""Collects what LiteRT's GPU accelerator, or browsers' WebGPU, makes of bundles: a row a recipe and variant.

    python -m edgewright.benchmarks.figures.gpu FILE… --out DIR [--target browser-webgpu]

Reads what `edgewright bench --target gpu`, or `--target browser --headless --webgpu`, wrote; nothing is
measured here. Rows of other recipes that the file holds stay.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from edgewright.benchmarks.figures import script
from edgewright.benchmarks.figures.pedigree import made
from edgewright.benchmarks.figures.publish import Row, held, write
from edgewright.benchmarks.record.record import Record, read_record
from edgewright.runtime.errors import InputError

FILES = {"gpu": "gpu.json", "browser-webgpu": "webgpu.json"}


def rows_of(record: Record, target: str) -> list[Row]:
    """Those of a bundle's variants that were held against the CPU on that target."""
    return [
        {
            "recipe": record.bundle,
            "variant": m.variant,
            **dataclasses.asdict(m.check),
            "file_sha256": record.models[m.variant].sha256,
        }
        for m in record.measurements
        if m.check is not None and m.target == target
    ]


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--target", choices=FILES, default="gpu")
    arguments = parser.parse_args(words)
    records = [read_record(path) for path in arguments.files]
    rows = [row for record in records for row in rows_of(record, arguments.target)]
    if not rows:
        raise InputError(
            f"expected measurements of target {arguments.target}, got none; run edgewright bench"
        )
    for path in arguments.files:
        made.check("bench", path, [{"target": arguments.target}])
    first = next(m for m in records[0].measurements if m.check and m.target == arguments.target)
    told = first.environment
    what = told["cpu"] if arguments.target == "gpu" else f"{told['gpu']}, by WebGPU in {told['browser']}"
    path = arguments.out / FILES[arguments.target]
    anew = {row["recipe"] for row in rows}
    rows = [*(row for row in held(path) if row["recipe"] not in anew), *rows]
    write(path, {"cpu": what, "versions": told["versions"]}, rows)
    return 0


if __name__ == "__main__":
    script.run(main)
