"""Two folders change names in one step, where the system can do that: nobody sees a moment without either.

Linux has renameat2(2) with RENAME_EXCHANGE (ext4, XFS, btrfs, tmpfs, overlayfs; not NFS), macOS renamex_np(2)
with RENAME_SWAP (APFS). Python has neither.
"""

from __future__ import annotations

import errno
import os
import sys
from functools import cache
from pathlib import Path
from typing import Any

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
_RENAME_SWAP = 2
# What a kernel, a file system or a sandbox answers that does not know the call.
_UNKNOWN = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EPERM, errno.EXDEV)


def exchange(one: Path, other: Path) -> bool:
    """Give each of two folders the name of the other; False, and nothing done, where that is not possible.

    Raises:
        OSError: one of them is not there, or cannot be renamed.
    """
    call, first = _call()
    if call is None:
        return False
    import ctypes

    names = os.fsencode(one), os.fsencode(other)
    if first is None:
        done = call(*names, _RENAME_SWAP)
    else:
        done = call(first, names[0], first, names[1], _RENAME_EXCHANGE)
    if done == 0:
        return True
    if (number := ctypes.get_errno()) in _UNKNOWN:
        return False
    raise OSError(number, os.strerror(number), str(other))


@cache
def _call() -> tuple[Any, int | None]:
    """The system's function, None if it has none, and the folder that names start from, if it wants one."""
    import ctypes

    name, first = ("renamex_np", None) if sys.platform == "darwin" else ("renameat2", _AT_FDCWD)
    try:
        return getattr(ctypes.CDLL(None, use_errno=True), name), first
    except (OSError, AttributeError, TypeError):  # an old C library; TypeError: Windows
        return None, None
