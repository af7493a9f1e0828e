"""The circumstances of a measurement: without them a figure says nothing."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

_PACKAGES = ("edgewright", "ai-edge-litert", "onnxruntime", "numpy", "pillow")


def describe() -> dict[str, Any]:
    """CPU model and flags, cores, governor and load where the system tells, and versions."""
    from edgewright.runtime.machine import processor, threads  # threads needs numpy

    machine = platform.machine()
    return {
        "cpu": processor.processor().removesuffix(f" ({machine})"),
        "machine": machine,
        "isa": list(processor.isa() or ()),
        "cores": os.cpu_count(),
        "cores_allowed": threads.cores(),
        "governor": _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "virtual_machine": processor.is_virtual(),
        "load_1min": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {package: version(package) for package in _PACKAGES},
    }


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def version(package: str) -> str | None:
    """The installed version of a package, None if there is none."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
