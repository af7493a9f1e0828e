"""Which model files this machine has opened and survived.

An interpreter is a C++ program that believes its file. So a file that this machine does not know is
first looked through, then opened and run once in a process of its own; if that lives, its SHA-256 is
listed in the user's cache folder, and from then on it is opened directly, which costs a look whether a
file exists. What was hashed is what is opened: the bytes are read once. The hash inside a file of ours
shows corruption, for which no listed file needs to be looked at again; it is no proof of trust: whoever
makes a file can make the hash.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from edgewright.runtime.disk import files

if TYPE_CHECKING:
    from edgewright.runtime.backends import Backend, ModelFile


def remember(path: str | os.PathLike[str]) -> None:
    """List a file as one that may be opened directly, as whoever made it does.

    Raises:
        ModelFileError: it cannot be read, is no model file, or not the one whose hash it carries.
    """
    from edgewright.runtime import backends

    path = Path(path)
    file = backends.for_path(path).read(path)
    file.contract()
    _list(file.sha256)


def is_known(sha256: str) -> bool:
    """True if a file of that hash may be opened directly, and is whole."""
    return (_folder() / sha256).exists()


def can_list() -> bool:
    """True if what is remembered here is there the next time."""
    place = next(p for p in _folder().absolute().parents if p.exists())
    return os.access(_folder() if _folder().exists() else place, os.W_OK | os.X_OK)


def introduce(path: str | os.PathLike[str]) -> None:
    """See that a file is known here before it is timed, or a process is started that opens it: the first
    sight of a file is tried out in another process.

    Raises:
        ModelFileError, MissingExtraError: as `ensure`.
    """
    from edgewright.runtime import backends

    path = Path(path)
    backend = backends.for_path(path)
    ensure(backend, backend.read(path))


def ensure(backend: Backend, file: ModelFile, name: str | None = None) -> None:
    """See that a file can be opened here: known, or lived through in another process, and then known.

    Args:
        backend: what is going to open it.
        file: as it was read.
        name: of the backend, if one was asked for.

    Raises:
        ModelFileError: damaged, refused by the interpreter, or fatal to it.
        MissingExtraError: no interpreter for the file.
    """
    if is_known(file.sha256):
        return
    file.contract()
    backend.graph(file)
    if not backend.available():
        return  # opening it says so
    import numpy as np

    from edgewright.runtime.trust.isolation import IsolatedSession

    session = IsolatedSession(file, threads=1, backend=name)
    try:
        batch, *shape = session.input.shape
        if min(shape) > 0:
            session.run(np.full((max(batch, 1), *shape), 100, session.input.dtype))
    finally:
        session.close()
    _list(file.sha256)


def _list(sha256: str) -> None:
    with contextlib.suppress(OSError):  # a cache that cannot be written: next time it is looked through again
        files.write_file(_folder() / sha256, b"")


def _folder() -> Path:
    return files.cache_folder() / "known"
