"""Collects published figures: one flat row a figure, in `benchmarks/results/*.json`.

    python -m edgewright.benchmarks.results --checkpoint DIR --bundle DIR --bench FILE --out DIR

Reads what `train`, `export` and `bench` wrote; nothing is measured or typed here.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgewright.benchmarks.stats import across
from edgewright.runtime import console, jsonio
from edgewright.runtime.errors import BundleError, CheckpointError, EdgewrightError
from edgewright.runtime.files import write_file
from edgewright.runtime.manifest import Bundle

SCHEMA_VERSION = 1
Row = Mapping[str, Any]


def train_rows(checkpoint: Path) -> list[Row]:
    """One row from a checkpoint folder: what was trained on what, and how well it does."""
    found = jsonio.read(checkpoint / "checkpoint.json", CheckpointError)
    training, metrics = found.object("training"), found.object("metrics")
    return [
        {
            "recipe": found.text("recipe"),
            "data": found.object("data").text("name"),
            "seed": found.integer("seed"),
            "epochs": training.integer("epochs"),
            "seconds": training.number("seconds"),
            "parameters": training.integer("parameters"),
            "validation_accuracy": metrics.number("validation_accuracy"),
            "test_accuracy": metrics.number("test_accuracy"),
        }
    ]


def export_rows(bundle: Path) -> list[Row]:
    """A row for the Keras model and one a variant, those left out included."""
    manifest = Bundle.open(bundle).manifest
    common = {"recipe": manifest.name, "seed": manifest.calibration["seed"]}
    reference = manifest.reference
    rows: list[Row] = [
        {**common, "variant": "keras-float32", "verdict": "reference", "reason": ""}
        | {key: reference[key] for key in ("accuracy", "bytes", "gzip_bytes", "samples")}
    ]
    for variant in manifest.variants:
        sizes = {"bytes": variant.file.bytes, "gzip_bytes": variant.gzip_bytes}
        rows.append({**common, "variant": variant.name, **sizes, **vars(variant.parity)})
    for refused in manifest.refused:
        parity = refused.get("parity") or {"verdict": "failed"}
        rows.append({**common, "variant": refused["name"], **parity, "reason": refused["reason"]})
    return rows


def bench_rows(path: Path) -> list[Row]:
    """A row for each variant and figure, derived from the raw samples that `bench` kept."""
    found = jsonio.read(path, BundleError)
    variants: dict[tuple[str, str, int], list[jsonio.JsonObject]] = {}
    for m in found.objects("measurements"):
        variants.setdefault((m.text("variant"), m.text("target"), m.integer("threads")), []).append(m)
    rows: list[Row] = []
    for (variant, target, threads), measured in variants.items():
        common = {
            "recipe": found.text("bundle"),
            "variant": variant,
            "target": target,
            "threads": threads,
        }
        for stage, name, percent in (
            ("load", "load", 50),
            ("first_run", "first_run", 50),
            ("warm_run", "p50", 50),
            ("warm_run", "p90", 90),
            ("warm_run", "p99", 99),
            ("jpeg_to_label", "jpeg_to_label_p50", 50),
            ("png_to_label", "png_to_label_p50", 50),
        ):
            e = across([m.object("samples_ns").integers(stage) for m in measured], percent)
            figures = {key: round(getattr(e, key) / 1e6, 6) for key in ("value", "low", "high")}
            rows.append({**common, "metric": name, **figures, "unit": "ms"})
        peaks = sorted(round(m.integer("peak_rss_bytes") / 2**20, 2) for m in measured)
        figures = {"value": peaks[-1], "low": peaks[0], "high": peaks[-1]}
        rows.append({**common, "metric": "peak_rss", **figures, "unit": "MiB"})
    return rows


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for name in ("checkpoint", "bundle", "bench", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    arguments = parser.parse_args(words)
    checkpoint = jsonio.read(arguments.checkpoint / "checkpoint.json", CheckpointError)
    manifest = Bundle.open(arguments.bundle).manifest
    bench = jsonio.read(arguments.bench, BundleError).object("environment").data
    # The circumstances are those in which a figure was made, not those in which it is collected.
    tables = {
        "train": ({"versions": checkpoint.object("versions").data}, train_rows(arguments.checkpoint)),
        "export": (
            {"machine": manifest.provenance["machine"], "versions": dict(manifest.versions)},
            export_rows(arguments.bundle),
        ),
        "bench": (bench, bench_rows(arguments.bench)),
    }
    for name, (surroundings, rows) in tables.items():
        data = {"schema_version": SCHEMA_VERSION, "environment": surroundings, "rows": rows}
        write_file(arguments.out / f"{name}.json", jsonio.dump(data))
        console.say(f"wrote {arguments.out / name}.json: {len(rows)} rows")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except EdgewrightError as failure:
        console.complain(str(failure))
        sys.exit(1)
