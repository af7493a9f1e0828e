"""`edgewright tune`: what runs a bundle fastest on this machine, of what computes it as it was proven."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

from edgewright.runtime import console

if TYPE_CHECKING:
    from edgewright.benchmarks.tuning.tuner import Row, Tuning

HELP = "find the fastest engine, variant and threads for a bundle here, and remember it"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="a bundle folder")
    parser.add_argument(
        "--for",
        dest="purpose",
        default="latency",
        metavar="WHAT",
        help="latency: the time of one image; throughput: of many, on all cores; memory: the peak of a "
        "process (default: %(default)s)",
    )
    parser.add_argument("--variants", metavar="LIST", help="comma-separated (default: all that are proven)")
    parser.add_argument(
        "--threads",
        metavar="N,…",
        help="how many each engine is tried with (default: 1, 2, 4, … to all cores)",
    )
    parser.add_argument(
        "--images",
        "--pool",
        type=Path,
        metavar="FOLDER|ZIP|NPZ",
        help="up to 1,000 images, without labels, to judge engines on; those that compute with fewer bits "
        "are not chosen without",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")


def run(arguments: argparse.Namespace) -> int:
    from edgewright.benchmarks.tuning import images, tuner
    from edgewright.runtime.bundle.manifest import Bundle

    given = None
    if arguments.images is not None:
        given = images.read(arguments.images, Bundle.open(arguments.bundle).manifest)
    options = tuner.TuneOptions(
        purpose=arguments.purpose,
        variants=tuple(map(str.strip, arguments.variants.split(","))) if arguments.variants else (),
        threads=_threads(arguments.threads),
        images=given,
    )
    with console.Bars("tuning") as bars:
        found = tuner.tune(
            arguments.bundle,
            options,
            done=bars,
        )
    if arguments.json:
        console.say(json.dumps(_told(found)))
    else:
        _show(arguments.bundle, found)
    return 0


def _threads(text: str | None) -> tuple[int, ...]:
    """Raises `InputError`."""
    from edgewright.runtime.errors import InputError

    if text is None:
        return ()
    counts = [int(part) if part.strip().isdecimal() else 0 for part in text.split(",")]
    if min(counts) < 1:
        raise InputError(f"expected --threads to be whole numbers from 1, with commas, got {text}")
    return tuple(counts)


def _show(bundle: Path, found: Tuning) -> None:
    memory = found.record.purpose == "memory"
    for name, reason in found.left_out.items():
        console.complain(f"{name} is not measured: {reason}")
    rows = [
        (
            *(row.candidate.entry.name, row.candidate.engine),
            str(row.candidate.threads),
            _amount(row, 2**20 if memory else 1e6),
            f"{row.ratio.value:.3f} [{row.ratio.low:.3f}, {row.ratio.high:.3f}]" if row.ratio else "-",
            row.verdict.status,
            row.verdict.reason or _agreement(row),
        )
        for row in sorted(found.rows, key=_order)
    ]
    columns = ("variant", "engine", "threads", "MiB" if memory else "ms", "of the default", "verdict", "why")
    console.table(f"Tuned for {found.record.purpose}, fastest first", columns, rows, left=2, drop=("why",))
    for arithmetic, choice in found.record.choices.items():
        more = "" if arithmetic == "exact" else f", may='{arithmetic}'"
        console.say(
            f"load('{bundle}', engine='fastest'{more}) takes {choice.variant} on {choice.engine}, threads: "
            f"{choice.threads}"
        )


def _order(row: Row) -> tuple[float, float]:
    """Those that met, by what they take of the default; then the others."""
    ratio, value = row.ratio, row.value
    return (ratio.value if ratio else 1e99, value.value if value else 1e99)


def _amount(row: Row, unit: float) -> str:
    if row.value is None:
        return "-"
    value, low, high = (f"{number / unit:.4g}" for number in dataclasses.astuple(row.value))
    return f"{value} [{low}, {high}]"


def _agreement(row: Row) -> str:
    share = row.verdict.agreement
    if share is None:
        return ""
    return f"agrees on {share.value:.4f} [{share.low:.4f}, {share.high:.4f}] of {row.verdict.images:,} images"


def _told(found: Tuning) -> dict[str, object]:
    rows = [
        {
            "variant": row.candidate.entry.name,
            "engine": row.candidate.engine,
            "arithmetic": row.candidate.arithmetic,
            "threads": row.candidate.threads,
            "value": row.value and dataclasses.asdict(row.value),
            "ratio": row.ratio and dataclasses.asdict(row.ratio),
            **dataclasses.asdict(row.verdict),
        }
        for row in found.rows
    ]
    return {**dataclasses.asdict(found.record), "rows": rows, "left_out": dict(found.left_out)}
