"""Runs test images through exported files as a device would: the runtime, whole batches, one thread each.

The images are split over worker processes that hold numpy and an interpreter and no TensorFlow:

    python -P -m edgewright.export.work.score   (tasks come and answers go as JSON, a line each)

They are plain subprocesses: a ProcessPoolExecutor can hang for ever when one of its workers is killed,
and it runs the caller's own script again in each of them.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewright.runtime import backends
from edgewright.runtime.backends import Scores
from edgewright.runtime.contract import TensorSpec
from edgewright.runtime.disk import jsonio
from edgewright.runtime.disk.jsonio import JsonObject
from edgewright.runtime.errors import EdgewrightError, ExportError, ModelFileError

_FREE_BATCH = 32  # images at once for files that take any number


@dataclass(frozen=True, kw_only=True)
class Scored:
    """The float32 scores `(images, classes)` of one file, and what it says of its input and output."""

    scores: Scores
    kernels: str
    input: TensorSpec
    output: TensorSpec


@dataclass(frozen=True, kw_only=True)
class Pending:
    """Scores that are still being computed."""

    parts: list[Future[JsonObject]]

    def result(self) -> Scored:
        """Wait for them.

        Raises:
            ModelFileError: the file cannot be run.
            ExportError: a worker was killed.
        """
        found = [part.result() for part in self.parts]
        return Scored(
            scores=np.concatenate([np.load(part.text("scores")) for part in found]),
            kernels=found[0].text("kernels"),
            input=TensorSpec.from_json(found[0].object("input")),
            output=TensorSpec.from_json(found[0].object("output")),
        )


class Scorer:
    """Hands files to the workers.

    `images` is an .npy of uint8 `(n, height, width, channels)`; scores are written beside it.
    """

    def __init__(self, images: Path, workers: int) -> None:
        self._images, self._count = images, len(np.load(images, mmap_mode="r"))
        self._workers: list[_Worker] = []  # started when there is something to do
        self._wanted = workers
        self._idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
        self._threads = ThreadPoolExecutor(workers)

    def submit(self, model: Path, places: NDArray[np.intp] | None = None) -> Pending:
        """Score the images at `places`, in that order; by default all."""
        if not self._workers:
            self._workers = [_Worker() for _ in range(self._wanted)]
            for worker in self._workers:
                self._idle.put(worker)
        places = np.arange(self._count) if places is None else places
        shares = np.array_split(places, min(len(self._workers), len(places)))
        return Pending(parts=[self._threads.submit(self._score, model, share.tolist()) for share in shares])

    def _score(self, model: Path, places: list[int]) -> JsonObject:
        worker = self._idle.get()
        try:
            return worker.do({"model": str(model), "images": str(self._images), "places": places})
        finally:
            self._idle.put(worker)

    def close(self) -> None:
        for worker in self._workers:
            worker.close()  # whoever waits for an answer gets none, and ends
        self._threads.shutdown(wait=True, cancel_futures=True)


@contextmanager
def scorer(images: Path) -> Iterator[Scorer]:
    """Workers on all cores for as long as the block lasts."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    found = Scorer(images, cores)
    try:
        yield found
    finally:
        found.close()


class _Worker:
    """One process that scores. It ends when its standard input does, so it does not outlive this one."""

    def __init__(self) -> None:
        command = [sys.executable, "-P", "-m", "edgewright.export.work.score"]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            encoding="utf-8",
        )

    def do(self, task: dict[str, Any]) -> JsonObject:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        line = ""
        with suppress(OSError, ValueError):  # it is gone, or was closed
            self._process.stdin.write(json.dumps(task) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        if not line.endswith("\n"):
            raise ExportError(
                "a scoring process was ended from outside; is there enough memory? Export again"
            )
        answer = jsonio.parse(line.encode("utf-8"), "a worker's answer", ExportError)
        if answer.has("error"):
            raise ModelFileError(answer.text("error"))
        return answer

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):  # what was not sent need not be
                    pipe.close()


def main() -> None:
    """The worker: score what comes until nothing more does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the parent is the one to answer it
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)  # interpreters print; only answers may go to the pipe
    for line in sys.stdin:
        task = json.loads(line)
        try:
            answer = _score(Path(task["model"]), Path(task["images"]), task["places"])
        except EdgewrightError as failure:
            answer = {"error": str(failure)}
        answers.write(json.dumps(answer) + "\n")


def _score(model: Path, images: Path, places: list[int]) -> dict[str, Any]:
    backend = backends.for_path(model)
    file = backend.read(model)
    file.contract()  # the stamped hash is checked here, as on a device
    session = backend.open(file, threads=1)
    pixels, size = np.load(images, mmap_mode="r"), session.input.shape[0]
    size = size if size > 0 else _FREE_BATCH
    batches = (places[start : start + size] for start in range(0, len(places), size))
    scores = np.concatenate([session.run(pixels[batch]) for batch in batches])
    out = images.with_name(f"{model.name}-{places[0]}.scores.npy")
    np.save(out, scores)
    return {
        "scores": str(out),
        "kernels": session.kernels,
        "input": session.input.to_json(),
        "output": session.output.to_json(),
    }


if __name__ == "__main__":
    main()
