"""Writing that never leaves a half-written file or folder behind, and loses nothing that was there.

A folder is written aside (`.NAME.new-…`, with a file `MARKER` in it), brought to the disk, and exchanged
with the one that it replaces: whatever moment the process is killed at, NAME is the old folder or the new
one whole. Where folders cannot be exchanged, the old one is first moved aside, into the marked folder, and
NAME is absent for a moment; if the process is killed just then, the next writer puts it back. Nothing is
mended or removed by who only reads, nor by its name alone.

What only writing needs is imported there: whoever loads a model would wait 3 ms for it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from functools import cache
from io import BufferedReader
from pathlib import Path
from typing import IO

from edgewright.runtime.disk import outside
from edgewright.runtime.disk.exchange import exchange
from edgewright.runtime.errors import InputError, OutputError

MARKER = "edgewright-is-writing-here"  # a file in folders that are ours to delete
_OLD = "old"


def sha256_of(file: Path | BufferedReader) -> str:
    """SHA-256 of a regular file as 64 hexadecimal digits. Raises `InputError`: it cannot be read."""
    import hashlib

    if isinstance(file, Path):
        with outside.opened(file, InputError) as opened:
            return sha256_of(opened)
    return hashlib.file_digest(file, "sha256").hexdigest()


def cache_folder() -> Path:
    """Where what can be made again is kept: $EDGEWRIGHT_CACHE, else ~/.cache/edgewright.

    A user without a home, as containers run with any number for one have, gets a folder of temporary files
    that no other user can write to.
    """
    if given := os.environ.get("EDGEWRIGHT_CACHE"):
        return Path(given)
    home = os.path.expanduser("~")  # noqa: PTH111 - Path.home raises where there is none
    return Path(home) / ".cache/edgewright" if os.path.isabs(home) else _homeless()  # noqa: PTH117


@cache
def _homeless() -> Path:
    import tempfile

    user = os.getuid() if hasattr(os, "getuid") else 0
    folder = Path(tempfile.gettempdir()) / f"edgewright-{user}"
    with contextlib.suppress(OSError):
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        if stat.S_ISDIR(found.st_mode) and found.st_uid == user and not found.st_mode & 0o022:
            return folder
    try:
        return Path(tempfile.mkdtemp(prefix="edgewright-"))  # the name is taken: it is not kept for next time
    except OSError:
        return folder / "read-only"


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
            file.flush()
            os.fsync(handle)
        Path(name).chmod(0o666 & ~_umask())
        Path(name).replace(path)
        _sync(path.parent)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def reserve(folder: Path, size: int) -> None:
    """See that `folder` takes a file of so many bytes, for writers that end the process where it does not.

    HDF5 cannot close a file that it could not write (https://github.com/h5py/h5py/issues/914): the process
    is ended by SIGSEGV, some time later.

    Raises:
        OSError: the disk is full, or the file would be larger than a limit allows.
    """
    import shutil
    import tempfile

    with tempfile.TemporaryFile(dir=folder) as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
        elif shutil.disk_usage(folder).free < size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))


def check_output(path: Path, *, overwrite: bool, ours: tuple[str, ...]) -> None:
    """See that a folder can be written at `path`, before any work is done for it.

    `ours` are the glob patterns of the files such a folder holds, of a folder in it with a slash at the end;
    `overwrite` replaces a folder only if it holds nothing else.

    Raises:
        OutputError: the path is a file, holds something, or its parent cannot be written.
    """
    _mend(_real(path))
    if path.exists():
        with contextlib.suppress(FileNotFoundError):  # gone: another writer replaces it at this moment
            if not stat.S_ISDIR(path.stat().st_mode):
                raise OutputError(f"expected {path} to be a folder or free, got a file; choose another --out")
            entries = sorted(os.listdir(path))  # noqa: PTH208
            if entries and not overwrite:
                raise OutputError(
                    f"{path} already holds {entries[0]}; choose another --out or add --overwrite"
                )
            _check_ours(path, path, ours)
    if _real(path) == _real(path).parent:
        raise OutputError(f"expected a folder that can be replaced, got {path}; choose another --out")
    _check_parent(path)


def check_file(path: Path) -> None:
    """See that a file can be written at `path`, before any work is done for it.

    Raises:
        InputError: it is a folder.
        OutputError: nothing can be written there.
    """
    if path.is_dir():
        raise InputError(f"expected --out to be a file, got the folder {path}")
    _check_parent(path)


def _check_parent(path: Path) -> None:
    parent = next(p for p in path.absolute().parents if p.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise OutputError(f"cannot write to {parent}; choose another --out")


def _check_ours(path: Path, folder: Path, ours: tuple[str, ...]) -> None:
    """See that `folder`, which is or was at `path`, holds nothing but files of ours. Raises `OutputError`."""
    import fnmatch

    with os.scandir(folder) as entries:
        found = sorted((entry.name, entry.is_dir()) for entry in entries)
    for name, is_folder in found:
        patterns = [pattern for pattern in ours if pattern.endswith("/") == is_folder]
        if not any(fnmatch.fnmatch(f"{name}/" if is_folder else name, pattern) for pattern in patterns):
            raise OutputError(
                f"{path} holds '{name}', which --overwrite would lose; move it away or choose another --out"
            )


@contextlib.contextmanager
def new_folder(path: Path, *, overwrite: bool, ours: tuple[str, ...]) -> Iterator[tuple[Path, Path]]:
    """Give `(new, scratch)`: `new` becomes `path` when the block ends well, `scratch` is thrown away.

    Leaving the block by an exception, or with `new` empty, leaves `path` as it was.
    """
    import tempfile

    check_output(path, overwrite=overwrite, ours=ours)
    path = _real(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{path.name}.new-", dir=path.parent))
    lock = None
    try:
        lock = _lock(staging)
        (staging / MARKER).touch()  # from here on who finds it unlocked may take it for abandoned
        new, scratch = staging / "new", staging / "scratch"
        new.mkdir()
        scratch.mkdir()
        yield new, scratch
        if any(new.iterdir()):
            check_output(path, overwrite=overwrite, ours=ours)  # it may have been filled meanwhile
            _swap(new, path, staging, ours if overwrite else ())
    finally:
        _discard(staging, path)
        if lock is not None:
            os.close(lock)


def _swap(new: Path, path: Path, staging: Path, ours: tuple[str, ...]) -> None:
    """Put `new` at `path`; what it replaces stays in `staging`, with which it is deleted."""
    for file in (*new.rglob("*"), new):
        if not file.is_symlink():  # its name is the folder's, and it may lead nowhere
            _sync(file)
    old = staging / _OLD
    for tries_left in (2, 1, 0):
        try:
            if not path.exists():
                new.rename(path)
            elif exchange(new, path):
                try:
                    _check_ours(path, new, ours)  # the last thing that was put there counts too
                except BaseException:
                    exchange(new, path)
                    raise
            else:
                _replace(new, path, old)
            break
        except OSError as failure:  # another writer was between two of these lines
            other = failure.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT)
            if not other or tries_left == 0 or not new.exists():
                raise
    _sync(path.parent)


def _replace(new: Path, path: Path, old: Path) -> None:
    """Put `new` at `path` and what is there at `old`, in two steps."""
    import shutil

    try:
        if old.exists():  # another writer was between these steps before, and has replaced that
            shutil.rmtree(old)
        path.rename(old)
        new.rename(path)
    except BaseException:
        if old.exists() and not path.exists():
            old.rename(path)
        raise


def _sync(path: Path) -> None:
    """See that a file, or the names in a folder, are on the disk, as far as the system does that."""
    with contextlib.suppress(PermissionError):  # Windows opens no folders
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        except OSError as failure:
            if failure.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):  # no such file system
                raise
        finally:
            os.close(handle)


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


def _mend(path: Path) -> None:
    """Clear away what killed writers of `path` have left, and put an old folder back that one had moved."""
    for staging in path.parent.glob(f".{escape(path.name)}.new-*"):
        if not (staging / MARKER).is_file():
            continue
        try:
            lock = _lock(staging)
        except OSError:
            continue
        if lock is not None:
            _discard(staging, path)
            os.close(lock)


def _discard(staging: Path, path: Path) -> None:
    """Delete a folder of ours beside `path`; what it took from there is put back if nothing replaced it."""
    import shutil

    old = staging / _OLD
    if old.is_dir() and not path.exists():
        with contextlib.suppress(OSError):
            old.rename(path)
        if old.is_dir():
            return
    for name in ("new", "scratch", _OLD, ""):  # the marker goes last: whoever finds the rest may go on
        shutil.rmtree(staging / name, ignore_errors=True)


def escape(name: str) -> str:
    """The glob pattern of this very name."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
