"""SHA-256 without OpenSSL for what is small, as most of a device's files are.

Importing `hashlib` loads OpenSSL: 4 ms and 3.6 MB of memory, a twelfth of all that a cold start takes.
Python's own implementation hashes 0.4 GB/s, OpenSSL's 2: up to 2 MB it is done sooner, up to `SMALL` bytes
not much later. The standard library's `random` chooses in the same way.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any

SMALL = 2**22  # bytes


def sha256(*parts: bytes | memoryview) -> str:
    """SHA-256 of `parts`, one after the other, as 64 hexadecimal digits."""
    make = _own() if sum(map(len, parts)) <= SMALL else None
    if make is None:
        import hashlib

        make = hashlib.sha256
    digest = make()
    for part in parts:
        digest.update(part)
    return str(digest.hexdigest())


@cache
def _own() -> Callable[[], Any] | None:
    """Python's own SHA-256; None where OpenSSL is loaded already, or it is built without one."""
    if "_hashlib" in sys.modules:
        return None
    for module in ("_sha2", "_sha256"):  # from Python 3.12 on, and before
        try:
            found: Callable[[], Any] = import_module(module).sha256
        except ImportError:
            continue
        return found
    return None
