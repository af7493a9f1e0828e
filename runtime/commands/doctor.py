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

# A network of a cast and a matrix for each backend that can be tried out: 2x2 grey pixels, two scores,
# the sums of the columns. Deflated, base64.
SAMPLES = {
    "litert": (
        ".tflite",
        "eNqFUrtOw0AQ3LsYcIwVjLCsFBQpKCmQUDokOirKlDSIRCEICIoi0eYT+BjEN1BQUPMFETUFnTO3N2c5gSiWxvu43bl9XCwivYvL"
        "07uyLHPo98AMmFuRhnj0gCMgAr4R52QMGPpEtmFH+Hu7o77ZuSzJZd8TePahDfrDwfNkNLyddvrjm+l4Qt5c41rShpZJqvwt+g+B"
        "d+AD+OSdD9ejR2G9L8DVPxy75Gj7IuKculWOSHnc3VvkCTZKLUWSqo4EvhTIeB7mYJlnlT7RmBAfM8cwxnAi4b5guxmewfiFfOU+"
        "jsn/pnWIqXNNeZ+h/NoQ4/dVaC/Cuvy3A68vaTU3qvHbqtZC53qgM/nLkVVzEFvnMpW/0K3ImvyQs9qDrfXg8vfW9OC7k8amPtwu"
        "TvhW3Pkc82v63OYPdPIVqb4f0SjH2fX+7gKOOzwL",
    ),
    "ort": (
        ".onnx",
        "eNpVjUsKwkAQRKeGoG3jJ2lFBTchy3gDN0IEF0Iu4C7mZyA4EEey9SZ6VA2oYMGDetSiiMTLszJvm6o8Wz8zqTXN5gFeMCpBGji7"
        "5GrDAWtrlnhC84SRCoqgv68Ta/MLe4yC0QpM0IsTG99qQRmuySHtIkJ78JW6b9UvXf/346o7m/OMtLisCW/0B5ymDCNjHhKEvmPk"
        "sHJHL/vaHSM=",
    ),
}


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

    found = [examine(name, backends.get(name)) for name in plugins.names("edgewright.runtime.backends")]
    isa = machine.isa()
    notes = _notes()
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
        console.say(json.dumps({**system, "notes": notes, "backends": entries}))
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
        console.table("Interpreters, each tried out on a network of its own", columns, rows, left=4)
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

    if name not in SAMPLES:
        return ""
    suffix, text = SAMPLES[name]
    file = backend.parse(Path(f"the doctor's{suffix}"), zlib.decompress(base64.b64decode(text)))
    session = IsolatedSession(file, threads=1)
    try:
        scores = session.run(np.array([1, 2, 4, 8], np.uint8).reshape(1, 2, 2, 1))
        if scores.tolist() != [[5, 10]]:
            raise ArithmeticError(f"expected scores [[5, 10]], got {scores.tolist()}")
        return session.kernels
    finally:
        session.close()


def _notes() -> list[str]:
    """What is known to make interpreters slow or files unknown, where it is so."""
    from edgewright.runtime import trust

    found = []
    if sys.platform == "linux" and not Path("/sys/devices/system/cpu").is_dir():
        found.append("/sys is not mounted: LiteRT then cannot tell the processor and runs without XNNPACK")
    if not trust.can_list():
        found.append(
            "the cache folder cannot be written: every file is tried out anew each time; set EDGEWRIGHT_CACHE"
        )
    return found + _checked_elsewhere()


def _checked_elsewhere() -> list[str]:
    """What the project's other packages, where installed, find lacking here."""
    from importlib.metadata import entry_points

    found = []
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
