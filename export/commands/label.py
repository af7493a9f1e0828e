"""`edgewright label`: labels for the pictures of a pool that could prove more files, and their verdict."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edgewright.runtime import console

if TYPE_CHECKING:
    from edgewright.export.labelling.session import Session

HELP = "label the pictures of a pool on which a model and its files part, and judge the files again"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "bundle", type=Path, metavar="BUNDLE", help="what export --out named, whether or not it was written"
    )
    parser.add_argument(
        "--csv",
        type=Path,
        metavar="FILE",
        help="label elsewhere: writes the table FILE, and its pictures beside it, if there is none yet; else "
        "reads the answers out of it",
    )


def run(arguments: argparse.Namespace) -> int:
    from edgewright.export import formats
    from edgewright.export.labelling import answers, kept, settle
    from edgewright.export.labelling.session import Session
    from edgewright.runtime.bundle.manifest import OURS, SIGNATURE

    opened = kept.read(arguments.bundle)
    settle.check(opened, arguments.bundle)
    session = Session(opened, max(settle.look_of(opened, name) for name in opened.names))
    if arguments.csv is None:
        if session.next() is not None:
            _serve(session)
    elif arguments.csv.exists():
        count = answers.read_table(arguments.csv, opened.questions, opened.manifest.labels, session.log)
        console.say(f"{count} answers in {arguments.csv}")
    else:
        folder = answers.write_table(arguments.csv, opened.questions, opened.manifest.labels, session.log)
        console.say(
            f"wrote {arguments.csv} and {folder}: fill in the column 'answer' with a label, 'other' or "
            "'unsure', and run this again"
        )
        return 0
    if not session.answered:
        console.complain("nothing is labelled yet")
        return 1
    if warning := session.warning():
        console.complain(warning)
    settled = settle.judge(session)
    was_signed = (arguments.bundle / SIGNATURE).exists()
    ours = (*OURS, *(f"*{formats.get(f).suffix}" for f in formats.names()))
    new = settle.write(opened, settled, arguments.bundle, ours)
    for each in settled:
        if each.passed and each.joint is not None:
            console.say(
                f"{each.name} passed: accuracy drop {each.joint.drop:+.4f}, at most {each.joint.high:+.4f} "
                f"where {each.joint.limit:g} is allowed, with {each.labelled} labels of disputed pictures"
            )
        else:
            console.complain(f"{each.name} left out, {each.reason}")
    if new:
        console.say(f"wrote {arguments.bundle}: {', '.join(new)} added")
        if was_signed:
            console.say(f"the signature of {arguments.bundle} was of what it held before: sign it again")
    return 0 if all(each.passed for each in settled) else 1


def _serve(session: Session) -> None:
    """Show the page until its reader has finished, or Ctrl-C."""
    import webbrowser

    from edgewright.export.labelling.server import Server

    with Server(session) as server:
        console.say(f"{len(session) - session.answered} pictures want a label: {server.url}")
        console.say("Finish on the page, or Ctrl-C here, ends it; what was answered is kept")
        if (
            sys.platform in ("darwin", "win32")
            or os.environ.get("DISPLAY")
            or os.environ.get("WAYLAND_DISPLAY")
        ):
            webbrowser.open(server.url)
        try:
            while not server.finished.wait(0.2):
                pass
            server.wait_for_page()
        except KeyboardInterrupt:
            console.say()
