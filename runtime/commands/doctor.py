"""`edgewright doctor`: what runs model files on this machine, tried out, and what would cure the rest."""

from __future__ import annotations

import argparse
import base64
import dataclasses
import json
import platform
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgewright.runtime import console

if TYPE_CHECKING:
    from edgewright.runtime.backends import Backend

HELP = "show which interpreters, kernels and processor features work on this machine"

_CHECKS = "edgewright.checks"  # entry points: functions that give lines to show


@dataclass(frozen=True, kw_only=True)
class Finding:
    """How one backend does here. `remedy` is what to do, empty if it works."""

    backend: str
    files: str
    package: str
    version: str
    works: bool
    kernels: str
    offers: tuple[str, ...]
    remedy: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="the same as one JSON object")


def run(arguments: argparse.Namespace) -> int:
    from edgewright.runtime import backends, plugins
    from edgewright.runtime.machine import processor as machine
    from edgewright.runtime.machine import threads
    from edgewright.runtime.trust import trial

    found = [examine(name, backends.get(name)) for name in plugins.names("edgewright.runtime.backends")]
    isa = machine.isa()
    notes = _notes()
    holds = trial.holds()
    system = {
        "processor": machine.processor(),
        "isa": None if isa is None else list(isa),
        "cores": threads.cores(),
        "system": platform.platform(),
        "python": platform.python_version(),
        **{package: _version(package) for package in ("edgewright", "numpy", "pillow")},
    }
    if arguments.json:
        entries = [dataclasses.asdict(finding) for finding in found]
        console.say(json.dumps({**system, "notes": notes, "backends": entries, "isolation": holds}))
    else:
        for key, value in system.items():
            text = "unknown" if value is None else ", ".join(value) if isinstance(value, list) else value
            console.say(f"{key:10} {text}")
        rows = [
            (
                f.backend,
                f.files,
                f"{f.package} {f.version}".strip(),
                "works" if f.works else "does not",
                f.kernels or "-",
                ", ".join(f.offers) or "-",
                f.remedy or "-",
            )
            for f in found
        ]
        columns = ("backend", "files", "package", "state", "kernels", "offers", "what to do")
        console.table(
            "Interpreters, each tried out on a network of its own",
            columns,
            rows,
            left=4,
            drop=("offers", "kernels", "files"),
        )
        console.table(
            "The process apart, in which files run that nobody vouched for, tried out",
            ("protection", "holds", "by"),
            [(trial.TITLES[key], "yes" if held else "no", trial.MEANS[key]) for key, held in holds.items()],
            left=3,
        )
        for note in notes:
            console.say(f"note: {note}")
    if any(finding.works for finding in found):
        return 0
    console.complain("no interpreter works here; " + found[0].remedy)
    return 1


def examine(name: str, backend: Backend) -> Finding:
    """Try a backend out, in a process of its own: a package for another processor ends the one it is in."""
    remedy, kernels, works = f"pip install 'edgewright[{backend.extra}]'", "", False
    offers: tuple[str, ...] = ()
    if backend.available():
        try:
            kernels = _try(name, backend)
            offers, works, remedy = tuple(backend.offers()), True, ""
        except Exception as failure:  # whatever a broken package raises
            reason = " ".join(str(failure).split())
            remedy = f"{reason}; pip install --force-reinstall {backend.package}"
    return Finding(
        backend=name,
        files=" ".join(backend.suffixes),
        package=backend.package,
        version=_version(backend.package) or ("" if backend.available() else "is not installed"),
        works=works,
        kernels=kernels,
        offers=offers,
        remedy=remedy,
    )


def _try(name: str, backend: Backend) -> str:
    """The kernels that ran a backend's sample, empty if there is none. Raises if it gave wrong scores."""
    import numpy as np

    from edgewright.runtime.trust.isolation import IsolatedSession

    if not backend.sample:
        return ""
    raw = zlib.decompress(base64.b64decode(backend.sample))
    file = backend.parse(Path(f"the doctor's{backend.suffixes[0]}"), raw)
    session = IsolatedSession(file, 1, name)
    try:
        scores = session.run(np.array([1, 2, 4, 8], np.uint8).reshape(1, 2, 2, 1))
        if scores.tolist() != [[5, 10]]:
            raise ArithmeticError(f"expected scores [[5, 10]], got {scores.tolist()}")
        return session.kernels
    finally:
        session.close()


def _notes() -> list[str]:
    """What is known to make interpreters slow or files unknown, where it is so, and what the project's other
    packages, where installed, find lacking here."""
    from importlib.metadata import entry_points

    from edgewright.runtime import trust
    from edgewright.runtime.machine import tuned

    found = []
    if sys.platform == "linux" and not Path("/sys/devices/system/cpu").is_dir():
        found.append("/sys is not mounted: LiteRT then cannot tell the processor and runs without XNNPACK")
    found.append(
        "a file of yours that runs in the process apart is opened directly after: edgewright trust FILE"
    )
    if not trust.can_list():
        found.append(
            "no file can be listed as trusted, so each runs in the process apart: "
            + (trust.distrust() or "the cache folder cannot be written; set EDGEWRIGHT_CACHE")
        )
    found += [f"{tuned.described(one)}; {one.folder}" for one in tuned.every()]
    for entry in entry_points(group=_CHECKS):
        try:
            found += entry.load()()
        except ImportError as failure:
            found.append(f"{entry.name} cannot be checked: {failure}")
    return found


def _version(package: str) -> str | None:
    from importlib import metadata

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
