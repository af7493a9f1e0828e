"""`edgewright demo-page`: a page that shows what a bundle's files make of a picture."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgewright.runtime import console

HELP = "write a page that shows a bundle at work in any browser: pictures, camera, labels, milliseconds"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="a folder that export wrote")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="the folder to write, for any host of files"
    )
    parser.add_argument(
        "--variants", metavar="NAMES", help="which files, with commas (default: all that browsers run)"
    )
    parser.add_argument(
        "--assets", metavar="DIR", help="node_modules with the engines' packages, instead of npm"
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace a page that this command wrote and nobody has changed since",
    )


def run(arguments: argparse.Namespace) -> int:
    from edgewright.apps import page

    names = arguments.variants.split(",") if arguments.variants else None
    written = page.write(
        arguments.bundle,
        arguments.out,
        variants=names,
        given=arguments.assets,
        overwrite=arguments.overwrite,
        say=console.say,
    )
    for name, why in written.left_out.items():
        console.say(f"{name} is left out: {why}")
    console.say(
        f"wrote {arguments.out / 'index.html'}, {written.bytes / 1e6:.1f} MB in all with "
        f"{', '.join(written.variants)}; to see it here: python3 -m http.server -d {arguments.out}"
    )
    return 0
