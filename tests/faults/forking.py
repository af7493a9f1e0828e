"""A process that has imported what a command needs, and forks to run it: a killed run costs its time alone.

It reads jobs from standard input and answers each, a line of JSON:

    {"words": [...], "after": SECONDS or null, "log": PATH, "tmpfs": [PATH, OPTIONS] or null, "cache": PATH}
    {"status": INT, "seconds": FLOAT, "session": INT}

`after` is when the run is killed by SIGKILL. `tmpfs` is mounted for this run alone, such as with
`size=BYTES` or `ro`; what lies in it at the end is listed in `LOG.ls`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

_CLONE_NEWNS = 0x20000


def _mounted(path: str, options: str) -> None:
    import ctypes

    if ctypes.CDLL(None).unshare(_CLONE_NEWNS):
        raise OSError("cannot make a namespace")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", path], check=True)


def _child(job: dict[str, Any]) -> None:
    from edgewright.runtime import cli, console

    os.setsid()
    null, log = os.open(os.devnull, os.O_RDWR), os.open(job["log"], os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
    for handle, target in ((null, 0), (null, 1), (log, 2)):
        os.dup2(handle, target)
    os.environ["EDGEWRIGHT_CACHE"] = job["cache"]
    console.EVERY = 3600.0  # what is read here is complaints, not how far it is
    if job.get("tmpfs"):
        _mounted(*job["tmpfs"])
    status = cli.main(job["words"])
    if job.get("tmpfs"):
        Path(job["log"] + ".ls").write_text("\n".join(sorted(os.listdir(job["tmpfs"][0]))))  # noqa: PTH208
    sys.exit(status)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    for name in sys.argv[1:]:
        module, _, function = name.partition(":")
        found = import_module(module)
        if function:
            getattr(found, function)()
    _say("ready")
    for line in sys.stdin:
        job = json.loads(line)
        began = time.monotonic()
        child = os.fork()
        if child == 0:
            _child(job)
        end = None if job["after"] is None else began + job["after"]
        done, status = 0, 0
        while not done:
            if end is not None and time.monotonic() > end:
                os.kill(child, signal.SIGKILL)  # a process that has ended is there until it is waited for
                end = None
            time.sleep(0.001)
            done, status = os.waitpid(child, os.WNOHANG)
        answer = {"status": os.waitstatus_to_exitcode(status), "seconds": time.monotonic() - began}
        _say(json.dumps(answer | {"session": child}))


if __name__ == "__main__":
    main()
