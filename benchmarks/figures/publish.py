"""Collects published figures: one flat row a figure, in `benchmarks/figures/results/*.json`.

    python -m edgewright.benchmarks.figures.publish train CHECKPOINT… --out DIR
    python -m edgewright.benchmarks.figures.publish export BUNDLE… --out DIR
    python -m edgewright.benchmarks.figures.publish bench FILE… --out DIR

Reads what the commands of these names wrote; nothing is measured or typed here. Rows that a file already
holds stay, but those of a recipe, data set and target that are published anew, and those of other versions.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgewright.benchmarks.figures import script
from edgewright.benchmarks.record.record import TIMES, Record, read_record
from edgewright.benchmarks.record.stats import Estimate
from edgewright.runtime import console
from edgewright.runtime.bundle.manifest import Bundle, Manifest
from edgewright.runtime.disk import jsonio
from edgewright.runtime.disk.files import write_file
from edgewright.runtime.errors import CheckpointError, InputError

SCHEMA_VERSION = 1
Row = Mapping[str, Any]


def train_row(checkpoint: jsonio.JsonObject) -> Row:
    """What was trained on what, and how well it does, from a `checkpoint.json`."""
    training, metrics = checkpoint.object("training"), checkpoint.object("metrics")
    return {
        "recipe": checkpoint.text("recipe"),
        "data": checkpoint.object("data").text("name"),
        "seed": checkpoint.integer("seed"),
        "epochs": training.integer("epochs"),
        "best_epoch": training.integer("best_epoch"),
        "seconds": training.number("seconds"),
        "parameters": training.integer("parameters"),
        **{name: metrics.number(name) for name in ("train_accuracy", "validation_accuracy", "test_accuracy")},
    }


def export_rows(manifest: Manifest) -> list[Row]:
    """A row for the Keras model and one a variant, those left out included."""
    data = manifest.provenance["data"]["name"]
    common = {"recipe": manifest.name, "data": data, "seed": manifest.calibration["seed"]}
    reference = manifest.reference
    rows: list[Row] = [
        {**common, "variant": "keras-float32", "verdict": "reference", "reason": ""}
        | {key: reference[key] for key in ("accuracy", "bytes", "gzip_bytes", "samples")}
    ]
    for variant in manifest.variants:
        sizes = {"bytes": variant.file.bytes, "gzip_bytes": variant.gzip_bytes}
        rows.append({**common, "variant": variant.name, **sizes, **_parity(vars(variant.parity))})
    for refused in manifest.refused:
        parity = refused.get("parity") or {"verdict": "failed"}
        sizes = {key: refused[key] for key in ("bytes", "gzip_bytes") if refused.get(key)}
        judged = {**_parity(parity), "reason": refused["reason"]}
        rows.append({**common, "variant": refused["name"], **sizes, **judged})
    return rows


def _parity(report: Row) -> Row:
    """A report with what stands beside its figures among them, and what a pool gave by names of its own."""
    own = {key: value for key, value in report.items() if key not in ("beside", "pool")}
    pool = {f"pool_{key}": value for key, value in report.get("pool", {}).items()}
    return {**own, **report.get("beside", {}), **pool}


_FIRST = (*TIMES, "inferences_per_second", "peak_rss", "macs", "peak_share")  # then all that a target counts


def bench_rows(record: Record) -> list[Row]:
    """A row a figure of each variant, with its interval, and how far answers that were checked are off."""
    rows: list[Row] = []
    for key in record.by_key():
        measured = {"recipe": record.bundle, "variant": key[0], "target": key[1], "threads": key[2]}
        figures = record.figures(key)
        for metric in dict.fromkeys(m for m in (*_FIRST, *figures) if m in figures and m != "bytes"):
            ends = {end: _rounded(value) for end, value in vars(figures[metric].estimate).items()}
            rows.append({**measured, "metric": metric, **ends, "unit": figures[metric].unit})
        if check := next((m.check for m in record.by_key()[key] if m.check), None):
            ends = dict.fromkeys(("value", "low", "high"), _rounded(check.max_abs_error))
            rows.append({**measured, "metric": "golden_max_abs_error", **ends, "unit": ""})
    return rows


def _rounded(value: float) -> float:
    """Six significant digits, whole numbers whole."""
    return int(value) if value == int(value) else float(f"{value:.6g}")


def verdict(ratio: Estimate, limit: float, sense: str = "at most") -> str:
    """`met` if the whole interval keeps the limit (`at most` or `at least` so much), `missed` if none of it
    does, else `not told apart`."""
    low, high = round(ratio.low, 4), round(ratio.high, 4)
    kept = [end <= limit if sense == "at most" else end >= limit for end in (low, high)]
    return "met" if all(kept) else "not told apart" if any(kept) else "missed"


def ratio(estimate: Estimate, digits: int) -> Row:
    """The part of a row that holds a ratio and its interval."""
    ends = {"ratio": estimate.value, "ratio_low": estimate.low, "ratio_high": estimate.high}
    return {end: round(value, digits) for end, value in ends.items()}


def write(path: Path, surroundings: Mapping[str, Any], rows: Sequence[Row]) -> None:
    """Write the rows and the circumstances in which they were made."""
    data = {"schema_version": SCHEMA_VERSION, "environment": surroundings, "rows": rows}
    write_file(path, jsonio.dump(data))
    console.say(f"wrote {path}: {len(rows)} rows")


def _rows(kind: str, path: Path) -> tuple[Mapping[str, Any], list[Row]]:
    """The rows of one source, and the circumstances in which they were made."""
    if kind == "train":
        checkpoint = jsonio.read(path / "checkpoint.json", CheckpointError)
        return {"versions": checkpoint.object("versions").data}, [train_row(checkpoint)]
    if kind == "export":
        manifest = Bundle.open(path).manifest
        surroundings = {"machine": manifest.provenance["machine"], "versions": dict(manifest.versions)}
        return surroundings, export_rows(manifest)
    record = read_record(path)
    return record.environment, bench_rows(record)


def _kept(path: Path, versions: object, rows: Sequence[Row]) -> tuple[Mapping[str, Any] | None, list[Row]]:
    """The rows that the file holds of other recipes, data sets and targets, made with the same versions,
    and the circumstances they were made in; nothing if there are none."""
    if not path.exists():
        return None, []
    published = jsonio.read(path, InputError)
    surroundings = published.object("environment")
    if surroundings.object("versions").data != versions:
        return None, []
    anew = {_of(row) for row in rows}
    held: list[Row] = [row.data for row in published.objects("rows") if _of(row.data) not in anew]
    return (surroundings.data if held else None), held


def _of(row: Row) -> tuple[object, ...]:
    return tuple(row.get(key) for key in ("recipe", "data", "target"))


def each_once(rows: Sequence[Row]) -> list[Row]:
    """The first row of each recipe, data set and variant: two bundles of a checkpoint share some.

    Raises:
        InputError: two of them differ.
    """
    figures = ("accuracy", "bytes", "gzip_bytes")
    once: dict[tuple[object, ...], Row] = {}
    for row in rows:
        key = (row["recipe"], row["data"], row["variant"])
        first = once.setdefault(key, row)
        if any(first.get(name) != row.get(name) for name in figures):
            raise InputError(
                f"expected one result of {row['recipe']} {row['variant']} on {row['data']}, got two that "
                "differ; make its bundles again"
            )
    return list(once.values())


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("kind", choices=("train", "export", "bench"))
    parser.add_argument("sources", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args(words)
    sources = [_rows(arguments.kind, path) for path in arguments.sources]
    surroundings = sources[0][0]
    for path, (other, _) in zip(arguments.sources, sources, strict=True):
        if other["versions"] != surroundings["versions"]:
            raise InputError(
                f"expected results of one set of versions, got others in {path} than in "
                f"{arguments.sources[0]}; make them again"
            )
    rows = [row for _, rows in sources for row in rows]
    if arguments.kind == "export":
        rows = each_once(rows)
    path = arguments.out / f"{arguments.kind}.json"
    earlier, kept = _kept(path, surroundings["versions"], rows)
    # Counts are the same under any load: what is told of the machine is what times were measured in.
    timed = [where for where, made in sources if all(row.get("target") in (None, "local") for row in made)]
    write(path, next(iter(timed), earlier or surroundings), [*kept, *rows])
    return 0


if __name__ == "__main__":
    script.run(main)
