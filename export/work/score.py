"""Runs test images through exported files as a device would: the runtime, whole batches, one thread each.

The images are split over worker processes that hold numpy and an interpreter and no TensorFlow:

    python -P -m edgewright.export.work.score   (see `edgewright.runtime.machine.child`)
"""

from __future__ import annotations

import queue
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewright.runtime import backends
from edgewright.runtime.backends import Scores
from edgewright.runtime.contract import TensorSpec
from edgewright.runtime.disk.jsonio import JsonObject
from edgewright.runtime.errors import EdgewrightError, ExportError, ModelFileError
from edgewright.runtime.machine.child import ChildProcess, receive, send, standard_pipes
from edgewright.runtime.machine.threads import cores

FAST, TWO_THREADS, PLAIN = "fast", "two threads", "plain kernels"  # how a file is run
_FREE_BATCH = 32  # images at once for files that take any number


@dataclass(frozen=True, kw_only=True)
class Scored:
    """The float32 scores `(images, classes)` of one file, and what it says of its input and output."""

    scores: Scores
    kernels: str
    input: TensorSpec
    output: TensorSpec

    @staticmethod
    def of(scores: Scores, told: JsonObject) -> Scored:
        """What `told` says beside the scores, as `said` gives it."""
        return Scored(
            scores=scores,
            kernels=told.text("kernels"),
            input=TensorSpec.from_json(told.object("input")),
            output=TensorSpec.from_json(told.object("output")),
        )

    def said(self) -> dict[str, Any]:
        return {"kernels": self.kernels, "input": self.input.to_json(), "output": self.output.to_json()}


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
        self._closed = False

    def submit(
        self, model: Path, places: NDArray[np.intp] | None = None, how: str = FAST
    ) -> Callable[[], Scored]:
        """Have the images at `places` scored, in that order; by default all, and on one thread.

        Returns:
            What waits for the scores. It raises `ModelFileError`, the file cannot be run so, or
            `ExportError`, a worker was killed.
        """
        if not self._workers:
            self._workers = [_Worker() for _ in range(self._wanted)]
            for worker in self._workers:
                self._idle.put(worker)
        places = np.arange(self._count) if places is None else places
        shares = np.array_split(places, min(len(self._workers), len(places)))
        pending = [self._threads.submit(self._score, model, share.tolist(), how) for share in shares]
        return lambda: _joined([part.result() for part in pending])

    def _score(self, model: Path, places: list[int], how: str) -> JsonObject:
        worker = self._idle.get()
        try:
            return worker.do({"model": str(model), "images": str(self._images), "places": places, "how": how})
        except ExportError:
            if not self._closed:  # it is gone by itself, and the next file may do better
                worker.close()
                self._workers.remove(worker)
                worker = _Worker()
                self._workers.append(worker)
            raise
        finally:
            self._idle.put(worker)

    def close(self) -> None:
        self._closed = True
        for worker in list(self._workers):
            worker.close()  # whoever waits for an answer gets none, and ends
        self._threads.shutdown(wait=True, cancel_futures=True)


def _joined(parts: Sequence[JsonObject]) -> Scored:
    return Scored.of(np.concatenate([np.load(part.text("scores")) for part in parts]), parts[0])


@contextmanager
def scorer(images: Path) -> Iterator[Scorer]:
    """Workers on all cores for as long as the block lasts."""
    workers = Scorer(images, cores())
    try:
        yield workers
    finally:
        workers.close()


class _Worker(ChildProcess):
    """One process that scores."""

    def __init__(self) -> None:
        super().__init__([sys.executable, "-P", "-m", "edgewright.export.work.score"])

    def do(self, task: dict[str, Any]) -> JsonObject:
        message = self.ask(task)
        if message is None:
            raise ExportError(
                "a scoring process was ended from outside; is there enough memory? Export again"
            )
        answer = JsonObject(message[0], "a worker's answer", ExportError)
        if answer.has("error"):
            raise ModelFileError(answer.text("error"))
        return answer


def main() -> None:
    """The worker: score what comes until nothing more does."""
    questions, answers = standard_pipes()
    while (message := receive(questions)) is not None:
        task, _ = message
        try:
            answer = _score(Path(task["model"]), Path(task["images"]), task["places"], task["how"])
        except EdgewrightError as failure:
            answer = {"error": str(failure)}
        send(answers, answer)


def _score(model: Path, images: Path, places: list[int], how: str) -> dict[str, Any]:
    backend = backends.for_path(model)
    file = backend.read(model)
    file.contract()  # the stamped hash is checked here, as on a device
    session = backend.open_plain(file) if how == PLAIN else None
    session = session or backend.open(file, threads=2 if how == TWO_THREADS else 1)
    pixels, size = np.load(images, mmap_mode="r"), session.input.shape[0]
    size = size if size > 0 else _FREE_BATCH
    batches = (places[start : start + size] for start in range(0, len(places), size))
    scores = np.concatenate([session.run(pixels[batch]) for batch in batches])
    out = images.with_name(f"{model.name}-{places[0]}-{how.replace(' ', '-')}.scores.npy")
    np.save(out, scores)
    scored = Scored(scores=scores, kernels=session.kernels, input=session.input, output=session.output)
    return {"scores": str(out), **scored.said()}


if __name__ == "__main__":
    main()
