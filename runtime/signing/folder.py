"""The files of a bundle's folder, held against what was signed: none more, none fewer, none other."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path

from edgewright.runtime.bundle.manifest import SIGNATURE
from edgewright.runtime.disk import files, outside
from edgewright.runtime.errors import SignatureError
from edgewright.runtime.signing.statement import MAX_BYTES


def read(folder: Path) -> bytes:
    """The signature file of a bundle. Raises `SignatureError`: there is none, or it cannot be read."""
    path = folder / SIGNATURE
    if not folder.is_dir():
        raise SignatureError(f"expected a bundle folder that is signed, got {folder}")
    if not os.path.lexists(path):
        raise SignatureError(
            f"expected a signed bundle, got {folder} without {SIGNATURE}; whoever made it signs it with "
            "edgewright sign"
        )
    _no_link(path)
    return outside.read(path, SignatureError, MAX_BYTES)


def check(folder: Path, signed: Mapping[str, str]) -> None:
    """See that `folder` holds the files that were signed and nothing else beside its signature.

    Args:
        signed: SHA-256 by name.

    Raises:
        SignatureError: names what was added, is missing, is no regular file or was changed.
    """
    for name in names(folder, {*signed, SIGNATURE}):
        if name not in signed:
            raise SignatureError(f"expected the files that were signed in {folder}, got '{name}' beside them")
    for name, expected in signed.items():
        if not os.path.lexists(folder / name):
            raise SignatureError(f"expected '{name}', which was signed, in {folder}, got nothing")
        found = sha256_of(folder / name)
        if found != expected:
            raise SignatureError(
                f"{folder / name} is not as it was signed: expected SHA-256 {expected[:12]}…, "
                f"got {found[:12]}…; copy the bundle again"
            )


def names(folder: Path, known: Collection[str] = ()) -> list[str]:
    """What is in `folder` beside its signature, sorted; the first that is none of `known` is the last one
    looked at. Raises `SignatureError`: the folder cannot be read."""
    found = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name != SIGNATURE:
                    found.append(entry.name)
                    if known and entry.name not in known:
                        break
    except OSError as failure:
        raise SignatureError(f"cannot read {folder}: {failure.strerror}") from failure
    return sorted(found)


def sha256_of(path: Path) -> str:
    """SHA-256 of a regular file. Raises `SignatureError`: it is a link, a folder, a device, or unreadable."""
    _no_link(path)
    with outside.opened(path, SignatureError) as file:
        return files.sha256_of(file)


def _no_link(path: Path) -> None:
    if path.is_symlink():
        raise SignatureError(f"expected a file, got {path}, which is a link")
