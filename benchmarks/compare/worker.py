"""A measuring process: opens one file, and runs a block whenever it is asked to.

    python -m edgewright.benchmarks.compare.worker JOB      (JOB is JSON; see `measuring.py`)

Answers when it is told what to do (see `edgewright.runtime.machine.child`): `warm` when its runs are steady,
`block` with the median nanoseconds of a block's runs, `scores` with those of the images that come along,
`memory` with its peak, `kernels` with what computes, `notes` with what disturbed. Ends with standard input.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import os
import statistics
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgewright.benchmarks.measure import sampling
from edgewright.benchmarks.measure.probe import peak_rss_bytes
from edgewright.runtime.errors import EdgewrightError
from edgewright.runtime.machine.child import receive, send, standard_pipes

if TYPE_CHECKING:
    from edgewright.runtime.backends import Session

_FEWEST = 5  # runs in a block


def main(job: dict[str, Any]) -> None:
    questions, answers = standard_pipes()
    sessions, pixels, disturbed = _open(job)
    if job["core"] is not None:  # from now on: opening is faster on all cores
        with contextlib.suppress(OSError):  # then the system chooses
            os.sched_setaffinity(0, {job["core"]})
    run: Callable[[Any], Any] = sessions[0].run
    if job["slow_down"] is not None:
        run = _slowed(run, job["slow_down"])
    calls, turns = 1, itertools.cycle(pixels)
    before = sampling.Counters.read()
    while (message := receive(questions)) is not None:
        told, raw = message
        question, extra = told["do"], b""
        answer: Any = True
        if question == "warm":
            warm = sampling.warm_up(run, pixels, told["seconds"])
            calls = sampling.calls_per_sample(statistics.median(warm.samples_ns), sampling.clock_step_ns())
            disturbed += [warm.note()] if warm.note() else []
        elif question == "block" and len(sessions) > 1:
            answer = _together(sessions, pixels, told["seconds"])
        elif question == "block":
            runs = sampling.until([None], _FEWEST, told["seconds"], float("inf"))
            answer = statistics.median(sampling.mean_ns(run, turns, calls) for _ in runs)
        elif question == "scores":
            extra = _scores(run, told["shape"], raw)
        elif question == "memory":
            answer = peak_rss_bytes()
        elif question == "kernels":
            answer = sessions[0].kernels
        else:
            answer = disturbed + before.until(sampling.Counters.read())
        send(answers, {"answer": answer}, extra)


def _open(job: dict[str, Any]) -> tuple[list[Session], list[Any], list[str]]:
    """What runs an image, so many of them, the images, and what is to be said of these."""
    import numpy as np

    from edgewright.runtime import backends, foreign
    from edgewright.runtime.bundle.manifest import Bundle
    from edgewright.runtime.trust import isolation, sandbox
    from edgewright.runtime.verification import GOLDEN_INPUTS, read_golden

    path, copies = Path(job["path"]), job["copies"]
    backend = backends.for_path(path, job["engine"])
    file = backend.read(path)
    golden = None if job["bundle"] is None else read_golden(Bundle.open(Path(job["bundle"])))
    if job["apart"]:
        with contextlib.suppress(ImportError):  # `open` says it better
            backend.load()
        sandbox.seal(copies * isolation.memory_bytes(len(file.raw), job["threads"]))
        file = dataclasses.replace(file, copy=path)
    # With or without a contract: what scores mean is not asked.
    sessions = [backend.open(file, job["threads"]) for _ in range(copies)]
    if golden is not None:
        return sessions, [image[None].copy() for image in golden[GOLDEN_INPUTS]], []
    shape, remark = foreign.input_shape(file, job["size"] and tuple(job["size"]))
    random, dtype = np.random.default_rng(0), np.dtype(sessions[0].input.dtype)
    noise: Any = random.random((16, *shape), np.float32)
    if dtype.kind in "iu":
        ends = np.iinfo(dtype)
        noise = random.integers(max(ends.min, -255), min(ends.max, 255), (16, *shape), endpoint=True)
    notes = ["a lone file has no images: it ran on noise"] + [remark] * bool(remark)
    return sessions, list(noise.astype(dtype)), notes


def _scores(run: Callable[[Any], Any], shape: list[int], raw: bytes) -> bytes:
    import numpy as np

    images = np.frombuffer(raw, np.uint8).reshape(shape)
    return b"".join(run(image[None].copy()).tobytes() for image in images)


def _together(sessions: Sequence[Session], pixels: Sequence[Any], seconds: float) -> float:
    """Nanoseconds an image where all sessions run at once, each in a thread and at least `_FEWEST` times."""
    ready = threading.Barrier(len(sessions))

    def work(session: Session) -> int:
        ready.wait()
        end, count = time.perf_counter() + seconds, 0
        for item in itertools.cycle(pixels):
            session.run(item)
            count += 1
            if count >= _FEWEST and time.perf_counter() >= end:
                break
        return count

    with ThreadPoolExecutor(len(sessions)) as pool:
        start = time.perf_counter_ns()
        total = sum(pool.map(work, sessions))
        return (time.perf_counter_ns() - start) / total


def _slowed(run: Callable[[Any], Any], share: float) -> Callable[[Any], Any]:
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
