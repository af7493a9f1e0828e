"""What earlier exports have made, found again by all that it depends on.

A killed export goes on where it was, and a changed option makes only what depends on it anew. An entry
is a folder of files whose name is the SHA-256 of what they were made from: the model's and the images'
SHA-256, options, versions, and the code that made them. It is written aside and renamed, holds the
SHA-256 of each of its files, and is made again if one of them is not what it was.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from edgewright.runtime.disk import files, jsonio
from edgewright.runtime.errors import InputError

_LIST = "entry.json"
_MOST_BYTES = 4 * 2**30  # the entries used longest ago go first
_PACKAGES = ("edgewright.export", "edgewright.train", "edgewright.runtime")  # whose code is in what is kept


class Cache:
    """Entries under `folder`, by default in `runtime.files.cache_folder()`."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or files.cache_folder() / "export"

    def find(self, parts: Mapping[str, Any]) -> Path | None:
        """The folder of what was made from `parts` (JSON values), None if there is none or it is damaged."""
        entry = self._place(parts)
        try:
            listed = jsonio.read(entry / _LIST, InputError)
            whole = all(files.sha256_of(entry / name) == listed.text(name) for name in listed.data)
        except (OSError, InputError):
            return None
        if not whole:
            shutil.rmtree(entry, ignore_errors=True)
            return None
        with contextlib.suppress(OSError):
            os.utime(entry)
        return entry

    @contextlib.contextmanager
    def add(self, parts: Mapping[str, Any]) -> Iterator[Path]:
        """Give a folder to copy into; it is the entry of `parts` once the block ends well.

        A cache that cannot be written, or that a copy no longer fits into, is no reason to fail: the block
        is left at that and the entry not kept. So nothing but copying belongs into it.
        """
        with contextlib.ExitStack() as stack:
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                aside = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=".", dir=self._folder)))
            except OSError:
                yield Path(stack.enter_context(tempfile.TemporaryDirectory()))
                return
            filling = aside / "entry"
            filling.mkdir()
            try:
                yield filling
            except OSError:
                return
            inside = sorted(path for path in filling.rglob("*") if path.is_file())
            listed = {path.relative_to(filling).as_posix(): files.sha256_of(path) for path in inside}
            with contextlib.suppress(OSError):  # another export may have been first
                (filling / _LIST).write_bytes(jsonio.dump(listed))
                filling.rename(self._place(parts))
                self._forget_oldest()

    def _place(self, parts: Mapping[str, Any]) -> Path:
        asked = json.dumps({**parts, "code": _code()}, sort_keys=True)
        return self._folder / hashlib.sha256(asked.encode()).hexdigest()

    def _forget_oldest(self) -> None:
        entries = [path for path in self._folder.iterdir() if not path.name.startswith(".")]
        sizes = {path: sum(f.stat().st_size for f in path.rglob("*")) for path in entries}
        excess = sum(sizes.values()) - _MOST_BYTES
        for path in sorted(entries, key=lambda path: path.stat().st_mtime):
            if excess <= 0:
                return
            excess -= sizes[path]
            shutil.rmtree(path, ignore_errors=True)


@cache
def _code() -> str:
    """SHA-256 of the sources that an export runs: another edition of them may make something else."""
    return code_digest(*(Path(str(resources.files(package))) for package in _PACKAGES))


def code_digest(*folders: Path) -> str:
    """SHA-256 over the names and contents of all Python sources in `folders` and the folders in them."""
    sha = hashlib.sha256()
    for folder in folders:
        for source in sorted(folder.rglob("*.py")):
            sha.update(f"{source.relative_to(folder).as_posix()}\0{files.sha256_of(source)}\n".encode())
    return sha.hexdigest()
