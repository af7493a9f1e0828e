"""Sets the emulated machine up, once for each set of versions, and runs Python in it.

A folder of the cache holds QEMU (`host`), the arm64 Linux (`sysroot`), the wheels (`site`), the plugin that
counts, and a root for each processor: `/proc` and `/sys` of its own over links into the `sysroot`. QEMU looks
there for every absolute path before it takes the host's, so no chroot and no root are needed.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from edgewright.benchmarks.targets import Say, _apt, _wheels
from edgewright.benchmarks.targets.arm64.processors import PROCESSORS, Processor, cpuinfo, write_root
from edgewright.runtime.disk import files, jsonio
from edgewright.runtime.errors import MissingExtraError, OutputError, TargetError
from edgewright.runtime.machine.child import call

SYSROOT = "EDGEWRIGHT_ARM64_SYSROOT"

_WHEELS = ("ai-edge-litert", "onnxruntime", "numpy", "pillow")
_ARM64_PACKAGES = ("python3-minimal", "libpython3-stdlib", "libstdc++6")
_PLUGIN = Path(__file__).with_name("count.c")
_PLUGIN_APIS = range(1, 10)  # QEMU has raised the oldest version that it takes, and may again
_PYTHONS = ("usr/bin/python3", "usr/local/bin/python3")
_ABOUT = "about.json"
_OURS = ("*",)
_LAYOUT = 1  # of the folder; another number makes machines set themselves up anew
_AARCH64 = 183  # e_machine of ELF files
_TRIAL = """\
import json, platform, sys
import ai_edge_litert.interpreter, numpy, onnxruntime, PIL
print(json.dumps({"python": platform.python_version(), "machine": platform.machine()}))
"""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """`about` says what it is made of: versions of QEMU, Python and wheels, Debian's package files, and
    whether it `counts` instructions."""

    folder: Path
    about: Mapping[str, Any]

    def run(
        self,
        processor: Processor,
        words: Sequence[str],
        *,
        marks: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run the machine's Python with the arguments `words` and wait for it.

        Args:
            processor: which one it believes to have.
            words: what follows `python3`.
            marks: a file that gets the instructions so far, a line for each call of `os.sched_yield`.
            environment: variables to add; of the caller's own only PATH is taken.
        """
        plugin = () if marks is None else ("-plugin", f"./count.so,out={marks}")
        command = (
            *(self.about["emulator"], "-cpu", processor.model, "-L", f"roots/{processor.name}"),
            *(*plugin, "-U", "LD_LIBRARY_PATH", str(self.folder / self.about["interpreter"])),
            *words,
        )
        surroundings = {
            "PATH": os.environ.get("PATH", os.defpath),
            "LD_LIBRARY_PATH": ":".join(str(self.folder / place) for place in self.about["libraries"]),
            "PYTHONPATH": str(self.folder / "site"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUTF8": "1",
            "PYTHONHASHSEED": "0",  # or dictionaries, and with them the counts, differ from run to run
            "OPENBLAS_NUM_THREADS": "1",
            **(environment or {}),
        }
        return call(command, self.folder, surroundings)


def missing() -> str:
    """What this system lacks for setting the machine up, and what to do; empty if nothing."""
    if sys.platform != "linux":
        return f"QEMU's user mode, which runs on Linux only, not on {platform.system()}"
    lacking = []
    if not _apt.available():
        if not os.environ.get(SYSROOT):
            lacking.append(f"apt-get (Debian, Ubuntu), or the folder of an arm64 Linux in ${SYSROOT}")
        if not shutil.which("qemu-aarch64"):
            lacking.append("qemu-aarch64 (install qemu-user; the static build takes no plugins)")
    if not _compiler():
        lacking.append("a C compiler (install gcc)")
    if not _wheels.installer():
        lacking.append("pip or uv")
    return "; ".join(lacking)


def ready(say: Say = lambda line: None) -> Machine:
    """The machine, set up if it is not yet: 20 s and 80 MB to fetch, 300 MB on disk.

    Raises:
        TargetError: it cannot be set up here; the message says what is missing or what failed.
        MissingExtraError: an interpreter whose version it is to have is not installed here.
    """
    wheels = {}
    for name in _WHEELS:
        try:
            wheels[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            raise MissingExtraError(f"{name}, whose version the arm64 machine takes,", "bench") from None
    path = files.cache_folder() / "targets" / _name(wheels)
    if not (path / _ABOUT).is_file():
        if lacking := missing():
            raise TargetError(f"target arm64 needs {lacking}")
        if given := os.environ.get(SYSROOT):
            _python(Path(given), f"${SYSROOT}")
        say("setting up target arm64, once: an emulated machine and its aarch64 wheels")
        try:
            with files.new_folder(path, overwrite=False, ours=_OURS) as (new, scratch):
                _set_up(new, scratch, wheels)
        except OutputError:
            if not (path / _ABOUT).is_file():  # else another process was faster
                raise
    about = jsonio.read(path / _ABOUT, TargetError).data
    return Machine(folder=path.resolve(), about=about)


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    """What a process that failed said last, fit for an error's one line."""
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    return lines[-1] if lines else f"it ended with status {done.returncode}"


def _name(wheels: Mapping[str, str]) -> str:
    """A folder's name that differs whenever what is in it would."""
    try:
        system = platform.freedesktop_os_release()
    except OSError:
        system = {}
    rest = [_LAYOUT, system.get("ID"), system.get("VERSION_ID"), os.environ.get(SYSROOT), wheels]
    rest += [_PLUGIN.read_text(encoding="utf-8"), *map(cpuinfo, PROCESSORS)]
    digest = hashlib.sha256(json.dumps(rest).encode()).hexdigest()[:8]
    return f"arm64-litert{wheels['ai-edge-litert']}-onnxruntime{wheels['onnxruntime']}-{digest}"


def _set_up(new: Path, scratch: Path, wheels: Mapping[str, str]) -> None:
    start = time.monotonic()
    about: dict[str, Any] = {"wheels": dict(wheels), "packages": []}
    emulator = shutil.which("qemu-aarch64")
    if _apt.available():
        host = new / "host"
        about["packages"] += _apt.unpack(["qemu-user"], _apt.native(), host, scratch, on_this_system=True)
        emulator = "./host/usr/bin/qemu-aarch64"
        for file in (host / "usr/bin").iterdir():
            if file.name != "qemu-aarch64":
                file.unlink()
        shutil.rmtree(new / "host/usr/share", ignore_errors=True)
    about["emulator"] = emulator
    libraries = {file.parent.relative_to(new) for file in (new / "host").rglob("*.so*")}
    about["libraries"] = sorted(map(str, libraries))

    if given := os.environ.get(SYSROOT):
        about["sysroot"] = given
        (new / "sysroot").symlink_to(Path(given).absolute(), target_is_directory=True)
    else:
        sysroot = new / "sysroot"
        about["packages"] += _apt.unpack(_ARM64_PACKAGES, "arm64", sysroot, scratch, on_this_system=False)
        shutil.rmtree(sysroot / "usr/share", ignore_errors=True)
    about["interpreter"] = f"sysroot/{_python(new / 'sysroot', 'the unpacked packages')}"
    for processor in PROCESSORS:
        root = new / "roots" / processor.name
        write_root(root, processor)
        (root / "etc").mkdir()
        for name in ("usr", "lib", "lib64", "bin", "etc/ld.so.cache"):
            if (new / "sysroot" / name).exists():
                up = "../" * (name.count("/") + 2)
                (root / name).symlink_to(f"{up}sysroot/{name}")

    machine = Machine(folder=new.resolve(), about=about)
    version = machine.run(PROCESSORS[0], ("-c", "import sys; print(*sys.version_info[:2], sep='.')"))
    if version.returncode != 0:
        raise TargetError(f"{emulator} cannot run {about['interpreter']}: {last_line(version)}")
    wanted = [f"{name}=={number}" for name, number in wheels.items()]
    _wheels.unpack(wanted, "aarch64", version.stdout.strip(), new / "site")
    about["counts"] = _build_plugin(machine)
    trial = machine.run(PROCESSORS[0], ("-P", "-c", _TRIAL))
    if trial.returncode != 0:
        raise TargetError(f"the interpreters cannot be imported on {PROCESSORS[0].title}: {last_line(trial)}")
    about |= json.loads(trial.stdout)
    paths = ":".join(str(new / place) for place in about["libraries"])
    said = call([str(emulator), "--version"], new, {"LD_LIBRARY_PATH": paths})
    about["qemu"] = said.stdout.partition("version ")[2].split()[0] if "version " in said.stdout else None
    about["seconds"] = round(time.monotonic() - start, 1)
    (new / _ABOUT).write_bytes(jsonio.dump(about))


def _python(sysroot: Path, what: str) -> str:
    """Where in the tree its Python is; `what` names the tree in an error."""
    for name in _PYTHONS:
        try:
            header = (sysroot / name).read_bytes()[:20]
        except OSError:
            continue
        if header[:4] == b"\x7fELF" and int.from_bytes(header[18:20], "little") == _AARCH64:
            return name
    raise TargetError(
        f"expected {what} to be an arm64 Linux with {' or '.join(_PYTHONS)}, got {sysroot} without one"
    )


def _build_plugin(machine: Machine) -> bool:
    """Compile `count.c` for the interface that this QEMU takes, found by trying; False if it takes none.

    Debian 12's takes plugins, Debian 13's, which is linked statically, does not.
    """
    for api in _PLUGIN_APIS:
        command = [*_compiler(), "-shared", "-fPIC", "-O2", f"-DAPI_VERSION={api}", "-o", "count.so"]
        built = call([*command, str(_PLUGIN)], machine.folder)
        if built.returncode != 0:
            raise TargetError(f"{command[0]} cannot compile {_PLUGIN}: {last_line(built)}")
        tried = machine.run(PROCESSORS[0], ("-c", "pass"), marks=Path(os.devnull))
        if tried.returncode == 0:
            return True
    return False


def _compiler() -> tuple[str, ...]:
    found = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    return (found,) if found else ()
