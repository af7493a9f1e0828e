"""`edgewright report`: what bundles and their measurements say, for people, a README or machines."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgewright.runtime import console

HELP = "write a page on a bundle's files: which to ship, what each costs, where it fails"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    what = "bundle folders, and model files of no bundle, of which only costs are told"
    parser.add_argument("bundles", type=Path, nargs="+", metavar="BUNDLE|FILE", help=what)
    out = ".html, a page that is whole in itself; .md, Markdown for a README; or .json, for machines"
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help=out)
    bench = (
        "measurements of one of them, more than once for several machines (default: BUNDLE-bench.json, which "
        "edgewright bench writes)"
    )
    parser.add_argument(
        "--explain",
        type=Path,
        metavar="FILE.json",
        help="what edgewright explain BUNDLE --out wrote, shown too",
    )
    parser.add_argument("--bench", type=Path, action="append", default=[], metavar="FILE.json", help=bench)


def run(arguments: argparse.Namespace) -> int:
    from edgewright.benchmarks.report.writers import write_report

    report = write_report(arguments.bundles, arguments.out, arguments.bench, arguments.explain)
    for task in report.tasks:
        console.say(f"ship {task.advice.best.name} of {task.advice.best.model}: {task.advice.reason}")
    for subject in report.measured:
        if not subject.benches:
            console.say(f"speed of {subject.model} was not measured; to have it: {subject.bench_command}")
    console.say(f"wrote {arguments.out}")
    return 0
