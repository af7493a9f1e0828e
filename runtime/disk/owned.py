"""Small files in the user's cache folder that are believed because nobody else can have written them.

Whoever could write there could vouch for any file, or choose what runs: so the folder and the file have to
belong to this user, or to root, and be writable by nobody else.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

from edgewright.runtime.disk import files, outside
from edgewright.runtime.errors import EdgewrightError, OutputError

MOST_BYTES = 2**20


def distrust(folder: Path, what: str) -> str | None:
    """Why nothing in a folder of the cache is believed: expected, got, what to do. None if it is.

    Args:
        what: lies there, in the plural.
    """
    for each, shared in ((folder.parent, stat.S_IWOTH), (folder, stat.S_IWGRP | stat.S_IWOTH)):
        if (wrong := _wrong(each, stat.S_ISDIR, shared)) is not None:
            return (
                f"expected {each}, where {what} are listed, to be a folder of this user's that no "
                f"other can write, got {wrong}; set EDGEWRIGHT_CACHE to such a folder"
            )
    return None


def is_ours(entry: Path) -> bool:
    """True of a file that is there, and that nobody else can have written."""
    return _wrong(entry, stat.S_ISREG) is None and distrust(entry.parent, "files") is None


def read(entry: Path) -> bytes | None:
    """What such a file holds; None of any other."""
    if not is_ours(entry):
        return None
    try:
        return outside.read(entry, EdgewrightError, MOST_BYTES)
    except EdgewrightError:
        return None


def write(entry: Path, raw: bytes, what: str) -> None:
    """Write such a file, aside and renamed; makes its folder.

    Args:
        what: lies in its folder, in the plural, for the message.

    Raises:
        OutputError: that is not possible, or would not be believed.
    """
    import tempfile

    folder = entry.parent
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if hasattr(os, "geteuid") and folder.lstat().st_uid == os.geteuid():
            folder.chmod(0o700)
        if trouble := distrust(folder, what):
            raise OutputError(trouble)
        handle, name = tempfile.mkstemp(prefix=".", dir=folder)
        with os.fdopen(handle, "wb") as file:
            file.write(raw)
        Path(name).replace(entry)
    except OSError as failure:
        raise OutputError(
            f"cannot write to {folder}, where {what} are listed: {failure.strerror}; "
            "set EDGEWRIGHT_CACHE to a folder of yours"
        ) from failure


def _wrong(
    each: Path, is_kind: Callable[[int], bool], shared: int = stat.S_IWGRP | stat.S_IWOTH
) -> str | None:
    """What keeps an entry from being believed, None if nothing does."""
    try:
        found = each.stat() if each == files.cache_folder() else each.lstat()  # a cache may be a user's link
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
