"""`edgewright bench`: what a bundle's variants cost where they run."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from edgewright.runtime import console

if TYPE_CHECKING:
    from edgewright.benchmarks.measurement import Measurement

HELP = "measure the latency and memory of a bundle's variants"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="a bundle folder")
    parser.add_argument("--variants", metavar="LIST", help="comma-separated (default: all of the bundle's)")
    parser.add_argument("--target", default="local", help="where to measure (default: %(default)s)")
    parser.add_argument(
        "--threads", type=int, default=1, help="threads of the interpreter (default: %(default)s)"
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE.json", help="raw samples (default: BUNDLE-bench.json)"
    )


def run(arguments: argparse.Namespace) -> int:
    from edgewright.benchmarks import environment, measurement
    from edgewright.runtime import files, jsonio
    from edgewright.runtime.contract import SCHEMA_VERSION
    from edgewright.runtime.errors import InputError
    from edgewright.runtime.manifest import Bundle

    if arguments.threads < 1:
        raise InputError(f"expected at least 1 thread, got {arguments.threads}")
    target = measurement.get(arguments.target)
    bundle = Bundle.open(arguments.bundle)
    chosen = [v.name for v in bundle.manifest.variants]
    if arguments.variants:
        chosen = [bundle.variant(name.strip()).name for name in arguments.variants.split(",")]
    plan = measurement.Plan(threads=arguments.threads)
    found = []
    with console.progress("measuring", total=len(chosen)) as bar:
        for name in chosen:
            found.append(target.run(bundle, name, plan))
            bar.advance(note=name)
    out = arguments.out or measurement.default_out(arguments.bundle)
    record = {
        "schema_version": SCHEMA_VERSION,
        "bundle": bundle.manifest.name,
        "plan": dataclasses.asdict(plan),
        "environment": environment.describe(),
        "measurements": [dataclasses.asdict(m) for m in found],
    }
    files.write_file(out, jsonio.dump(record, indent=None))
    _print(arguments.target, plan.threads, found)
    console.say(f"wrote {out}")
    return 0


def _print(target: str, threads: int, found: list[Measurement]) -> None:
    from edgewright.benchmarks.stats import percentile

    def ms(nanoseconds: float) -> str:
        return f"{nanoseconds / 1e6:.4g}"

    rows = []
    for m in found:
        warm = {p: percentile(m.samples_ns["warm_run"], p) for p in (50, 90, 99)}
        rows.append(
            (
                m.variant,
                ms(m.samples_ns["load"][0]),
                ms(m.samples_ns["first_run"][0]),
                ms(warm[50].value),
                f"{ms(warm[50].low)} to {ms(warm[50].high)}",
                ms(warm[90].value),
                ms(warm[99].value),
                ms(percentile(m.samples_ns["jpeg_to_label"], 50).value),
                ms(percentile(m.samples_ns["png_to_label"], 50).value),
                f"{m.peak_rss_bytes / 2**20:.1f}",
                m.kernels,
            )
        )
    columns = (
        "variant",
        "load",
        "first run",
        "p50",
        "p50, 95 % interval",
        "p90",
        "p99",
        "JPEG to label",
        "PNG to label",
        "peak RSS MiB",
        "kernels",
    )
    cpu = found[0].environment["cpu"]
    console.table(f"Latency in ms, batch 1, {threads} thread(s), target {target}: {cpu}", columns, rows)
