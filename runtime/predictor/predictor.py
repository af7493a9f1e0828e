"""An open model with its contract: from pictures to labels."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgewright.runtime.backends import Pixels, Scores, Session
from edgewright.runtime.contract import ModelContract
from edgewright.runtime.contract.heads import Head
from edgewright.runtime.errors import ImageError, InputError
from edgewright.runtime.preprocess import MAX_PIXELS, ImageSource, to_pixels

if TYPE_CHECKING:
    from edgewright.runtime.machine.tuned import Choice


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """One class or label: its name, its index among the labels, its probability (0-1)."""

    label: str
    index: int
    probability: float


@dataclass(frozen=True, kw_only=True)
class FailedImage:
    """What `predict_many` gives in place of predictions: the picture as it came, and what is wrong."""

    source: ImageSource
    error: ImageError


class Predictor:
    """An open model with its contract. Several threads may share one.

    A lock lets one thread at a time into the interpreter, of which there is one: it costs 0.1 µs, where
    a session a thread would cost each thread the opening (1.5 to 35 ms) and the memory of the model.
    Pictures are decoded outside of the lock. `predict_many` is for running on all cores.

    `contract` says what goes in and what the scores are called, `head` what they mean; `session` is the open
    interpreter; `assumptions` say what was assumed of a file that carries no contract; `choice` is what
    `load(engine="fastest")` took.
    """

    choice: Choice | None = None

    def __init__(
        self,
        contract: ModelContract,
        session: Session,
        reopen: Callable[[], Session] | None = None,
        assumptions: Sequence[str] = (),
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        """`reopen` opens the model once more, for a further worker; without it workers share `session`;
        `max_pixels` is as with `load`."""
        self._max_pixels = max_pixels
        self.contract, self.session, self.assumptions = contract, session, tuple(assumptions)
        self.head = Head(kind=contract.head, count=session.output.shape[-1], threshold=contract.threshold)
        self._reopen, self._workers = reopen, [_Worker(session, reopen)]
        _open.add(self)

    def predict(self, image: ImageSource, k: int = 5) -> list[Prediction]:
        """The `k` most probable classes, most probable first; of one sigmoid's two, the one it decides for at
        its threshold first; of a model that gives several labels to an image, those above the threshold.

        Args:
            image: a path, the bytes of an image file, a Pillow image, or a uint8 array `(H, W)` or
                `(H, W, 1 | 3 | 4)` of any size.
            k: how many classes; all of them if there are fewer.

        Raises:
            ImageError: a picture that cannot be decoded.
            InputError: the model gives an embedding and no classes; ask for its `scores`.
        """
        return self.top(self.scores(to_pixels(image, self.contract.input, self._max_pixels))[0], k)

    def predict_many(
        self,
        images: Iterable[ImageSource],
        k: int = 5,
        *,
        workers: int | None = None,
        batch: int | None = None,
    ) -> Iterator[list[Prediction] | FailedImage]:
        """What `predict` gives for each of `images`, in their order, as soon as it is there.

        A picture that cannot be decoded gives a `FailedImage` and does not end the stream. At most
        `2 * workers * batch` of the images have been taken and not given back at any time.

        Args:
            workers: threads that decode and run, each with an interpreter of its own; by default as many
                as this process has cores. With 1 the caller's thread does it.
            batch: how many images a worker takes at a time; a file that was exported with `--batch` runs
                them at once. By default what the file takes, or 1.

        Raises:
            InputError: `k`, `workers` or `batch` below 1.
        """
        if k < 1:
            raise InputError(f"expected k of at least 1, got {k}")
        stream = self.scores_many(images, workers=workers, batch=batch)
        return (found if isinstance(found, FailedImage) else self.top(found, k) for found in stream)

    def scores_many(
        self, images: Iterable[ImageSource], *, workers: int | None = None, batch: int | None = None
    ) -> Iterator[Scores | FailedImage]:
        """The scores of each of `images`, float32 `(scores,)`, in their order, as soon as they are there.

        Pictures that cannot be decoded, arguments and errors are as with `predict_many`.
        """
        from edgewright.runtime.machine import stream, threads

        takes = self.session.input.shape[0]
        workers = threads.cores() if workers is None else workers
        batch = max(takes, 1) if batch is None else batch
        for name, value in (("workers", workers), ("batch", batch)):
            if value < 1:
                raise InputError(f"expected {name} of at least 1, got {value}")

        def score(sources: Sequence[ImageSource], worker: _Worker) -> Sequence[Scores | FailedImage]:
            pixels: list[Pixels] = []
            failed: dict[int, FailedImage] = {}
            for place, source in enumerate(sources):
                try:
                    pixels.append(to_pixels(source, self.contract.input, self._max_pixels))
                except ImageError as failure:
                    failed[place] = FailedImage(source=source, error=failure)
            try:
                if takes == 1:
                    scores = iter([worker.run(one)[0] for one in pixels])
                else:
                    scores = iter(worker.run(np.concatenate(pixels)) if pixels else ())
            except MemoryError:
                error = ImageError("expected memory for a run of the model, got none")
                return [failed.get(i) or FailedImage(source=s, error=error) for i, s in enumerate(sources)]
            return [failed.get(place) or next(scores) for place in range(len(sources))]

        return stream.in_order(images, score, self._hired(workers), batch)

    def scores(self, pixels: Pixels) -> Scores:
        """Scores of uint8 pixels `(n, height, width, channels)` as the contract says: float32 `(n, classes)`.

        n is 1 unless the file was exported with another batch.

        Raises:
            InputError: pixels of another dtype or shape, or the predictor is closed.
        """
        return self._workers[0].run(pixels)

    def top(self, scores: Scores, k: int) -> list[Prediction]:
        """What `predict` gives for one image's scores `(classes,)`; of equal scores the lower index first."""
        if k < 1:
            raise InputError(f"expected k of at least 1, got {k}")
        head = self.head
        if head.is_embedding:
            raise InputError(
                f"expected a model that names classes, got {self.contract.name}, which gives an "
                "embedding; take its scores"
            )
        if head.kind == "softmax":
            best = (-scores).argsort(kind="stable")[:k]
        else:
            raw, scores = scores[np.newaxis], head.probabilities(scores[np.newaxis])[0]
            best = (-scores).argsort(kind="stable")
            if head.is_multi_label:  # the most probable ones are those above the threshold
                k = min(k, int(head.decisions(raw).sum()))
            elif head.is_binary and best[0] != head.decisions(raw)[0]:
                best = best[::-1]  # the threshold is not in the middle
            best = best[:k]
        labels = self.contract.labels
        return [
            Prediction(label=labels[index], index=index, probability=probability)
            for index, probability in zip(best.tolist(), scores[best].tolist(), strict=True)
        ]

    def _hired(self, count: int) -> list[_Worker]:
        """So many workers; those of an earlier call are taken again."""
        if self._reopen is None:
            return self._workers[:1] * count
        while len(self._workers) < count:
            self._workers.append(_Worker(self._reopen(), self._reopen))
        return self._workers[:count]

    def close(self) -> None:
        """Let go of the interpreters; the predictor cannot be used after."""
        for worker in self._workers:
            worker.close()

    def __enter__(self) -> Predictor:
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()


class _LostError(Exception):
    """A session that a fork has left without its threads."""


class _Lost:
    """In place of such a session."""

    def run(self, pixels: Pixels) -> Scores:
        raise _LostError

    def close(self) -> None: ...


_open: weakref.WeakSet[Predictor] = weakref.WeakSet()
_lost: list[object] = []  # never closed, nor collected: that would wait for threads that are gone


def _forked() -> None:
    for predictor in list(_open):
        for worker in predictor._workers:
            worker.lose()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


class _Worker:
    """A session that one thread at a time gets into."""

    __slots__ = ("_lock", "_reopen", "_session")

    def __init__(self, session: Session, reopen: Callable[[], Session] | None) -> None:
        self._session: Session | _Lost | None = session
        self._reopen, self._lock = reopen, threading.Lock()

    def run(self, pixels: Pixels) -> Scores:
        with self._lock:
            if self._session is None:
                raise InputError("the predictor is closed; load the model again")
            try:
                return self._session.run(pixels)
            except _LostError:
                if self._reopen is None:
                    raise InputError(
                        "expected the process that opened the model, got a fork of it; load it here"
                    ) from None
                self._session = self._reopen()
            return self._session.run(pixels)

    def lose(self) -> None:
        """In the child of a fork: another thread may have held the lock, or been in the interpreter, whose
        own threads are gone. Neither can be used, nor closed."""
        self._lock = threading.Lock()
        if self._session is not None:
            _lost.append(self._session)
            self._session = _Lost()

    def close(self) -> None:
        with self._lock:
            if self._session is not None:
                self._session.close()
            self._session = None
