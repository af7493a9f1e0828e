"""How the modules that are run by `python -m` begin and end, and how they run other commands."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

from edgewright.benchmarks.figures.pedigree import code
from edgewright.runtime import console
from edgewright.runtime.errors import EdgewrightError


def run(main: Callable[[list[str]], int]) -> NoReturn:
    """Call `main` with the command line's words and exit with its status; a failure is a line and 1. What
    it publishes is stamped with the code that it begins with."""
    code.begin()
    try:
        sys.exit(main(sys.argv[1:]))
    except EdgewrightError as failure:
        console.complain(str(failure))
        sys.exit(1)


def python(
    words: Sequence[str],
    what: str,
    environment: Mapping[str, str] = {},
    *,
    error: type[EdgewrightError] = EdgewrightError,
    despite: str = "",
) -> str:
    """What another Python, with `environment` added to this one's, says on standard output.

    Args:
        words: its command line, behind `-P`.
        what: is named in the `error` if it fails, with its last words; if it says `despite` that is none.
    """
    done = subprocess.run(
        [sys.executable, "-P", *words], env=os.environ | environment, capture_output=True, encoding="utf-8"
    )
    if done.returncode and not (despite and despite in done.stderr):
        raise error(f"{what} failed: {(done.stderr.splitlines() or ['no message'])[-1]}")
    return done.stdout
