"""How the modules that are run by `python -m` begin and end."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NoReturn

from edgewright.runtime import console
from edgewright.runtime.errors import EdgewrightError


def run(main: Callable[[list[str]], int]) -> NoReturn:
    """Call `main` with the command line's words and exit with its status; a failure is a line and 1."""
    try:
        sys.exit(main(sys.argv[1:]))
    except EdgewrightError as failure:
        console.complain(str(failure))
        sys.exit(1)
