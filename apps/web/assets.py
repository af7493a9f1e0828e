"""The two engines that the page runs files with, LiteRT.js and onnxruntime-web: fetched once from npm at
pinned versions, held against the hashes here, and kept in a folder of the cache."""

from __future__ import annotations

import base64
import hashlib
import shutil
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from edgewright.runtime.disk import files, jsonio, outside
from edgewright.runtime.errors import OutputError, TargetError
from edgewright.runtime.machine.child import call

Say = Callable[[str], None]  # takes a line of what is done

_MOST_BYTES = 128 * 2**20  # of a package, and of a file in it
_OURS = ("*",)


@dataclass(frozen=True, kw_only=True)
class Package:
    """A package of npm: the SHA-512 of its archive as npm's lock files write it, which files are used, and
    which besides for WebGPU."""

    name: str
    version: str
    integrity: str
    files: Sequence[str]
    webgpu: Sequence[str] = ()


_LITERT = [
    f"wasm/litert_wasm_{kind}internal.{end}"
    for kind in ("", "compat_", "threaded_")
    for end in ("js", "wasm")
]
PACKAGES = (
    Package(
        name="@litertjs/core",
        version="2.5.3",
        integrity="sha512-PlGmbMOq9WitX7FO0jhbdJw9GthatsyuCQXjTt/wJZo0FLaw48q4tz8IwqgqCIkviYGr9OFDL1kCnN4nzWoyJQ==",
        files=("dist/index.js", *_LITERT),
        webgpu=("wasm/litert_wasm_jspi_internal.js", "wasm/litert_wasm_jspi_internal.wasm"),
    ),
    Package(
        name="@litertjs/wasm-utils",
        version="2.5.3",
        integrity="sha512-4fJiw6tBQnIs+0jH/OQ16nYOiSl8/+zZnn5h2ul8aTKHi05sVqZW580Tmk78pC2kT39A9OYBVdFawteZ/sI1kQ==",
        files=("dist/index.js",),
    ),
    Package(
        name="onnxruntime-web",
        version="1.30.0",
        integrity="sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ==",
        files=(
            "dist/ort.wasm.min.mjs",
            "dist/ort-wasm-simd-threaded.mjs",
            "dist/ort-wasm-simd-threaded.wasm",
        ),
        webgpu=(
            "dist/ort.webgpu.min.mjs",
            "dist/ort-wasm-simd-threaded.asyncify.mjs",
            "dist/ort-wasm-simd-threaded.asyncify.wasm",
        ),
    ),
)


@dataclass(frozen=True, kw_only=True)
class Assets:
    """The engines' files by their paths below `node_modules`, those for WebGPU apart, as they weigh more than
    the others together, and the versions of their packages."""

    files: Mapping[str, Path]
    webgpu: Mapping[str, Path]
    versions: Mapping[str, str]


def missing() -> str:
    """What this system lacks for fetching the engines, and what to do; empty if nothing, or they are here."""
    if shutil.which("npm") or _place().is_dir():
        return ""
    return "npm (install nodejs and npm), or --assets DIR with the engines' npm packages in it"


def ready(given: str | None, say: Say) -> Assets:
    """The engines' files: those in the folder `given`, else those of the cache, fetched if need be.

    Raises:
        TargetError: they cannot be fetched, are others than pinned, or the folder lacks some.
    """
    if given is not None:
        return _in(Path(given), f"--assets {given}")
    path = _place()
    if not path.is_dir():
        if lacking := missing():
            raise TargetError(f"target browser needs {lacking}")
        say("setting up target browser, once: LiteRT.js and onnxruntime-web from npm")
        try:
            with files.new_folder(path, overwrite=False, ours=_OURS) as (new, scratch):
                for package in PACKAGES:
                    _fetch(package, new, scratch)
        except OutputError:
            if not path.is_dir():  # else another process was faster
                raise
    return _in(path, str(path))


def _place() -> Path:
    digest = hashlib.sha256(repr(PACKAGES).encode()).hexdigest()[:8]
    versions = "-".join(
        f"{package.name.strip('@').partition('/')[0]}{package.version}" for package in PACKAGES[::2]
    )
    return files.cache_folder() / "targets" / f"browser-{versions}-{digest}"


def _in(folder: Path, what: str) -> Assets:
    found, versions = {}, {}
    for package in PACKAGES:
        for name in (*package.files, *package.webgpu, "package.json"):
            file = folder / package.name / name
            if not file.is_file():
                raise TargetError(
                    f"expected {package.name}/{name} in {what}, got none; npm install {package.name}@"
                    f"{package.version} there and name its node_modules"
                )
            if name != "package.json":
                found[f"{package.name}/{name}"] = file
        versions[package.name] = jsonio.read(folder / package.name / "package.json", TargetError).text(
            "version"
        )
    heavy = {f"{package.name}/{name}" for package in PACKAGES for name in package.webgpu}
    return Assets(
        files={name: file for name, file in found.items() if name not in heavy},
        webgpu={name: file for name, file in found.items() if name in heavy},
        versions=versions,
    )


def _fetch(package: Package, into: Path, scratch: Path) -> None:
    """Put the files of a package that are used into `into`."""
    folder = scratch / package.name.replace("/", "-")
    folder.mkdir()
    wanted = f"{package.name}@{package.version}"
    try:
        done = call(["npm", "pack", wanted, "--ignore-scripts", "--loglevel=error"], folder)
    except OSError as failure:
        raise TargetError(f"cannot run npm: {failure.strerror}") from failure
    archives = sorted(folder.glob("*.tgz"))
    if done.returncode != 0 or len(archives) != 1:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        said = next((line for line in lines if "rror" in line), "no package came")
        raise TargetError(
            f"npm cannot get {wanted}: {said}; see whether it reaches its registry from here, or "
            "name a folder that has it (--assets DIR)"
        )
    raw = outside.read(archives[0], TargetError, _MOST_BYTES)
    got = f"sha512-{base64.b64encode(hashlib.sha512(raw).digest()).decode()}"
    if got != package.integrity:
        raise TargetError(f"expected {wanted} to be {package.integrity}, got {got}; nothing of it was taken")
    with tarfile.open(archives[0]) as archive:
        for name in (*package.files, *package.webgpu, "package.json"):
            _unpack(archive, name, into / package.name, wanted)


def _unpack(archive: tarfile.TarFile, name: str, into: Path, wanted: str) -> None:
    try:
        member = archive.getmember(str(PurePosixPath("package") / name))
        content = archive.extractfile(member) if member.isfile() and member.size <= _MOST_BYTES else None
    except (KeyError, tarfile.TarError):
        content = None
    if content is None:
        raise TargetError(f"expected {name} in {wanted}, got none")
    with content:
        files.write_file(into / name, content.read())
