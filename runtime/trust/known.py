"""Which model files this machine opens in the process that asks, and in a process apart all others.

An interpreter is a C++ program that believes its file, and a run that went well says nothing of the next one.
So a file is opened here only if somebody vouched for it: `remember`, an export on this machine, a signature
(`introduce`). That is kept as a file in the user's cache folder, named by the model's SHA-256, the
interpreter and its version: another version may fall for what this one withstood. Whoever could write there
could vouch for anything, so the folder and the entry have to belong to this user, or to root, and be writable
by nobody else. What was hashed is what is opened: the bytes are read once. The hash inside a file of ours
shows corruption, for which no listed file needs to be looked at again; it is no proof of trust.

What is not listed stays in the process apart (`isolation.py`) for as long as it is open.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from edgewright.runtime import plugins
from edgewright.runtime.disk import files, owned
from edgewright.runtime.errors import MissingExtraError, ModelFileError, OutputError

if TYPE_CHECKING:
    from edgewright.runtime.backends import Backend, ModelFile, Session
    from edgewright.runtime.trust.isolation import IsolatedSession

_apart = False
_WHAT = "files to trust"


def remember(path: str | os.PathLike[str]) -> None:
    """Vouch for a file: with the interpreters that are installed now, it is opened directly here.

    Raises:
        ModelFileError: it cannot be read, is no model file, or not the one whose hash it carries.
        MissingExtraError: no interpreter for the file, so there is no version to vouch for.
        OutputError: that cannot be written down, or would not be believed where it would be written.
    """
    _vouch(path, "remembered")


def exported(path: str | os.PathLike[str]) -> None:
    """The same of a file that was made and run here, as far as it can be written down: where it cannot, the
    file is opened in the process apart. Raises `ModelFileError`."""
    with contextlib.suppress(OutputError, MissingExtraError):
        _vouch(path, "exported here")


def introduce(sha256: str, backend: Backend, how: str) -> None:
    """Vouch for the bytes of that SHA-256, for whoever has checked a signature of them.

    Args:
        sha256: 64 hexadecimal digits.
        backend: what opens the file.
        how: they came to be vouched for, one line for whoever looks into the folder.

    Raises:
        MissingExtraError: no interpreter for the file.
        OutputError: as `remember`.
    """
    entry = _entry(sha256, backend)
    if entry is None:
        raise MissingExtraError(f"the interpreter of {'/'.join(backend.suffixes)} files", backend.extra)
    owned.write(entry, f"{how}\n".encode(), _WHAT)


def forget(path: str | os.PathLike[str]) -> None:
    """No longer vouch for a file, whatever the version of its interpreter.

    Raises:
        ModelFileError: it cannot be read, or is no model file.
        OutputError: the list cannot be written.
    """
    from edgewright.runtime import backends

    path = Path(path)
    digest = backends.for_path(path).read(path).sha256
    try:
        for entry in place().glob(f"{digest}-*"):
            entry.unlink(missing_ok=True)
    except OSError as failure:
        raise OutputError(f"cannot write to {place()}: {failure.strerror}") from failure


def is_known(sha256: str, backend: Backend) -> bool:
    """True if somebody vouched for a file of that hash with the interpreter that is installed."""
    entry = _entry(sha256, backend)
    return entry is not None and owned.is_ours(entry)


def distrust() -> str | None:
    """Why nothing that is listed on this machine is believed: expected, got, what to do. None if it is."""
    return owned.distrust(place(), _WHAT)


def can_list() -> bool:
    """True if what is remembered here is there, and believed, the next time."""
    folder = place()
    nearest = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    return os.access(nearest, os.W_OK | os.X_OK) and (not folder.exists() or distrust() is None)


def stand_apart() -> None:
    """Open every file in this process from now on: it is the one apart, which may be lost."""
    global _apart
    _apart = True


def opens_here(sha256: str, backend: Backend) -> bool:
    """True if a file of that hash is opened in this process."""
    return _apart or is_known(sha256, backend)


def open_session(
    backend: Backend,
    file: ModelFile,
    threads: int,
    name: str | None = None,
    *,
    isolate: bool = False,
    vouched: bool = False,
) -> Session:
    """Open a file: here if it is known, else in a process of its own.

    Args:
        backend: what opens it.
        file: as it was read.
        threads: of the interpreter.
        name: of the backend, if one was asked for.
        isolate: in a process of its own in any case.
        vouched: a signature of these very bytes was verified just now: here, though no list knows them.

    Raises:
        ModelFileError: damaged, refused by the interpreter, or fatal to it.
        MissingExtraError: no interpreter for the file.
    """
    if (not isolate and (vouched or opens_here(file.sha256, backend))) or not backend.available():
        return backend.open(file, threads)  # which says it if there is no interpreter
    return isolated(backend, file, threads, name)


def isolated(backend: Backend, file: ModelFile, threads: int = 1, name: str | None = None) -> IsolatedSession:
    """Open a file in a process of its own, once it was looked through here. As `open_session`."""
    from edgewright.runtime import backends
    from edgewright.runtime.trust import isolation

    check_apart(backend, file.path, name)
    file.contract()
    backend.graph(file)
    backends.check_single(file.path, file.inputs, file.outputs)
    return isolation.IsolatedSession(file, threads, name)


def check_apart(backend: Backend, path: Path, name: str | None) -> None:
    """See that a backend, or its engine of that name, can run a file in a process of its own. Raises
    `ModelFileError`: the driver of a device does much that no unknown file is to reach."""
    if backend.device:
        raise ModelFileError(
            f"expected a trusted file for {name or backend.device}, whose driver does not run in the process "
            f"apart, got {path}, for which nobody vouched; if you trust it: edgewright trust {path}"
        )


def _vouch(path: str | os.PathLike[str], how: str) -> None:
    """With each interpreter here that takes the file, since whoever trusts it does so whatever runs it."""
    from edgewright.runtime import backends

    path = Path(path)
    backend = backends.for_path(path)
    file = backend.read(path)
    file.contract()
    others = (backends.get(name) for name in backends.BY_NAME_ONLY)
    there = [other for other in others if path.suffix.lower() in other.suffixes and other.available()]
    for each in there if there and not backend.available() else (backend, *there):
        introduce(file.sha256, each, how)


def place() -> Path:
    """The folder of the list; it may not be there yet."""
    return files.cache_folder() / "known"


def _entry(sha256: str, backend: Backend) -> Path | None:
    """Where a file is listed; None without an interpreter."""
    version = plugins.version(backend.module.partition(".")[0])
    return None if version is None else place() / f"{sha256}-{version}"
