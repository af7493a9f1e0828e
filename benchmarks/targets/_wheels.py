"""Wheels for another machine, fetched here by pip or uv: it need not reach an index itself."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from edgewright.runtime import plugins
from edgewright.runtime.errors import TargetError
from edgewright.runtime.machine.child import call

NEWEST = 36  # the glibc 2.N of the newest wheels there are


def installer() -> tuple[str, ...]:
    """The words that call pip or uv, none if neither is here."""
    if plugins.installed("pip"):
        return (sys.executable, "-m", "pip")
    found = shutil.which("uv")
    return (found, "pip") if found else ()


def unpack(wanted: Sequence[str], machine: str, python: str, site: Path, *, glibc: int = NEWEST) -> None:
    """Fetch wheels alone, without what they require, and unpack them into the folder `site`.

    Args:
        wanted: such as "numpy==2.1.0".
        machine: as wheels name it, such as aarch64.
        python: its version, such as 3.11.
        glibc: which 2.N the machine has; wheels of a newer one are left out.

    Raises:
        TargetError: there are none of these, or no way to fetch them.
    """
    words = installer()
    if not words:
        raise TargetError(f"cannot get {' '.join(wanted)}: neither pip nor uv is here; install one of them")
    # Their other requirements are tools that running a model needs nothing of.
    common = ("--quiet", "--no-deps", "--only-binary", ":all:", "--target", str(site))
    if words[0] == sys.executable:  # pip takes no tag to mean the older ones too, uv does
        tags = (
            f"manylinux2014_{machine}",
            *(f"manylinux_2_{minor}_{machine}" for minor in range(17, glibc + 1)),
        )
        platform_words = (
            *(word for tag in tags for word in ("--platform", tag)),
            *("--implementation", "cp", "--disable-pip-version-check"),
        )
    else:
        newest = f"{machine}-manylinux_2_{min(glibc, 28)}"
        platform_words = ("--python-platform", newest, "--python", sys.executable)
    done = call([*words, "install", *common, *platform_words, "--python-version", python, *wanted])
    if done.returncode != 0:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        raise TargetError(
            f"cannot get {' '.join(wanted)} for {machine} and Python {python}: "
            f"{lines[-1] if lines else f'it ended with status {done.returncode}'}; "
            "see whether pip reaches its index from here"
        )
