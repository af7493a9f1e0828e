"""`edgewright how-to`: how an app feeds a file of a bundle."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgewright.apps import howto
from edgewright.runtime import console

HELP = "show the code with which an app feeds a file of a bundle"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="a folder that export wrote")
    parser.add_argument("platform", choices=howto.PLATFORMS, help="where the app runs")
    parser.add_argument(
        "--mediapipe", action="store_true", help="by MediaPipe Tasks, which reads the file's own metadata"
    )
    parser.add_argument(
        "--variant", metavar="NAME", help="which file (default: the smallest one for the platform)"
    )


def run(arguments: argparse.Namespace) -> int:
    from edgewright.runtime.bundle.manifest import Bundle

    bundle, platform = Bundle.open(arguments.bundle), arguments.platform
    if arguments.variant:
        variant = bundle.variant(arguments.variant)
    else:
        variant = howto.for_platform(platform, bundle.manifest, mediapipe=arguments.mediapipe)
    code = howto.snippet(platform, bundle.manifest, variant, mediapipe=arguments.mediapipe)
    mark = "#" if platform == "raspberry-pi" else "//"  # into a file, it compiles
    for line in (*(f"{mark} {fact}" for fact in howto.facts(bundle.manifest, variant).splitlines()), mark):
        console.say(line)
    for line in code.splitlines():
        console.say(line)
    return 0
