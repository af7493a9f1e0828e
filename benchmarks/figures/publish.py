"""Collects published figures: one flat row a figure, in `benchmarks/figures/results/*.json`.

    python -m edgewright.benchmarks.figures.publish train CHECKPOINT… --out DIR
    python -m edgewright.benchmarks.figures.publish export BUNDLE… --out DIR
    python -m edgewright.benchmarks.figures.publish bench FILE… --out DIR
    python -m edgewright.benchmarks.figures.publish restamp BUNDLE… --out DIR

Reads what the commands of these names wrote; nothing is measured or typed here. Only what the code of today
has made is taken (`pedigree/made.py`). Rows that a file already holds stay, but those of a recipe, data set
and target that are published anew (of trainings: and seed), and those of other versions. `restamp` publishes
nothing anew: a row whose file comes out with the same bytes and figures by the code of today is made by that,
and says so.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgewright.benchmarks.figures import script
from edgewright.benchmarks.figures.pedigree import code, kinds, made
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
        "file_sha256": checkpoint.text("model_sha256"),
        "data_sha256": checkpoint.object("data").text("sha256"),
        **{name: metrics.number(name) for name in ("train_accuracy", "validation_accuracy", "test_accuracy")},
    }


def export_rows(manifest: Manifest) -> list[Row]:
    """A row for the Keras model and one a variant, those left out included."""
    data = manifest.provenance["data"]
    common = {"recipe": manifest.name, "data": data["name"], "seed": manifest.calibration["seed"]}
    common |= {"data_sha256": data["sha256"]} if data.get("sha256") else {}
    reference = manifest.reference
    rows: list[Row] = [
        dict(common, variant="keras-float32", verdict="reference", reason="")
        | {key: reference[key] for key in ("accuracy", "bytes", "gzip_bytes", "samples")}
        | ({"file_sha256": reference["model_sha256"]} if reference.get("model_sha256") else {})
    ]
    for variant in manifest.variants:
        sizes = {"bytes": variant.file.bytes, "gzip_bytes": variant.gzip_bytes}
        judged = {**_parity(vars(variant.parity)), "file_sha256": variant.file.sha256}
        rows.append({**common, "variant": variant.name, **sizes, **judged})
    for refused in manifest.refused:
        parity = refused.get("parity") or {"verdict": "failed"}
        sizes = {key: refused[key] for key in ("bytes", "gzip_bytes") if refused.get(key)}
        judged = {**_parity(parity), "reason": refused["reason"]}
        rows.append({**common, "variant": refused["name"], **sizes, **judged})
    return rows


def _parity(report: Row) -> Row:
    """A report with what stands beside its figures among them, and what a pool gave by names of its own, as
    JSON gives it back."""
    own = {key: value for key, value in report.items() if key not in ("beside", "pool")}
    pool = {f"pool_{key}": value for key, value in report.get("pool", {}).items()}
    told = {**own, **report.get("beside", {}), **pool}
    return {key: list(value) if isinstance(value, tuple) else value for key, value in told.items()}


_FIRST = (*TIMES, "inferences_per_second", "peak_rss", "macs", "peak_share")  # then all that a target counts


def bench_rows(record: Record) -> list[Row]:
    """A row a figure of each variant, with its interval, and how far answers that were checked are off."""
    rows: list[Row] = []
    for key in record.by_key():
        measured = {"recipe": record.bundle, "variant": key[0], "target": key[1], "threads": key[2]}
        model = record.models.get(key[0])
        behind = {"file_sha256": model.sha256} if model is not None and model.sha256 else {}
        figures = record.figures(key)
        for metric in dict.fromkeys(m for m in (*_FIRST, *figures) if m in figures and m != "bytes"):
            ends = {end: _rounded(value) for end, value in vars(figures[metric].estimate).items()}
            rows.append({**measured, "metric": metric, **ends, "unit": figures[metric].unit, **behind})
        if check := next((m.check for m in record.by_key()[key] if m.check), None):
            ends = dict.fromkeys(("value", "low", "high"), _rounded(check.max_abs_error))
            rows.append({**measured, "metric": "golden_max_abs_error", **ends, "unit": "", **behind})
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
    """Write the rows and the circumstances in which they were made. One without a `code` is made now, by the
    sources that this program began with.

    Raises:
        UnknownNameError: the file's name is of no results.
    """
    parts = [kinds.part(path.stem, row) for row in rows]
    made = [(row, part) for row, part in zip(rows, parts, strict=True) if "code" not in row]
    today = code.today({part for _, part in made})
    stamped = [
        row if "code" in row else {**row, "code": today[p]} for row, p in zip(rows, parts, strict=True)
    ]
    for part in (part for part, one in today.items() if one == code.CHANGED):
        console.complain(f"the code of {part.name} changed while it was made; {part.command} makes it again")
    data = {"schema_version": SCHEMA_VERSION, "environment": surroundings, "rows": stamped}
    write_file(path, jsonio.dump(data))
    console.say(f"wrote {path}: {len(rows)} rows")


def held(path: Path) -> list[Row]:
    """The rows that a file holds, none if it is not there; a row that does not say what made it never will.

    Raises:
        InputError: it holds anything else.
    """
    if not path.exists():
        return []
    return [
        {**row.data, "code": row.data.get("code", "")}
        for row in jsonio.read(path, InputError).objects("rows")
    ]


def restamp(folder: Path, bundle: Path) -> int:
    """Stamp the published rows of a bundle's files with the code that made it, where their files have the
    same bytes and all figures are the same; how many there are.

    Raises:
        InputError: the bundle was not made by the code of today.
    """
    rows = export_rows(Bundle.open(bundle).manifest)
    made.check("export", bundle, rows)
    anew = {which(row): row for row in rows}
    count = 0
    for kind in ("export", "int4"):
        published = held(path := folder / f"{kind}.json")
        today = code.today({kinds.part(kind, row) for row in published})
        for place, row in enumerate(published):
            other, now = anew.get(which(row), {}), today[kinds.part(kind, row)]
            if row["code"] != now and row.get("file_sha256") and _is_same(row, other):
                published[place] = {**row, "code": now}
                count += 1
        if path.exists():
            surroundings = jsonio.read(path, InputError).object("environment").data
            write(path, surroundings, published)
    return count


def which(row: Row) -> tuple[object, ...]:
    return tuple(row.get(key) for key in ("recipe", "data", "variant"))


def _is_same(row: Row, other: Row) -> bool:
    """Whether a published row says what one made anew does, as far as it says anything of it."""
    keys = row.keys() & other.keys() - {"code"}
    return "file_sha256" in keys and all(row[key] == other[key] for key in keys)


def _rows(kind: str, path: Path) -> tuple[Mapping[str, Any], list[Row]]:
    """The rows of one source, and the circumstances in which they were made. Raises `InputError`: it was not
    made by the code of today."""
    surroundings: Mapping[str, Any]
    if kind == "train":
        checkpoint = jsonio.read(path / "checkpoint.json", CheckpointError)
        surroundings, rows = {"versions": checkpoint.object("versions").data}, [train_row(checkpoint)]
    elif kind == "export":
        manifest = Bundle.open(path).manifest
        surroundings = {"machine": manifest.provenance["machine"], "versions": dict(manifest.versions)}
        rows = export_rows(manifest)
    else:
        record = read_record(path)
        surroundings, rows = record.environment, bench_rows(record)
    made.check(kind, path, rows)
    return surroundings, rows


def _kept(path: Path, versions: object, rows: Sequence[Row]) -> tuple[Mapping[str, Any] | None, list[Row]]:
    """The rows that the file holds of other recipes, data sets and targets, made with the same versions,
    and the circumstances they were made in; nothing if there are none."""
    if not path.exists():
        return None, []
    published = jsonio.read(path, InputError)
    surroundings = published.object("environment")
    if surroundings.object("versions").data != versions:
        return None, []
    of = _TRAINED if path.stem == "train" else _MEASURED
    anew = {tuple(map(row.get, of)) for row in rows}
    kept = [row for row in held(path) if tuple(map(row.get, of)) not in anew]
    return (surroundings.data if kept else None), kept


_TRAINED, _MEASURED = ("recipe", "data", "seed"), ("recipe", "data", "target")


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
    parser.add_argument("kind", choices=("train", "export", "bench", "restamp"))
    parser.add_argument("sources", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args(words)
    if arguments.kind == "restamp":
        count = sum(restamp(arguments.out, path) for path in arguments.sources)
        console.say(f"{count} rows are of files that the code of today makes with the same bytes")
        return 0
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
