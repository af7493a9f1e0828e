"""The one reader of files that come from outside: what is no regular file, or too large, is not read.

A named pipe would be waited for, a device never ends, and a sparse file of 8 GB costs its maker nothing.
So a file is opened without waiting, looked at by its descriptor, and only then read: what was looked at
is what is read. Whoever reads several files of a folder reads them with `settled`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
from collections.abc import Callable, Iterator
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from edgewright.runtime.disk import zips
from edgewright.runtime.errors import EdgewrightError, InputError

if TYPE_CHECKING:
    from numpy.lib.npyio import NpzFile

MAX_LABELS_BYTES = 2**26  # a list of labels: a million long names
MAX_PICTURE_BYTES = 2**28
MAX_MODEL_BYTES = 2**31  # neither FlatBuffers nor protobuf has offsets for more
_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
_NOT_FOR_OPENING = (errno.ENXIO, errno.ENODEV, errno.EOPNOTSUPP)
MAX_RATIO = 100  # a file of pictures does not grow like this when it is unpacked
_MOST_UNPACKED = 2**28  # bytes that are no reason to doubt
_TRIES = 50  # of a folder that is replaced all the time
_WAIT = 0.2  # seconds for a folder that is being replaced where folders cannot be exchanged
Found = TypeVar("Found")
Named = str | os.PathLike[str]


def read(path: Named, error: type[EdgewrightError], most: int, name: str = "") -> bytes:
    """The bytes of a regular file of `most` bytes at most. `name` names it in messages: by default its path.

    Raises:
        error: it cannot be read, is none such, or larger.
    """
    with opened(path, error, most, name) as file:
        try:
            size = os.fstat(file.fileno()).st_size
            raw = file.read(size + 1)  # memory for `most` bytes would be asked for, and given back
            if len(raw) > size:  # it grew, or is one of /proc, which say 0
                raw += file.read(most + 1 - len(raw))
        except OSError as failure:
            raise error(f"cannot read {name or path}: {failure.strerror}") from failure
    if len(raw) > most:
        raise error(f"expected at most {most:,} bytes in {name or path}, got more")
    return raw


def lines(path: Path, error: type[EdgewrightError]) -> list[str]:
    """The lines of a text in UTF-8, such as labels. Raises `error` as `read`, and of another text."""
    raw = read(path, error, MAX_LABELS_BYTES)
    try:
        return raw.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as failure:
        raise error(f"expected text in UTF-8, got {path}: {failure}") from failure


@contextlib.contextmanager
def opened(
    path: Named, error: type[EdgewrightError], most: int | None = None, name: str = ""
) -> Iterator[BufferedReader]:
    """The same file, open, where not all of it is read at once; without `most` it may have any size."""
    name = name or str(path)
    try:
        handle = os.open(path, _FLAGS)
    except OSError as failure:
        if failure.errno in _NOT_FOR_OPENING:
            raise error(f"expected a file, got {name}, which is a socket or a device") from failure
        raise error(f"cannot read {name}: {failure.strerror}") from failure
    except ValueError as failure:  # a zero byte or half a character in its name
        raise error(f"cannot read {name!r}: {failure}") from failure
    found = os.fstat(handle)
    kind = next((kind for holds, kind in _KINDS if holds(found.st_mode)), None)
    if kind is not None or (most is not None and found.st_size > most):
        os.close(handle)
        if kind is not None:
            raise error(f"expected a file, got {name}, which is {kind}")
        raise error(f"expected at most {most:,} bytes in {name}, got {found.st_size:,}")
    with os.fdopen(handle, "rb") as file:
        yield file


@contextlib.contextmanager
def arrays(path: Path, error: type[EdgewrightError], expected: str) -> Iterator[NpzFile]:
    """An .npz, open, without pickles, each array read when it is asked for.

    Raises:
        error: it cannot be read, is none, or would become much more than pictures and labels do; in the block
            too, of an array that is damaged.
    """
    import numpy as np

    with opened(path, error) as file:
        try:
            sparing = zips.Sparing(file)
            with np.load(sparing, allow_pickle=False) as archive:
                sparing.opening = False
                packed = os.fstat(file.fileno()).st_size
                unpacked = sum(member.file_size for member in archive.zip.infolist())
                if unpacked > max(_MOST_UNPACKED, MAX_RATIO * packed):
                    raise error(
                        f"expected {expected}, got {unpacked:,} bytes of arrays out of so few in {path}"
                    )
                yield archive
        except EdgewrightError:
            raise
        except Exception as failure:  # zipfile, zlib and numpy raise much
            raise error(f"expected {expected}, got {path}: {failure}") from failure


def settled(folder: Path, work: Callable[[], Found], witness: str = "") -> Found:
    """What `work` reads of a folder, once more if the folder was replaced while it read.

    Files are checked against the folder's manifest, so what is half the one and half the other folder fails,
    and that is then no fault of the files. Where that does not show all, `witness` names a file that each of
    the folders has: what was found counts if that is still the same.

    Raises:
        InputError: the folder is replaced again and again.
    """
    place = folder / witness
    for _ in range(_TRIES):
        before = _identity(place)
        try:
            found = work()
        except (EdgewrightError, FileNotFoundError):
            if (_identity(place) if before is not None else _awaited(place, folder)) == before:
                raise
        else:
            if not witness or _identity(place) == before:
                return found
    raise InputError(f"expected {folder} to stay the same while it is read, got another again and again")


def _identity(path: Path) -> tuple[int, ...] | None:
    """What differs once another has the name; an inode that became free is given to the next."""
    try:
        found = os.stat(path)  # noqa: PTH116 - as fast as it can be: it is paid by every load
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_ctime_ns


def _awaited(place: Path, folder: Path) -> tuple[int, ...] | None:
    """The identity of what is not there, but may be as soon as its folder has been replaced."""
    end = time.monotonic() + _WAIT
    while (found := _identity(place)) is None and _is_written(folder) and time.monotonic() < end:
        time.sleep(0.001)
    return found


def _is_written(folder: Path) -> bool:
    try:
        return any(name.startswith(f".{folder.name}.new-") for name in os.listdir(folder.parent))  # noqa: PTH208
    except OSError:
        return False
