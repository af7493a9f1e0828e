"""Zip archives from outside: their directory is counted before it becomes objects.

Opening one makes half a kilobyte of each 46 bytes of its directory, so a file of nothing else takes twelve
times its size of memory. `zipfile` is imported where it is needed: it would take each start 3 ms.
"""

from __future__ import annotations

import os
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zipfile import ZipFile

_ENTRY = b"PK\1\2"  # begins what the directory says of a member
_FEW, _SMALLEST = 1_000, 128  # members that are no reason to doubt; bytes of one more, with its name, twice


class Sparing:
    """An open file for `ZipFile` or `numpy.load` to open an archive from, with as many members as its size
    has room for.

    What is counted is what they read, so there are no two opinions of where the directory lies. Once the
    archive is open, set `opening` to False: a member may hold an archive of its own.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.opening = file, True
        self._most = _FEW + file.seek(0, os.SEEK_END) // _SMALLEST
        file.seek(0)

    def read(self, size: int = -1) -> bytes:
        """Raises `BadZipFile` of more members."""
        raw = self._file.read(size)
        if self.opening and (count := raw.count(_ENTRY)) > self._most:
            from zipfile import BadZipFile

            raise BadZipFile(f"expected at most {self._most:,} members in so small an archive, got {count:,}")
        return raw

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def archive(file: IO[bytes]) -> ZipFile:
    """The archive in an open file, which has to stay open as long.

    Raises:
        BadZipFile: another kind of file, a damaged one, or one of more members than it has room for.
    """
    from zipfile import ZipFile

    sparing = Sparing(file)
    found = ZipFile(sparing)
    sparing.opening = False
    return found


def member(of: ZipFile, name: str, most: int) -> bytes:
    """The bytes of a member, `most` of them at most.

    Raises:
        KeyError: there is none of that name.
        BadZipFile: it is larger, or damaged.
        NotImplementedError, RuntimeError, OSError, zlib.error: packed in another way, encrypted, or damaged.
    """
    from zipfile import BadZipFile

    if (size := of.getinfo(name).file_size) > most:
        raise BadZipFile(f"expected at most {most:,} bytes in '{name}', got {size:,}")
    with of.open(name) as file:
        return file.read(most)
