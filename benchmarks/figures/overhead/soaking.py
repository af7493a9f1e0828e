"""Whether a predictor keeps its memory: `predict_many` over the same pictures for as long as is asked.

    python -m edgewright.benchmarks.figures.overhead.soaking MODEL MINUTES

In a process of its own; prints resident memory, in bytes, ten times a minute and at least twenty times,
and how many pictures there were, as JSON. The first fifth of the time is to fill caches and is not shown.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from pathlib import Path

import numpy as np

from edgewright.benchmarks.figures.photos import Camera
from edgewright.runtime import console, load

PICTURES, SIDE = 64, 256
WARM = 0.2  # of the time


def resident_bytes() -> int:
    """Memory of this process that is in RAM now."""
    try:
        import resource

        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    except (ImportError, OSError):
        import psutil

        return int(psutil.Process().memory_info().rss)


def main(model: Path, minutes: float) -> None:
    camera = Camera((SIDE, SIDE))
    images = np.random.default_rng(0).integers(0, 256, (PICTURES, 16, 16, 3), np.uint8)
    pictures = [camera.take(image) for image in images]
    every = min(6.0, minutes * 60 / 25)
    start = time.perf_counter()
    due, end = start + minutes * 60 * WARM, start + minutes * 60
    resident: list[int] = []
    count = 0
    with load(model) as predictor:
        for _ in predictor.predict_many(itertools.cycle(pictures)):
            count += 1
            now = time.perf_counter()
            if now >= due:
                resident.append(resident_bytes())
                due += every
            if now >= end:
                break
    console.say(json.dumps({"resident_bytes": resident, "pictures": count}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
