"""`edgewright lint`: on which engines of phones and boards a file runs, rightly, and how much of it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from edgewright.runtime import console

if TYPE_CHECKING:
    from edgewright.benchmarks.linting import Answer, Linted

HELP = "say on which engines of phones and boards a file runs and gives the CPU's answers, by running it"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        f"{HELP[0].upper()}{HELP[1:]}. What an engine lacks or gets wrong is named by the Keras layer. Exit "
        "status 0 whatever the engines answer, 1 if the file cannot be read."
    )
    parser.add_argument(
        "path", type=Path, metavar="FILE|BUNDLE", help="any .tflite or .onnx file, or a bundle folder"
    )
    parser.add_argument("--json", action="store_true", help="all that is known, as one JSON object")


def run(arguments: argparse.Namespace) -> int:
    import json

    from edgewright.benchmarks.linting import lint

    say = (lambda line: None) if arguments.json else console.say
    found = []
    with console.progress("linting", total=0) as bar:
        for linted in lint(arguments.path, say=say, asking=lambda engine: bar.advance(0, note=engine)):
            found.append(linted)
            if not arguments.json:
                _show(linted)
    if arguments.json:
        told = {"path": str(arguments.path), "files": [one.to_json() for one in found]}
        console.say(json.dumps(told))
    return 0


def _show(linted: Linted) -> None:
    columns = ("engine", "runs", "right", "accelerated", "in the way")
    console.table(
        f"{linted.variant or linted.file.name}: {linted.file}",
        columns,
        [_row(answer) for answer in linted.answers],
        also="--json",
    )
    for note in linted.notes:
        console.say(note)
    for answer in linted.answers:
        if said := "; ".join(filter(None, (answer.remedy, answer.note))):
            console.say(f"{answer.engine}: {said}")


def _row(answer: Answer) -> tuple[str, ...]:
    from edgewright.benchmarks.linting._subject import listed

    runs = {True: "yes", False: "no", None: "-"}[answer.runs]
    share = "-" if answer.share is None else f"{answer.share:.0%}"
    right = {"right": "yes", "differs": "differs", "wrong": "no"}.get(answer.verdict, "-")
    return answer.engine, runs, right, share, listed(answer.blamed) or "-"
