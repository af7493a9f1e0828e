"""`edgewright report`: what bundles and their measurements say, for people, a README or machines."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgewright.runtime import console

HELP = "write a page on a bundle's files: which to ship, what each costs, where it fails"

_WRITERS = "edgewright.benchmarks.report.writers"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundles", type=Path, nargs="+", metavar="BUNDLE", help="bundle folders")
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FILE",
        help=".html, a page that is whole in itself; .md, Markdown for a README; or .json, for machines",
    )
    parser.add_argument(
        "--bench",
        type=Path,
        action="append",
        default=[],
        metavar="FILE.json",
        help="measurements of one of the bundles (default: BUNDLE-bench.json, which edgewright bench writes)",
    )


def run(arguments: argparse.Namespace) -> int:
    from edgewright.benchmarks.report import facts
    from edgewright.runtime import plugins
    from edgewright.runtime.disk import files
    from edgewright.runtime.errors import InputError

    out: Path = arguments.out
    known = plugins.names(_WRITERS)
    if out.suffix.removeprefix(".") not in known or out.is_dir():
        raise InputError(f"expected --out to end in {', '.join(f'.{name}' for name in known)}, got {out}")
    write = plugins.get(_WRITERS, out.suffix.removeprefix("."), "WRITER")
    report = facts.gather(arguments.bundles, arguments.bench)
    files.write_file(out, write(report))
    for task in report.tasks:
        console.say(f"ship {task.advice.best.name} of {task.advice.best.model}: {task.advice.reason}")
    for subject in report.subjects:
        if subject.bench is None:
            console.say(f"speed of {subject.model} was not measured; to have it: {subject.bench_command}")
    console.say(f"wrote {out}")
    return 0
