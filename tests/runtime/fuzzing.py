"""Mutants of a real model file, each opened and run as `load` does: what became of them, as JSON.

    python tests/runtime/fuzzing.py FILE COUNT SEED

The hash inside is stamped anew, so that it is not what refuses them. Nobody vouched for any of
them: each runs in a process apart, and the parent, which is this one, must not crash.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

from edgewright.benchmarks.figures.reliability.mutation import mutated
from edgewright.runtime import backends, load
from edgewright.runtime.contract import CONTRACT_KEY, ZERO_HASH, stamp
from edgewright.runtime.errors import EdgewrightError


def structure(raw: bytes) -> np.ndarray:
    """Where a change does more than change a weight: outside of long runs that hold no zero."""
    zero = np.flatnonzero(np.frombuffer(raw, np.uint8) == 0)
    near = np.zeros(len(raw), bool)
    for offset in range(-24, 25):
        near[np.clip(zero + offset, 0, len(raw) - 1)] = True
    edges = np.r_[0:2000, max(0, len(raw) - 12_000) : len(raw)]
    return np.unique(np.r_[edges[edges < len(raw)], np.flatnonzero(near)[::5]])


def main(path: Path, count: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    raw = path.read_bytes()
    entry = backends.for_path(path).read(path).metadata[CONTRACT_KEY]
    unset = raw.replace(json.loads(entry)["sha256"].encode(), ZERO_HASH.encode())
    places = structure(unset)
    fates: Counter[str] = Counter()
    slowest = 0.0
    with tempfile.TemporaryDirectory() as folder:
        os.environ["EDGEWRIGHT_CACHE"] = f"{folder}/cache"
        mutant = Path(folder, f"mutant{path.suffix}")
        for number in range(count):
            changed = mutated(unset, random, places)
            mutant.write_bytes(stamp(changed) if changed.count(ZERO_HASH.encode()) == 1 else changed)
            start = time.monotonic()
            try:
                with load(mutant) as predictor:
                    image = np.full((1, *predictor.contract.input.shape), 128, np.uint8)
                    fates["ran"] += predictor.scores(image).dtype == np.float32
            except EdgewrightError as failure:
                crashed = "its interpreter" in str(failure)
                fates["crashed elsewhere" if crashed else "refused"] += 1
            except BaseException:
                Path(f"mutant-{seed}-{number}{path.suffix}").write_bytes(mutant.read_bytes())
                raise
            slowest = max(slowest, time.monotonic() - start)
    status = Path("/proc/self/status")
    peak = int(status.read_text().split("VmHWM:")[1].split()[0]) * 1024 if status.exists() else 0
    print(json.dumps({**fates, "slowest_seconds": slowest, "peak_rss_bytes": peak}))  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
