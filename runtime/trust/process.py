"""Starts the process apart: a fresh interpreter whose first act is `sandbox.enter`.

Fresh, not forked: a fork of a process with threads (numpy's, the app's) may hang in a lock that another
thread held, and Windows has none. It is told where packages are found, and gets of the environment only what
decides how libraries load and compute: keys and passwords lie there too.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from edgewright.runtime import backends, plugins
from edgewright.runtime.machine.child import ChildProcess

# Packages are found beside other packages, not before Python's own.
_FIRST = """
import json, sys
job = json.loads(sys.argv[1])
spot = next((i for i, entry in enumerate(sys.path) if "-packages" in entry), len(sys.path))
sys.path[spot:spot] = [entry for entry in job["paths"] if entry not in sys.path]
from edgewright.runtime.trust import sandbox
sandbox.enter(job)
"""
_KEPT = ("LANG", "PATH", "SYSTEMROOT", "TMPDIR", "TMP", "TEMP", "GLIBC_TUNABLES", "VIRTUAL_ENV")
_KEPT_BEGINNINGS = (
    "LC_",
    "LD_",
    "DYLD_",
    "OMP_",
    "KMP_",
    "OPENBLAS_",
    "MKL_",
    "NPY_",
    "MALLOC_",
    "ORT_",
    "XNN",
)


def start(
    function: str,
    words: Sequence[str] = (),
    *,
    reads: Sequence[str] = (),
    handles: Sequence[int] = (),
    log: bool = False,
) -> ChildProcess:
    """Start a process that calls a function of this project, restricted as far as the system can.

    Args:
        function: as `package.module:name`.
        words: what it is called with.
        reads: files and folders it may read besides Python and its packages.
        handles: open files that it inherits, under the same numbers.
        log: as for `ChildProcess`.

    Raises:
        OSError, TypeError, ValueError: no process can be started.
    """
    packages = _packages(function)
    job = {
        "function": function,
        "words": list(words),
        "paths": [home for home in sys.path if home in {home for home, _ in packages}],
        "reads": [*reads, *(os.path.realpath(folder) for _, folder in packages)],
        "parent": os.getpid(),
        "with_thread": threading.current_thread() is threading.main_thread(),
    }
    kept = {
        k: v for k, v in os.environ.items() if k.upper() in _KEPT or k.upper().startswith(_KEPT_BEGINNINGS)
    }
    # BLAS would start a thread a core, each of which counts as memory.
    environment = kept | {"OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-I", "-B", "-c", _FIRST, json.dumps(job)]
    return ChildProcess(command, environment=environment, inherit=False, handles=handles, log=log)


def _packages(function: str) -> list[tuple[str, str]]:
    """Of each package that the process needs: where it is found by its name, and its folder, which may be
    linked from elsewhere."""
    interpreters = [backends.get(name).module for name in plugins.names("edgewright.runtime.backends")]
    needed = ["edgewright.runtime", ".".join(function.split(".")[:2]), "numpy", "PIL"]
    found = []
    for package in [*needed, *(name.partition(".")[0] for name in interpreters)]:
        spec = find_spec(package) if plugins.installed(package) else None
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            found.append((str(Path(folder).parents[package.count(".")]), folder))
    return found
