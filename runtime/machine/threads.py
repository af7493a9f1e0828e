"""`threads="auto"`: how many threads a model runs fastest with here, measured once and remembered.

What helps one model on two cores makes another slower, so it is measured; where it was measured, the
answer is kept in the user's cache folder, under the file's SHA-256, the backend and the cores.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable

import numpy as np

from edgewright.runtime.backends import Session
from edgewright.runtime.disk import digest, files, owned
from edgewright.runtime.errors import OutputError

WORTH = 0.9  # more threads have to bring this much: they take cores from everyone else
_SECONDS = 0.03  # for each count
_MOST_RUNS = 200


def cores() -> int:
    """The processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def choose(sha256: str, backend: str, open_with: Callable[[int], Session]) -> int:
    """The thread count for a file: as remembered, else as measured now (about 0.1 s).

    Args:
        sha256: of the file.
        backend: what runs it, as it is remembered under.
        open_with: opens it with so many threads.
    """
    key = digest.sha256(f"{sha256} {backend} {cores()}".encode())
    kept = files.cache_folder() / "threads" / key
    with contextlib.suppress(ValueError):
        if 1 <= (found := int(owned.read(kept) or 0)) <= cores():
            return found
    best, best_seconds = 1, _seconds(open_with, 1)
    count = 2
    while count <= cores():
        seconds = _seconds(open_with, count)
        if seconds < WORTH * best_seconds:
            best, best_seconds = count, seconds
        count *= 2
    with contextlib.suppress(OutputError):  # then it is measured again next time
        owned.write(kept, str(best).encode(), "numbers of threads")
    return best


def _seconds(open_with: Callable[[int], Session], count: int) -> float:
    """The median time of a run."""
    session = open_with(count)
    try:
        batch, *shape = session.input.shape
        if min(shape) < 0:  # of no size of its own: one thread it is
            return 0.0
        pixels = np.full((max(batch, 1), *shape), 128, np.uint8)
        session.run(pixels)
        taken: list[float] = []
        while len(taken) < _MOST_RUNS and sum(taken) < _SECONDS:
            start = time.perf_counter()
            session.run(pixels)
            taken.append(time.perf_counter() - start)
        return float(np.median(taken))
    finally:
        session.close()
