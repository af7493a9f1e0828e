"""Writing that never leaves a half-written file or folder behind, and loses nothing that was there.

A folder is written aside (`.NAME.new-…`), then renamed into place; a folder that it replaces is
first renamed to `.NAME.old`. Whatever moment the process is killed at, NAME is the old folder,
absent, or the new one whole, and `mend` finishes what was interrupted.

What only writing needs is imported there: whoever loads a model would wait 3 ms for it.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from edgewright.runtime.errors import OutputError


def sha256_of(path: Path) -> str:
    """SHA-256 of a file as 64 hexadecimal digits."""
    import hashlib

    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache_folder() -> Path:
    """Where what can be made again is kept: $EDGEWRIGHT_CACHE, else ~/.cache/edgewright."""
    return Path(os.environ.get("EDGEWRIGHT_CACHE") or Path.home() / ".cache/edgewright")


def write_file(path: Path, raw: bytes) -> None:
    """Write `raw` to `path` aside and rename it into place; makes the folder if it is missing."""
    with replacing(path) as file:
        file.write(raw)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Give a file to write that becomes `path` when the block ends well; makes the folder if need be."""
    import tempfile

    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        Path(name).chmod(0o666 & ~_umask())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def mend(path: Path) -> None:
    """Finish a replacement of `path` that was cut off: put the old folder back, or forget it."""
    path = _real(path)
    old = _aside(path)
    if not old.is_dir():
        return
    import shutil

    if path.exists():
        shutil.rmtree(old, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            old.rename(path)


def check_output(path: Path, *, overwrite: bool, ours: tuple[str, ...]) -> None:
    """See that a folder can be written at `path`, before any work is done for it.

    `ours` are the glob patterns of the files such a folder holds; `overwrite` replaces a folder
    only if it holds nothing else.

    Raises:
        OutputError: the path is a file, holds something, or its parent cannot be written.
    """
    import fnmatch

    mend(path)
    if path.exists():
        if not path.is_dir():
            raise OutputError(f"expected {path} to be a folder or free, got a file; choose another --out")
        found = sorted(path.iterdir())
        entries = [entry.name for entry in found]
        foreign = [
            e.name
            for e in found
            if e.is_dir() or not any(fnmatch.fnmatch(e.name, pattern) for pattern in ours)
        ]
        if entries and not overwrite:
            raise OutputError(f"{path} already holds {entries[0]}; choose another --out or add --overwrite")
        if foreign:
            raise OutputError(
                f"{path} holds '{foreign[0]}', which --overwrite would lose; "
                "move it away or choose another --out"
            )
    if _real(path) == _real(path).parent:
        raise OutputError(f"expected a folder that can be replaced, got {path}; choose another --out")
    parent = next(p for p in path.absolute().parents if p.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise OutputError(f"cannot write to {parent}; choose another --out")


@contextlib.contextmanager
def new_folder(path: Path, *, overwrite: bool, ours: tuple[str, ...]) -> Iterator[tuple[Path, Path]]:
    """Give `(new, scratch)`: `new` becomes `path` when the block ends well, `scratch` is thrown away.

    Leaving the block by an exception, or with `new` empty, leaves `path` as it was.
    """
    import shutil
    import tempfile

    check_output(path, overwrite=overwrite, ours=ours)
    path = _real(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    for left_over in path.parent.glob(f".{_escape(path.name)}.new-*"):
        _remove_if_abandoned(left_over)
    staging = Path(tempfile.mkdtemp(prefix=f".{path.name}.new-", dir=path.parent))
    lock = _lock(staging)
    try:
        new, scratch = staging / "new", staging / "scratch"
        new.mkdir()
        scratch.mkdir()
        yield new, scratch
        if any(new.iterdir()):
            check_output(path, overwrite=overwrite, ours=ours)  # it may have been filled meanwhile
            _swap(new, path, staging)
    finally:
        if lock is not None:
            os.close(lock)
        shutil.rmtree(staging, ignore_errors=True)


def _swap(new: Path, path: Path, staging: Path) -> None:
    """Put `new` at `path`. What it replaces is deleted from `staging`, where no command looks for it."""
    old = _aside(path)
    if old.exists():
        old.rename(staging / "stale")
    for tries_left in (2, 1, 0):
        try:
            if path.exists():
                path.rename(old)
            new.rename(path)
            break
        except BaseException as failure:
            mend(path)
            # A reader that found nothing at `path` may have mended it between the two renames.
            mended = isinstance(failure, OSError) and failure.errno in (errno.ENOTEMPTY, errno.EEXIST)
            if not mended or tries_left == 0:
                raise
    with contextlib.suppress(FileNotFoundError):  # a reader may have mended that too
        old.rename(staging / "old")


def _aside(path: Path) -> Path:
    return path.parent / f".{path.name}.old"


def _real(path: Path) -> Path:
    """The absolute path behind any links; one that leads to itself stays as it is."""
    return Path(os.path.realpath(path))


def _lock(folder: Path) -> int | None:
    """Hold a lock on `folder` until the descriptor is closed or the process dies; None if unsupported."""
    try:
        import fcntl
    except ImportError:  # Windows: abandoned staging folders stay until removed by hand
        return None
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle


def _remove_if_abandoned(folder: Path) -> None:
    try:
        lock = _lock(folder)
    except OSError:
        return
    if lock is not None:
        import shutil

        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _escape(name: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
