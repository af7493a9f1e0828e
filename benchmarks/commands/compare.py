"""`edgewright compare`: is B slower than A, here?"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from edgewright.runtime import console
from edgewright.runtime.commands import _foreign

HELP = "say whether one model file is slower than another, with a proof"
_WHAT = "BUNDLE:VARIANT, a bundle folder (its recommended variant), or any .tflite or .onnx file"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("a", metavar="A", help=_WHAT)
    parser.add_argument("b", metavar="B", help="what is compared with it, the same")
    parser.add_argument(
        "--threads", type=int, default=1, help="threads of the interpreter (default: %(default)s)"
    )
    _foreign.add_size(parser)
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="write raw figures too")


def run(arguments: argparse.Namespace) -> int:
    from edgewright.benchmarks.compare import comparison as compare
    from edgewright.benchmarks.measure import environment
    from edgewright.runtime.contract import SCHEMA_VERSION
    from edgewright.runtime.disk import files, jsonio

    design = compare.Design(threads=arguments.threads)
    if arguments.out is not None:
        files.check_file(arguments.out)
    a, b = (compare.side(word, arguments.size) for word in (arguments.a, arguments.b))
    surroundings = environment.describe()
    with console.progress("comparing", total=design.pairs) as bar:
        result = compare.compare(a, b, design, done=bar.advance)
    console.say(f"A {a.name}: {result.a_ns / 1e6:.4g} ms")
    console.say(f"B {b.name}: {result.b_ns / 1e6:.4g} ms")
    for note in result.notes:
        console.say(f"warning: {note}")
    console.say(f"{result.verdict()}, {compare.CONFIDENCE:.0%} interval of {design.pairs} pairs of processes")
    if arguments.out is not None:
        told = {
            "schema_version": SCHEMA_VERSION,
            "a": a.name,
            "b": b.name,
            "plan": dataclasses.asdict(design),
        }
        told |= {"environment": surroundings, "verdict": result.verdict(), **dataclasses.asdict(result)}
        files.write_file(arguments.out, jsonio.dump(told))
        console.say(f"wrote {arguments.out}")
    return 0
