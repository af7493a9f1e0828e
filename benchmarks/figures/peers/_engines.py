"""Runs one peer for `benchmarks/figures/engines.py`: all that is timed is the engine, decoding is everyone's.

    PYTHON -P _engines.py PEER.py JOB

JOB is JSON: `model` as `Peer.open` takes it, `what` of `label`, `inference` and `throughput`, `threads` for
the last, and `pictures`, the paths of JPEG files, or for the last two `pixels`, an .npy of uint8 images. Says
the label of each picture, then for each line on standard input the nanoseconds a picture of a block of
rounds; or what failed. All on standard output, JSON, a line each.
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

BLOCK_SECONDS = 0.05


def main(peer_file: str, job: dict[str, Any]) -> None:
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a peer prints is no answer
    try:
        spec = importlib.util.spec_from_file_location("peer", peer_file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        peer, model = module.PEER, job["model"]
        if job["what"] == "label":
            given: list[Any] = [Path(path).read_bytes() for path in job["pictures"]]
            label = peer.open(model, decoder(model))
        else:
            given = list(np.load(job["pixels"]))
            label = peer.open(model, lambda pixels: pixels)
        ready = {"labels": [label(one) for one in given], "version": metadata.version(peer.package)}
        run = each(label)
        if job["what"] == "throughput":
            run = (
                peer.many(model, job["threads"]) if hasattr(peer, "many") else side_by_side(peer, model, job)
            )
        run(given)
        start = time.perf_counter()
        run(given)
        given *= math.ceil(BLOCK_SECONDS / max(time.perf_counter() - start, 1e-6))
    except Exception as failure:  # whatever a peer raises at a file it cannot read
        out.write(json.dumps({"failed": f"{type(failure).__name__}: {failure}"}) + "\n")
        return
    out.write(json.dumps(ready) + "\n")
    for _ in sys.stdin:
        start = time.perf_counter()
        run(given)
        out.write(json.dumps({"samples_ns": [(time.perf_counter() - start) * 1e9 / len(given)]}) + "\n")


def decoder(model: Any) -> Callable[[bytes], Any]:
    """Our own way from a JPEG to pixels, which all are given: only engines differ."""
    from edgewright.runtime.contract import InputContract
    from edgewright.runtime.preprocess import to_pixels

    wanted = InputContract(
        height=model["height"],
        width=model["width"],
        channels=model["channels"],
        fit=model["fit"],
        resample=model["resample"],
    )
    return lambda jpeg: to_pixels(jpeg, wanted)[0]


def each(label: Callable[[Any], int]) -> Callable[[Sequence[Any]], None]:
    def run(given: Sequence[Any]) -> None:
        for one in given:
            label(one)

    return run


def side_by_side(peer: Any, model: Any, job: dict[str, Any]) -> Callable[[Sequence[Any]], None]:
    """One of one thread for each core, as the documentation of interpreters that lock themselves advises."""
    runs = [each(peer.open(model, lambda pixels: pixels)) for _ in range(job["threads"])]
    pool = ThreadPoolExecutor(len(runs))

    def run(given: Sequence[Any]) -> None:
        parts = [given[place :: len(runs)] for place in range(len(runs))]
        for done in [pool.submit(one, part) for one, part in zip(runs, parts, strict=True)]:
            done.result()

    return run


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
