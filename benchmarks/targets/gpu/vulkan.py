"""A Vulkan in software, set up once in the cache folder: SwiftShader, as Debian's Chromium brings it.

The accelerator computes through WebGPU (Dawn) on Vulkan. Of SwiftShader's driver and the loader, 6 MB,
nothing is installed. Debian 12's other software Vulkan (Mesa's llvmpipe) is refused by Dawn.
"""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgewright.benchmarks.targets import Say, _apt
from edgewright.benchmarks.targets.gpu import devices
from edgewright.runtime.disk import files, jsonio
from edgewright.runtime.errors import OutputError, TargetError

DRIVER, LOADER = "vk_swiftshader_icd.json", "libvulkan.so.1"
_LIBRARY = "libvk_swiftshader.so"
_INSTALLED = (Path("/usr/lib/chromium"), Path("/usr/lib64/chromium-browser"), Path("/opt/google/chrome"))
# Which of them has the driver differs between Debian's releases.
_PACKAGES = (("chromium-common", "libvulkan1"), ("chromium",))
_ABOUT = "about.json"
_LAYOUT = 1  # of the folder; another number makes it be set up anew
_MOST_BYTES = 2**27  # of one of the files


@dataclass(frozen=True, kw_only=True)
class Vulkan:
    """`folder` holds a driver in software and the loader; None: the system's own, of a real GPU. `about` says
    what it is."""

    folder: Path | None
    about: Mapping[str, Any]


def missing() -> str:
    """What this system lacks for it, and what to do; empty if nothing."""
    if sys.platform != "linux":
        return f"Vulkan on Linux; on {platform.system()} the accelerator was not tried"
    if _apt.available() or _installed() or devices.real():
        return ""
    return "apt-get (Debian, Ubuntu), an installed Chromium, or a GPU with a Vulkan driver"


def ready(say: Say = lambda line: None, *, software: bool = False) -> Vulkan:
    """The system's own Vulkan where that has a real GPU, else one in software, set up if it is not yet: at
    most a minute, 50 MB to fetch, 6 MB on disk.

    Args:
        say: told a line if that takes long.
        software: in any case.

    Raises:
        TargetError: it cannot be set up here; the message says what is missing or what failed.
    """
    if not software and (found := devices.real()):
        return Vulkan(folder=None, about={"gpus": list(found)})
    path = files.cache_folder() / "targets" / _name()
    if not (path / _ABOUT).is_file():
        if lacking := missing():
            raise TargetError(f"target gpu needs {lacking}")
        say("setting up target gpu, once: a Vulkan in software")
        try:
            with files.new_folder(path, overwrite=False, ours=("*",)) as (new, scratch):
                _set_up(new, scratch)
        except OutputError:
            if not (path / _ABOUT).is_file():  # else another process was faster
                raise
    return Vulkan(folder=path.resolve(), about=jsonio.read(path / _ABOUT, TargetError).data)


def _name() -> str:
    try:
        system = platform.freedesktop_os_release()
    except OSError:
        system = {}
    told = [_LAYOUT, system.get("ID"), system.get("VERSION_ID"), platform.machine()]
    return f"gpu-swiftshader-{hashlib.sha256(json.dumps(told).encode()).hexdigest()[:8]}"


def _installed() -> Path | None:
    """The folder of a Chromium on this system that has driver and loader."""
    return next((folder for folder in _INSTALLED if _has_all(folder)), None)


def _has_all(folder: Path) -> bool:
    return all((folder / name).is_file() for name in (DRIVER, _LIBRARY, LOADER))


def _set_up(new: Path, scratch: Path) -> None:
    start = time.monotonic()
    about: dict[str, Any] = {"packages": []}
    if (installed := _installed()) is not None:
        about["copied_from"] = str(installed)
        found = {name: installed / name for name in (_LIBRARY, LOADER)}
    else:
        found = {}
        for packages in _PACKAGES:
            tree = scratch / packages[0]
            about["packages"] += _apt.unpack(
                packages, _apt.native(), tree, scratch, on_this_system=False, alone=True
            )
            for name in (_LIBRARY, LOADER):
                if places := sorted(tree.rglob(name), key=lambda file: len(file.parts)):
                    found.setdefault(name, places[0])
            if len(found) == 2:
                break
    if lacking := [name for name in (_LIBRARY, LOADER) if name not in found]:
        raise TargetError(
            f"expected {' and '.join(lacking)} in Debian's chromium packages, got none; install Chromium, "
            "whose copy is then taken"
        )
    for name, file in found.items():
        if installed is None and not file.resolve().is_relative_to(scratch.resolve()):
            raise TargetError(f"expected {name} inside its package, got a link to {file.resolve()}")
        if file.stat().st_size > _MOST_BYTES:
            raise TargetError(f"expected {name} of at most {_MOST_BYTES} bytes, got {file.stat().st_size}")
        shutil.copyfile(file, new / name)
    # The same as Chromium's own, whatever that says: the one library beside it.
    driver = {
        "file_format_version": "1.0.0",
        "ICD": {"library_path": f"./{_LIBRARY}", "api_version": "1.0.5"},
    }
    (new / DRIVER).write_bytes(jsonio.dump(driver))
    about["seconds"] = round(time.monotonic() - start, 1)
    (new / _ABOUT).write_bytes(jsonio.dump(about))
