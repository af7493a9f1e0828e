"""Collects what 4-bit files lose, rounded after training or trained in 4 bits: a row a bundle and variant.

    python -m edgewright.benchmarks.figures.int4 BUNDLE… --out DIR

Reads what `edgewright export` wrote beside the checkpoint's folder of the same name (`--models`), which says
how long it was trained; nothing is measured here. Rows of other recipes that the file holds stay.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from edgewright.benchmarks.figures import script
from edgewright.benchmarks.figures.pedigree import made
from edgewright.benchmarks.figures.publish import Row, export_rows, held, write
from edgewright.runtime.bundle.manifest import Bundle
from edgewright.runtime.disk import jsonio
from edgewright.runtime.errors import CheckpointError

FILE = "int4.json"
_PARITY = ("accuracy", "drop", "drop_low", "drop_high", "agreement", "verdict")
_WAYS = {"qat4": "trained in 4 bits", "distill4": "distilled in 4 bits, without labels"}
_KEPT = ("recipe", "data", "variant", "bytes", *_PARITY, "file_sha256", "data_sha256")


def rows_of(bundle: Path, models: Path) -> list[Row]:
    """Those of the 4-bit files of a bundle, those left out included."""
    manifest = Bundle.open(bundle).manifest
    checkpoint = jsonio.read(models / bundle.name / "checkpoint.json", CheckpointError)
    epochs = checkpoint.object("training").integer("epochs")
    return [
        {key: row[key] for key in _KEPT if key in row} | {"way": way(row["variant"]), "epochs": epochs}
        for row in export_rows(manifest)
        if row["variant"].endswith("weight-int4") and "drop" in row
    ]


def way(variant: str) -> str:
    """How a file came to its 4 bits."""
    for name, found in _WAYS.items():
        if f"{name}+" in variant:
            return found
    return "rounded after training"


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("bundles", type=Path, nargs="+")
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args(words)
    for bundle in arguments.bundles:
        made.check("export", bundle, [{}])
    rows = [row for bundle in arguments.bundles for row in rows_of(bundle, arguments.models)]
    manifests = [Bundle.open(bundle).manifest for bundle in arguments.bundles]
    surroundings = {"machine": manifests[0].provenance["machine"], "versions": dict(manifests[0].versions)}
    path = arguments.out / FILE
    anew = {row["recipe"] for row in rows}
    rows = [*(row for row in held(path) if row["recipe"] not in anew), *rows]
    write(path, surroundings, rows)
    return 0


if __name__ == "__main__":
    script.run(main)
