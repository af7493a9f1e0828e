"""From a bundle or a lone model file to labels."""

from __future__ import annotations

import os
import threading
import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from edgewright.runtime import backends, trust
from edgewright.runtime.backends import Backend, ModelFile, Pixels, Scores, Session
from edgewright.runtime.contract import UNPROVEN, ModelContract
from edgewright.runtime.contract.heads import NUMBERS, Head
from edgewright.runtime.disk import outside
from edgewright.runtime.errors import (
    BundleError,
    ImageError,
    InputError,
    MissingExtraError,
    UnprovenWarning,
)
from edgewright.runtime.preprocess import MAX_PIXELS, ImageSource, to_pixels

if TYPE_CHECKING:
    from edgewright.runtime.bundle.manifest import Bundle, VariantEntry
    from edgewright.runtime.signing import Policy

Threads: TypeAlias = int | Literal["auto"]


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
    interpreter;
    `assumptions` say what was assumed of a file that carries no contract.
    """

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


def load(
    path: str | os.PathLike[str],
    *,
    threads: Threads = 1,
    variant: str | None = None,
    backend: str | None = None,
    labels: Sequence[str] | None = None,
    input_range: tuple[float, float] | None = None,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    head: str | None = None,
    threshold: float | None = None,
    size: tuple[int, int] | None = None,
    isolate: bool = False,
    max_pixels: int = MAX_PIXELS,
    require_signature: Policy | None = None,
) -> Predictor:
    """Open a bundle, or one .tflite or .onnx file.

    Args:
        path: a bundle folder or a model file.
        threads: threads of the interpreter; "auto" measures once which count is fastest here (0.1 s) and
            remembers it in the user's cache folder.
        variant: which of a bundle's variants; by default the recommended one that an installed
            interpreter can run (see `recommended`). One that is not proven is taken by its name alone.
        backend: the only backend to use, `litert` or `ort`; by default the one that takes the file.
        labels, input_range: for a file that carries no contract, as far as its own metadata do not say it: a
            label a class, in their order, and what the network wants pixels brought to, such as (0, 1) or
            (-1, 1). What else had to be assumed is in `Predictor.assumptions`.
        mean, std: in place of `input_range`: the network wants `(pixel / 255 - mean) / std`, one number or
            one a channel, as torchvision states them.
        head, threshold: of such a file: what its scores are, `softmax`, `logits`, `sigmoid`,
            `sigmoid-logits` or `embedding`, by default what the operator says that gives them; and the
            probability above which a sigmoid is a yes.
        size: of such a file: height and width, if it takes pictures of any.
        isolate: keep the interpreter in a process of its own, where that of a file that nobody vouched for
            on this machine is in any case (see `edgewright.runtime.trust`).
        max_pixels: what one picture may take of memory while it is decoded, in pixels of 4 bytes, all copies
            counted: 179 million (683 MiB) by default. Larger JPEGs pass, as they are scaled while decoded.
        require_signature: of a bundle: who has to have signed it: a public key (a PEM file or its bytes), or
            `SignedBy`. The whole folder is held against what was signed; that takes the extra `verify`.

    Raises:
        SignatureError: the bundle is not signed by that one, or not as it was signed.
        BundleError, ModelFileError: damaged or foreign files, or one that its interpreter does not survive.
        UnknownNameError: no such variant or backend.
        MissingExtraError: no interpreter for the file.
        InputError: arguments that do not go together, or a bundle in which nothing is proven.

    Warns:
        UnprovenWarning: the file was written though it is not proven.
    """
    path = Path(path)
    if threads != "auto" and not (isinstance(threads, int) and 1 <= threads <= 1024):
        raise InputError(f"expected 1 to 1024 threads or 'auto', got {threads}")
    vouched = require_signature is not None
    path, raw, expected = outside.settled(path, partial(_found, path, variant, backend, require_signature))
    reader = backends.for_path(path, backend)
    file = reader.read(path) if raw is None else reader.parse(path, raw)
    contract = file.contract(whole=trust.is_known(file.sha256, reader))
    if expected is not None and contract != expected:
        raise BundleError(
            f"{path} does not hold what the manifest says of '{expected.variant}'; export the bundle again"
        )
    if contract is None:
        from edgewright.runtime import foreign

        given = foreign.Given(
            labels=labels,
            input_range=input_range,
            mean=mean,
            std=std,
            head=head,
            threshold=threshold,
            size=size,
        )
        opener = cache(partial(_opener, reader, file, threads, backend, isolate))
        adopted = foreign.adopt(file, given, reader.graph(file), lambda: opener()())
        return Predictor(adopted.contract, adopted.session, adopted.reopen, adopted.assumptions, max_pixels)
    named = None if labels is NUMBERS else labels
    if (named, input_range, mean, std, head, threshold, size) != (None,) * 7:
        raise InputError(f"{path} carries its own labels, scaling and head; leave them out")
    if not contract.is_proven:
        warnings.warn(f"{path} is {contract.verdict}: {UNPROVEN}", UnprovenWarning, stacklevel=2)
    reopen = _opener(reader, file, threads, backend, isolate, vouched)
    return Predictor(contract, reopen(), reopen, max_pixels=max_pixels)


def _found(
    path: Path, variant: str | None, backend: str | None, policy: Policy | None
) -> tuple[Path, bytes | None, ModelContract | None]:
    """The path of the model file; of a bundle also its bytes, and what the manifest says of it."""
    if path.is_dir() or policy is not None:
        from edgewright.runtime.bundle.manifest import MANIFEST, Bundle

        signed = None
        if policy is not None:
            from edgewright.runtime import signing

            signed = signing.check(path, policy).get(MANIFEST, "")
        bundle = Bundle.open(path, signed)
        entry = bundle.variant(variant) if variant is not None else recommended(bundle, backend)
        return *bundle.read(entry.file), bundle.manifest.contract(entry.name)
    if variant is not None:
        raise InputError(f"expected a bundle folder to choose variant '{variant}' from, got {path}")
    if not path.exists():
        raise InputError(f"expected a bundle folder or a model file, got {path}, which does not exist")
    return path, None, None


def recommended(bundle: Bundle, backend: str | None = None) -> VariantEntry:
    """The variant that `load` takes here: of those that are proven that of the best rank, and of such the
    smallest file.

    Raises:
        MissingExtraError: no interpreter for any variant.
        InputError: none is proven, or `backend` runs none.
    """
    missing: MissingExtraError | None = None
    proven = [entry for entry in bundle.manifest.variants if entry.parity.is_proven]
    if not proven:
        names = ", ".join(entry.name for entry in bundle.manifest.variants)
        raise InputError(
            f"expected a variant that is proven in {bundle.folder}, got none; name one of: {names}"
        )
    for entry in sorted(proven, key=lambda entry: (entry.rank, entry.file.bytes)):
        reader = backends.for_path(Path(entry.file.file))
        if backend is not None and reader is not backends.get(backend):
            continue
        if reader.available():
            return entry
        missing = MissingExtraError(f"an interpreter for {entry.file.file}", reader.extra)
    raise missing or InputError(f"expected a variant that '{backend}' runs in {bundle.folder}, got none")


def _opener(
    reader: Backend,
    file: ModelFile,
    threads: Threads,
    backend: str | None,
    isolate: bool,
    vouched: bool = False,
) -> Callable[[], Session]:
    """What opens the file, in this process or in one of its own; `vouched` if its signature was verified."""

    def open_with(count: int) -> Session:
        return trust.open_session(reader, file, count, backend, isolate=isolate, vouched=vouched)

    if threads == "auto":
        from edgewright.runtime.machine.threads import choose

        threads = choose(file.sha256, reader.module, open_with)
    return partial(open_with, threads)
