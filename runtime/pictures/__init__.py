"""Which pictures the words of a command line mean: files, folders, globs, a .zip, standard input.

A picture is read when its turn comes. Nothing is unpacked to disk, and an archive that would fill the
memory, or names files outside of itself, is refused.
"""

from __future__ import annotations

import glob
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from edgewright.runtime.disk import outside
from edgewright.runtime.errors import ImageError

if TYPE_CHECKING:
    from zipfile import ZipFile, ZipInfo

SUFFIXES = frozenset(
    (
        *(".jpg", ".jpeg", ".png", ".gif", ".bmp", ".ppm", ".pgm", ".pnm", ".webp", ".tif", ".tiff"),
        *(".avif", ".heic", ".heif"),
    )
)
STDIN = "-"
MAX_BYTES = outside.MAX_PICTURE_BYTES  # of one that is held in memory
MAX_RATIO = outside.MAX_RATIO
Outcome = TypeVar("Outcome")


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One picture: the name to show, and `read`, which gives what `predict` takes, or raises `ImageError`."""

    name: str
    read: Callable[[], Any]


def find(words: Sequence[str]) -> Iterator[Picture]:
    """The pictures that `words` mean, in their order; those of a folder or archive by name.

    What cannot be found is a picture too, of which `read` raises.
    """
    for word in words:
        if word == STDIN:
            yield Picture(name=word, read=_stdin)
        elif os.path.isdir(word):  # noqa: PTH112 - unlike Path, it takes names of any bytes and length
            yield from _folder(word)
        elif word.lower().endswith(".zip") and os.path.isfile(word):  # noqa: PTH113
            yield from _archive(word)
        elif glob.has_magic(word) and not os.path.lexists(word):
            found = sorted(name for name in glob.glob(word, recursive=True) if not os.path.isdir(name))  # noqa: PTH112, PTH207
            yield from map(_file, found) if found else [_failed(word, "no file is named like this")]
        else:
            yield _file(word)


def through(
    found: Iterable[Picture], work: Callable[[Iterator[Any]], Iterator[Outcome]]
) -> Iterator[tuple[Picture, Outcome | ImageError]]:
    """Each picture with what `work` makes of it, in order; one that cannot even be read takes its turn too.

    `work` is given what was read and gives as many outcomes, such as `Predictor.scores_many`.
    """
    waiting: deque[tuple[Picture, ImageError | None]] = deque()

    def sources() -> Iterator[Any]:
        for picture in found:
            try:
                source = picture.read()
            except ImageError as failure:
                waiting.append((picture, failure))
                continue
            waiting.append((picture, None))
            yield source

    def unreadable() -> Iterator[tuple[Picture, ImageError]]:
        while waiting and (failure := waiting[0][1]):
            yield waiting.popleft()[0], failure

    for outcome in work(sources()):
        yield from unreadable()
        yield waiting.popleft()[0], outcome
    yield from unreadable()


def is_one_file(words: Sequence[str]) -> bool:
    """True if the words can only mean one picture: there is nothing to do at the same time."""
    return len(words) == 1 and (words[0] == STDIN or Path(words[0]).suffix.lower() in SUFFIXES)


def _file(name: str) -> Picture:
    return Picture(name=name, read=lambda: name)


def _failed(name: str, reason: str) -> Picture:
    def fail() -> str:
        raise ImageError(f"cannot read '{name}': {reason}")

    return Picture(name=name, read=fail)


def _stdin() -> bytes:
    raw = sys.stdin.buffer.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise ImageError(f"expected a picture of at most {MAX_BYTES:,} bytes on standard input, got more")
    return raw


def _folder(folder: str) -> Iterator[Picture]:
    found = sorted(
        os.path.join(place, name)  # noqa: PTH118
        for place, _, names in os.walk(folder)
        for name in names
        if is_picture(name)
    )
    if not found:
        yield _failed(folder, f"it holds no file that ends in {', '.join(sorted(SUFFIXES))}")
    yield from map(_file, found)


def is_picture(name: str) -> bool:
    """Whether a file is taken for a picture, by its name; hidden files are not."""
    base = name.rpartition("/")[2]
    return os.path.splitext(base)[1].lower() in SUFFIXES and not base.startswith(".")  # noqa: PTH122


def _archive(path: str) -> Iterator[Picture]:
    import weakref
    from zipfile import BadZipFile

    from edgewright.runtime.disk import zips

    file = None
    try:
        file = open(path, "rb")  # noqa: PTH123, SIM115  (closed with the archive)
        archive = zips.archive(file)
    except (BadZipFile, OSError, ValueError, NotImplementedError) as failure:
        if file is not None:
            file.close()
        yield _failed(path, f"it is no whole .zip ({failure})")
        return
    weakref.finalize(archive, file.close)
    members = archive.infolist()
    found = sorted(
        (m for m in members if is_picture(m.filename) and not m.filename.startswith("__MACOSX/")),
        key=lambda member: member.filename,
    )
    reason = _refusal(members, os.path.getsize(path)) or ("" if found else "it holds no picture")  # noqa: PTH202
    if reason:
        archive.close()
        yield _failed(path, reason)
        return
    for member in found:  # each holds on to the archive, which is closed with the last of them
        yield Picture(name=f"{path}/{member.filename}", read=_member(archive, member))


def _refusal(members: Sequence[ZipInfo], packed_bytes: int) -> str:
    """Why an archive is not opened; empty if it may be."""
    unpacked = sum(member.file_size for member in members)
    if unpacked > max(MAX_BYTES, MAX_RATIO * packed_bytes):
        return f"its {packed_bytes:,} bytes would become {unpacked:,}, which pictures do not"
    for member in members:
        parts = member.orig_filename.replace("\\", "/").split("/")
        if ".." in parts or parts[0] == "" or ":" in parts[0] or "\0" in member.orig_filename:
            return f"a file in it is named '{member.orig_filename}', which leads out of it"
    return ""


def _member(archive: ZipFile, member: ZipInfo) -> Callable[[], bytes]:
    def read() -> bytes:
        name = f"{archive.filename}/{member.filename}"
        if member.file_size > MAX_BYTES:
            raise ImageError(f"expected at most {MAX_BYTES:,} bytes in '{name}', got {member.file_size:,}")
        try:
            with archive.open(member) as file:
                return file.read(MAX_BYTES)
        except Exception as failure:  # zipfile and zlib raise much; one that is encrypted a RuntimeError
            raise ImageError(f"cannot read '{name}': {failure}") from failure

    return read
