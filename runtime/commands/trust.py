"""`edgewright trust`: vouch for model files, so that they are opened directly, or no longer do."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgewright.runtime import console

HELP = "open files of yours directly on this machine, not in a process of their own"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "paths", nargs="+", type=Path, metavar="PATH", help="a model file, or a bundle folder"
    )
    parser.add_argument("--forget", action="store_true", help="no longer do so")


def run(arguments: argparse.Namespace) -> int:
    from edgewright.runtime import trust

    for path in arguments.paths:
        for file in _files(path):
            if arguments.forget:
                trust.forget(file)
                console.say(f"{file} runs in a process of its own again")
            else:
                trust.remember(file)
                console.say(f"{file} is opened directly from now on")
    return 0


def _files(path: Path) -> list[Path]:
    """The file itself, or those of a bundle that an interpreter here opens."""
    if not path.is_dir():
        return [path]
    from edgewright.runtime import backends
    from edgewright.runtime.bundle.manifest import Bundle
    from edgewright.runtime.errors import MissingExtraError

    bundle = Bundle.open(path)
    found = [bundle.path(entry.file) for entry in bundle.manifest.variants]
    runs = [file for file in found if backends.for_path(file).available()]
    if not runs:
        raise MissingExtraError(f"an interpreter for {found[0].name}", backends.for_path(found[0]).extra)
    return runs
