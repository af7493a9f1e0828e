"""What a run costs more in the process apart than here: both, and a bare echo over pipes, in turn.

    python -m edgewright.benchmarks.figures.overhead.apart MODEL...

Prints microseconds: medians of 3,000 turns, and of the differences turn by turn the middle and the tenths.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from edgewright.benchmarks.figures import script
from edgewright.runtime import backends, console, trust

TURNS = 3000
_WORD = b"x" * 48
_ECHO = "import os\nwhile word := os.read(0, 64):\n os.write(1, word)"


def compared(path: Path) -> str:
    """A line for one model file. Raises `ModelFileError`."""
    backend = backends.for_path(path)
    file = backend.read(path)
    here, there = backend.open(file, 1), trust.isolated(backend, file)
    shape, clock = (max(here.input.shape[0], 1), *here.input.shape[1:]), time.perf_counter
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    command = [sys.executable, "-I", "-S", "-c", _ECHO]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as echo:
        assert echo.stdin is not None
        assert echo.stdout is not None
        taken = []
        for _ in range(TURNS):
            times = [clock()]
            there.run(pixels)
            times.append(clock())
            here.run(pixels)
            times.append(clock())
            os.write(echo.stdin.fileno(), _WORD)
            os.read(echo.stdout.fileno(), len(_WORD))
            taken.append(np.diff([*times, clock()]) * 1e6)
        echo.stdin.close()
    there.close()
    apart, direct, bare = np.median(taken, axis=0)
    low, middle, high = np.percentile([one[0] - one[1] for one in taken], (10, 50, 90))
    return (
        f"{path.name}: {apart:.0f} apart, {direct:.0f} here, {middle:.0f} more [{low:.0f}, {high:.0f}]; "
        f"a bare echo {bare:.0f}; load {os.getloadavg()[0]:.1f}"
    )


def main(words: list[str]) -> int:
    for word in words:
        console.say(compared(Path(word)))
    return 0


if __name__ == "__main__":
    script.run(main)
