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
import stat
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from edgewright.runtime.disk import files
from edgewright.runtime.errors import OutputError

if TYPE_CHECKING:
    from edgewright.runtime.backends import Backend, ModelFile, Session
    from edgewright.runtime.trust.isolation import IsolatedSession

_apart = False


def remember(path: str | os.PathLike[str]) -> None:
    """Vouch for a file: with the interpreter that is installed now, it is opened directly here.

    Raises:
        ModelFileError: it cannot be read, is no model file, or not the one whose hash it carries.
        MissingExtraError: no interpreter for the file, so there is no version to vouch for.
        OutputError: that cannot be written down, or would not be believed where it would be written.
    """
    backend, file = _whole(path)
    introduce(file.sha256, backend, "remembered")


def exported(path: str | os.PathLike[str]) -> None:
    """The same of a file that was made and run here, as far as it can be written down: where it cannot, the
    file is opened in the process apart. Raises `ModelFileError`."""
    from edgewright.runtime.errors import MissingExtraError

    backend, file = _whole(path)
    with contextlib.suppress(OutputError, MissingExtraError):
        introduce(file.sha256, backend, "exported here")


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
    import tempfile

    entry = _entry(sha256, backend)
    if entry is None:
        from edgewright.runtime.errors import MissingExtraError

        raise MissingExtraError(f"the interpreter of {'/'.join(backend.suffixes)} files", backend.extra)
    folder = entry.parent
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if hasattr(os, "geteuid") and folder.lstat().st_uid == os.geteuid():
            folder.chmod(0o700)
        if trouble := distrust():
            raise OutputError(trouble)
        handle, name = tempfile.mkstemp(prefix=".", dir=folder)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(f"{how}\n")
        Path(name).replace(entry)
    except OSError as failure:
        raise OutputError(
            f"cannot write to {folder}, where files to trust are listed: {failure.strerror}; "
            "set EDGEWRIGHT_CACHE to a folder of yours"
        ) from failure


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
    return entry is not None and _wrong(entry, stat.S_ISREG) is None and distrust() is None


def distrust() -> str | None:
    """Why nothing that is listed on this machine is believed: expected, got, what to do. None if it is."""
    folder = place()
    for each, shared in ((folder.parent, stat.S_IWOTH), (folder, stat.S_IWGRP | stat.S_IWOTH)):
        if (wrong := _wrong(each, stat.S_ISDIR, shared)) is not None:
            return (
                f"expected {each}, where files to trust are listed, to be a folder of this user's that no "
                f"other can write, got {wrong}; set EDGEWRIGHT_CACHE to such a folder"
            )
    return None


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

    file.contract()
    backend.graph(file)
    backends.check_single(file.path, file.inputs, file.outputs)
    return isolation.IsolatedSession(file, threads, name)


def _whole(path: str | os.PathLike[str]) -> tuple[Backend, ModelFile]:
    from edgewright.runtime import backends

    path = Path(path)
    backend = backends.for_path(path)
    file = backend.read(path)
    file.contract()
    return backend, file


def place() -> Path:
    """The folder of the list; it may not be there yet."""
    return files.cache_folder() / "known"


def _entry(sha256: str, backend: Backend) -> Path | None:
    """Where a file is listed; None without an interpreter."""
    version = _version(backend.module.partition(".")[0])
    return None if version is None else place() / f"{sha256}-{version}"


@cache
def _version(package: str) -> str | None:
    """An installed package and its version, as one word; does not import it, nor `importlib.metadata`, which
    takes as long as a picture. Of a package without such a folder beside it, which file it is.
    """
    from importlib.util import find_spec

    try:
        spec = find_spec(package)
    except (ImportError, ValueError):
        return None
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(spec.submodule_search_locations[0])
    with contextlib.suppress(OSError):
        installed = [
            entry.rpartition(".")[0]
            for entry in os.listdir(folder.parent)  # noqa: PTH208  (half the time of iterdir)
            if entry.endswith((".dist-info", ".egg-info"))
        ]
        if found := sorted(name for name in installed if name.replace("-", "_").startswith(package)):
            return "+".join(found)
        there = (folder / "__init__.py").stat()
        return f"{package}-{there.st_size}-{there.st_mtime_ns}"
    return None


def _wrong(
    each: Path, is_kind: Callable[[int], bool], shared: int = stat.S_IWGRP | stat.S_IWOTH
) -> str | None:
    """What keeps an entry from being believed, None if nothing does."""
    try:
        found = each.stat() if each == place().parent else each.lstat()  # a cache may be a user's link
    except OSError as failure:
        return failure.strerror or "an error"
    if not is_kind(found.st_mode):
        return "something else"
    if hasattr(os, "geteuid"):  # else the system keeps a user's folders from others in another way
        if found.st_uid not in (0, os.geteuid()):
            return f"one of user {found.st_uid}"
        if found.st_mode & shared:
            return f"mode {found.st_mode & 0o777:o}"
    return None
