"""A process of `edgewright compare`: opens one file, and runs a block whenever it is asked to.

    python -m edgewright.benchmarks.compare.worker JOB      (JOB is JSON; see `comparison.py`)

Answers when it is told what to do (see `edgewright.runtime.machine.child`): `warm` when its runs are steady,
`block` with the median nanoseconds of a block's runs, `notes` with what disturbed. Ends with standard input.
"""

from __future__ import annotations

import contextlib
import importlib
import itertools
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgewright.benchmarks.measure import sampling
from edgewright.runtime.errors import EdgewrightError
from edgewright.runtime.machine.child import receive, send, standard_pipes

_FEWEST = 5  # runs in a block


def main(job: dict[str, Any]) -> None:
    questions, answers = standard_pipes()
    run, pixels, disturbed = _open(job)
    if job["core"] is not None:  # from now on: opening is faster on all cores
        with contextlib.suppress(OSError):  # then the system chooses
            os.sched_setaffinity(0, {job["core"]})
    if job["slow_down"] is not None:
        run = _slowed(run, job["slow_down"])
    calls, turns = 1, itertools.cycle(pixels)
    before = sampling.Counters.read()
    while (message := receive(questions)) is not None:
        question = message[0]["do"]
        if question == "warm":
            warm = sampling.warm_up(run, pixels, job["warmup_seconds"])
            calls = sampling.calls_per_sample(statistics.median(warm.samples_ns), sampling.clock_step_ns())
            disturbed += [warm.note()] if warm.note() else []
            send(answers, {"answer": True})
        elif question == "block":
            runs = sampling.until([None], _FEWEST, job["block_seconds"], float("inf"))
            taken = [sampling.mean_ns(run, turns, calls) for _ in runs]
            send(answers, {"answer": statistics.median(taken)})
        else:
            send(answers, {"answer": disturbed + before.until(sampling.Counters.read())})


def _open(job: dict[str, Any]) -> tuple[Callable[[Any], object], list[Any], list[str]]:
    """What runs an image, the images, and what is to be said of them."""
    import numpy as np

    from edgewright.runtime import backends, foreign
    from edgewright.runtime.bundle.manifest import Bundle
    from edgewright.runtime.trust import isolation, sandbox
    from edgewright.runtime.verification import GOLDEN_INPUTS, read_golden

    path = Path(job["path"])
    backend = backends.for_path(path)
    file = backend.read(path)
    golden = None if job["bundle"] is None else read_golden(Bundle.open(Path(job["bundle"])))
    if job["apart"]:
        with contextlib.suppress(ImportError):  # `open` says it better
            importlib.import_module(backend.module)
        sandbox.seal(isolation.memory_bytes(len(file.raw), job["threads"]))
    session = backend.open(file, job["threads"])  # with or without a contract: no score is read
    if golden is not None:
        return session.run, [image[None].copy() for image in golden[GOLDEN_INPUTS]], []
    shape, remark = foreign.input_shape(file, job["size"] and tuple(job["size"]))
    random, dtype = np.random.default_rng(0), np.dtype(session.input.dtype)
    noise: Any = random.random((16, *shape), np.float32)
    if dtype.kind in "iu":
        ends = np.iinfo(dtype)
        noise = random.integers(max(ends.min, -255), min(ends.max, 255), (16, *shape), endpoint=True)
    notes = ["a lone file has no images: it ran on noise"] + [remark] * bool(remark)
    return session.run, list(noise.astype(dtype)), notes


def _slowed(run: Callable[[Any], object], share: float) -> Callable[[Any], object]:
    """`run`, and a wait after it as long as that share of it."""
    clock = time.perf_counter_ns

    def slowed(pixels: Any) -> None:
        start = clock()
        run(pixels)
        taken = clock() - start
        end = clock() + taken * share  # from now: what was done since the run is no part of the wait
        while clock() < end:
            pass

    return slowed


def start(word: str) -> None:
    """The process: `word` is JOB."""
    try:
        main(json.loads(word))
    except EdgewrightError as failure:
        sys.exit(" ".join(str(failure).split()))


if __name__ == "__main__":
    start(sys.argv[1])
