"""What a device needs, as archives that are unpacked into the packages of its environment: the project's own
runtime, and interpreters of the versions that are here, for its processor and its Python."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path

import edgewright.runtime
from edgewright.benchmarks.targets import _wheels
from edgewright.runtime.disk import files
from edgewright.runtime.errors import MissingExtraError

ALWAYS = ("numpy", "pillow")
_MEASURING = ("__init__.py", "measure/*.py", "record/*.py", "targets/__init__.py", "targets/local.py")
_DATE = (1980, 1, 1, 0, 0, 0)  # same files, same bytes


def own() -> tuple[str, bytes]:
    """The name of a wheel with what runs and measures files, and its bytes: no training, no exporting."""
    version = metadata.version("edgewright")
    about = f"edgewright-{version}.dist-info"
    runtime, benchmarks = Path(edgewright.runtime.__file__).parent, Path(__file__).parents[2]
    members = {f"edgewright/runtime/{p.relative_to(runtime)}": p.read_bytes() for p in runtime.rglob("*.py")}
    for pattern in _MEASURING:
        members |= {
            f"edgewright/benchmarks/{p.relative_to(benchmarks)}": p.read_bytes()
            for p in benchmarks.glob(pattern)
        }
    members[f"{about}/METADATA"] = f"Metadata-Version: 2.1\nName: edgewright\nVersion: {version}\n".encode()
    members[f"{about}/WHEEL"] = b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    listed = "".join(f"{name},,\n" for name in (*sorted(members), f"{about}/RECORD"))
    members[f"{about}/RECORD"] = listed.encode()
    return f"edgewright-{version}-py3-none-any.whl", _zipped(members)


def versions(modules: Mapping[str, str]) -> list[str]:
    """What is wanted, such as "numpy==2.1.0", of the versions that are installed here.

    Args:
        modules: packages, each with the extra that brings it.

    Raises:
        MissingExtraError: one is not installed here.
    """
    found = []
    for package, extra in modules.items():
        try:
            found.append(f"{package}=={metadata.version(package)}")
        except metadata.PackageNotFoundError:
            raise MissingExtraError(f"{package}, whose version the device takes,", extra) from None
    return found


def fetched(wanted: Sequence[str], machine: str, python: str, glibc: int) -> dict[str, Path]:
    """An archive of each package that is wanted, by its name; they are kept in the cache folder.

    Arguments and errors are those of `_wheels.unpack`.
    """
    import tempfile

    folder = files.cache_folder() / "targets" / "wheels"
    found = {}
    for one in wanted:
        name = f"{one}-cp{python.replace('.', '')}-{machine}-glibc2.{min(glibc, _wheels.NEWEST)}.zip"
        found[name] = folder / name
        if not found[name].is_file():
            with tempfile.TemporaryDirectory() as scratch:
                site = Path(scratch) / "site"
                _wheels.unpack([one], machine, python, site, glibc=min(glibc, _wheels.NEWEST))
                parts = {p.relative_to(site): p for p in site.rglob("*") if p.is_file()}
                members = {
                    at.as_posix(): p.read_bytes()
                    for at, p in parts.items()
                    if at.parts[0] != "bin" and "__pycache__" not in at.parts
                }
                files.write_file(found[name], _zipped(members))
    return found


def sha256(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


def _zipped(members: Mapping[str, bytes]) -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:
        for name in sorted(members):
            archive.writestr(zipfile.ZipInfo(name, _DATE), members[name], zipfile.ZIP_DEFLATED)
    return memory.getvalue()
