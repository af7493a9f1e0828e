"""Runs tests again and again, each time in a fork of a process that has imported what they import.

    python forking.py MODULE… < questions > answers    (lines of JSON; see `project.py`)

Of the project itself nothing is imported here: a fork imports what its files say then.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
from contextlib import suppress
from importlib import import_module
from typing import Any


def main() -> None:
    for name in sys.argv[1:]:
        with suppress(ImportError):  # which tests do without, or say so
            import_module(name)
    for line in sys.stdin:
        question = json.loads(line)
        child = os.fork()
        if child == 0:
            run(question)
        status = waited(child, question["seconds"])
        sys.stdout.write(f"{json.dumps({'status': status})}\n")
        sys.stdout.flush()


def run(question: dict[str, Any]) -> None:
    """In the fork: pytest with those `words`, its output into the file `log`."""
    import pytest

    os.setsid()
    given, log = (
        os.open(os.devnull, os.O_RDONLY),
        os.open(question["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
    )
    for place, handle in enumerate((given, log, log)):
        os.dup2(handle, place)
    status = 3
    try:
        status = int(pytest.main(question["words"]))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        sys.stdout.flush()
        os._exit(status)


def waited(child: int, seconds: float | None) -> int | None:
    """How a fork ended; None of one that was ended as it took longer."""
    end = None if seconds is None else time.monotonic() + seconds
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if end is not None and time.monotonic() > end:
            with suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return None
        time.sleep(0.02)


if __name__ == "__main__":
    main()
