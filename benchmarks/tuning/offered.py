"""Which engines of a backend work here; in a process of its own, as a package for another processor ends it.

python -m edgewright.benchmarks.tuning.offered BACKEND
"""

from __future__ import annotations

import json
import subprocess
import sys

from edgewright.runtime import backends, plugins

_SECONDS = 60.0


def engines() -> tuple[list[str], dict[str, str]]:
    """Those of all installed backends, the defaults of the suffixes first; and why others are left out."""
    names = plugins.names(backends.__name__)
    found: list[str] = []
    failed: dict[str, str] = {}
    for name in sorted(names, key=lambda name: name in backends.BY_NAME_ONLY):
        if not (backend := backends.get(name)).available():
            failed[name] = f"not installed: pip install 'edgewright[{backend.extra}]'"
            continue
        told = _asked(name)
        if isinstance(told, str):
            failed[name] = told
        else:
            found += [f"{name}{suffix}" for suffix in told]
    return found, failed


def _asked(name: str) -> list[str] | str:
    """What follows the backend's name in its engines; or why there are none."""
    command = [sys.executable, "-P", "-m", __name__, name]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
        if done.returncode:
            last = (done.stderr.strip().splitlines() or [f"it ended with status {done.returncode}"])[-1]
            return f"cannot be used here: {last}"
        return [str(one) for one in json.loads(done.stdout)]
    except (OSError, ValueError, subprocess.TimeoutExpired) as failure:
        return f"cannot be asked for its engines: {failure}"


if __name__ == "__main__":
    sys.stdout.write(json.dumps(list(backends.get(sys.argv[1]).engines())))
