"""`edgewright app`: a small project that runs a file of a bundle."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgewright.apps import projects
from edgewright.runtime import console

HELP = "write a small project that runs a file of a bundle: for Android, iOS, C++, Python, the web"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="a folder that export wrote")
    parser.add_argument("--lang", choices=projects.names(), required=True, help="which project")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the folder to write")
    parser.add_argument(
        "--variant", metavar="NAME", help="which file (default: the smallest one for the language)"
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace a project that this command wrote and nobody has changed since",
    )


def run(arguments: argparse.Namespace) -> int:
    from functools import partial

    from edgewright.apps import folder
    from edgewright.runtime.bundle.manifest import MANIFEST
    from edgewright.runtime.disk import outside

    folder.check(arguments.out, overwrite=arguments.overwrite)
    project = projects.get(arguments.lang)
    read = partial(_read, arguments.bundle, arguments.variant, project.suffixes, arguments.lang)
    app = outside.settled(arguments.bundle, read, MANIFEST)
    made = project.files(app)
    of = {"lang": arguments.lang, "variant": app.variant.name, "sha256": app.variant.file.sha256}
    folder.write(arguments.out, made, of, overwrite=arguments.overwrite)
    total = sum(len(raw) for raw in made.values())
    console.say(
        f"{arguments.out}: {len(made)} files, {total:,} bytes, for {app.variant.name}; README.md there says "
        "how to build, run and test it"
    )
    if app.variant.not_for_gpu:
        console.say(f"runs on the CPU alone: {app.variant.not_for_gpu}")
    return 0


def _read(path: Path, name: str | None, suffixes: tuple[str, ...], what: str) -> projects.App:
    from edgewright.runtime.bundle.manifest import Bundle

    bundle = Bundle.open(path)
    variant = bundle.variant(name) if name else projects.smallest(bundle.manifest, suffixes, what)
    projects.check(bundle.manifest, variant, suffixes, what)
    return projects.app(bundle, variant)
