"""What a call costs more in the process apart than here."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from edgewright.benchmarks.record import stats
from edgewright.benchmarks.record.stats import Estimate
from edgewright.runtime import backends, trust

TURNS = 3000


def added(path: Path) -> Estimate:
    """Microseconds: the median difference of `TURNS` calls, each in turn with one here.

    Raises:
        ModelFileError: a file that cannot be opened.
    """
    backend = backends.for_path(path)
    file = backend.read(path)
    here, there = backend.open(file, 1), trust.isolated(backend, file)
    shape, clock = (max(here.input.shape[0], 1), *here.input.shape[1:]), time.perf_counter
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    taken = []
    try:
        for _ in range(TURNS):
            begun = clock()
            there.run(pixels)
            between = clock()
            here.run(pixels)
            taken.append((between - begun - (clock() - between)) * 1e6)
    finally:
        there.close()
        here.close()
    return stats.percentile(taken, 50)
