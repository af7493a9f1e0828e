"""Runs test images through exported files as a device would: the runtime, batch 1, one thread each.

The images are split over worker processes that hold numpy and an interpreter and no TensorFlow.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgewright.runtime import backends
from edgewright.runtime.backends import Scores
from edgewright.runtime.contract import TensorSpec
from edgewright.runtime.errors import ExportError


@dataclass(frozen=True, kw_only=True)
class Scored:
    """The float32 scores `(images, classes)` of one file, and what it says of its input and output."""

    scores: Scores
    kernels: str
    input: TensorSpec
    output: TensorSpec


@dataclass(frozen=True, kw_only=True)
class _Part:
    """What a worker answers: its scores lie in the file `scores`.

    They are not sent: a worker that is sending more than a pipe holds while another one is killed
    never ends.
    """

    scores: Path
    kernels: str
    input: TensorSpec
    output: TensorSpec


@dataclass(frozen=True, kw_only=True)
class Pending:
    """Scores that are still being computed."""

    parts: list[Future[_Part]]

    def result(self) -> Scored:
        """Wait for them. Raises what the runtime raised, `ExportError` if a worker died."""
        try:
            found = [part.result() for part in self.parts]
        except BrokenProcessPool as failure:
            raise ExportError(
                "a scoring process was ended from outside; is there enough memory? Export again"
            ) from failure
        return Scored(
            scores=np.concatenate([np.load(part.scores) for part in found]),
            kernels=found[0].kernels,
            input=found[0].input,
            output=found[0].output,
        )


class Scorer:
    """Hands files to the workers.

    `images` is an .npy of uint8 `(n, height, width, channels)`; scores are written beside it.
    """

    def __init__(self, pool: ProcessPoolExecutor, workers: int, images: Path) -> None:
        self._pool, self._workers, self._images = pool, workers, images
        self._count = len(np.load(images, mmap_mode="r"))

    def submit(self, model: Path) -> Pending:
        edges = np.linspace(0, self._count, min(self._workers, self._count) + 1, dtype=int).tolist()
        return Pending(
            parts=[
                self._pool.submit(_score, model, self._images, start, stop)
                for start, stop in itertools.pairwise(edges)
            ]
        )


@contextmanager
def scorer(images: Path) -> Iterator[Scorer]:
    """Workers on all cores for as long as the block lasts."""
    workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_watch_parent)
    try:
        yield Scorer(pool, workers, images)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _watch_parent() -> None:
    """A worker whose parent was killed would wait for work forever: end it instead.

    Ctrl-C reaches the whole process group; the parent is the one to answer it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def wait() -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _score(model: Path, images: Path, start: int, stop: int) -> _Part:
    backend = backends.for_path(model)
    file = backend.read(model)
    file.contract()  # the stamped hash is checked here, as on a device
    session = backend.open(file, threads=1)
    pixels = np.load(images, mmap_mode="r")[start:stop]
    scores = np.concatenate([session.run(np.ascontiguousarray(image[np.newaxis])) for image in pixels])
    out = images.with_name(f"{model.name}-{start}.scores.npy")
    np.save(out, scores)
    return _Part(scores=out, kernels=session.kernels, input=session.input, output=session.output)
