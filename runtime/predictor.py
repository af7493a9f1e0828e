"""From a bundle or a lone model file to labels."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np

from edgewright.runtime import backends
from edgewright.runtime.backends import Pixels, Scores, Session
from edgewright.runtime.contract import ModelContract
from edgewright.runtime.errors import BundleError, InputError, MissingExtraError, ModelFileError
from edgewright.runtime.files import mend
from edgewright.runtime.manifest import Bundle
from edgewright.runtime.preprocess import ImageSource, to_pixels


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """One class: its label, its index among the model's scores, its probability (0-1)."""

    label: str
    index: int
    probability: float


class Predictor:
    """An open model with its contract. Not thread-safe: open one a thread.

    `contract` says what goes in and what the scores are called; `session` is the open interpreter.
    """

    def __init__(self, contract: ModelContract, session: Session) -> None:
        self.contract, self.session = contract, session

    def predict(self, image: ImageSource, k: int = 5) -> list[Prediction]:
        """The `k` most probable classes, most probable first.

        Args:
            image: a path, the bytes of an image file, a Pillow image, or a uint8 array `(H, W)` or
                `(H, W, 1 | 3 | 4)` of any size.
            k: how many classes; all of them if there are fewer.

        Raises:
            ImageError: a picture that cannot be decoded.
        """
        return self.top(self.scores(to_pixels(image, self.contract.input))[0], k)

    def scores(self, pixels: Pixels) -> Scores:
        """Scores of uint8 pixels `(n, height, width, channels)` as the contract says: float32 `(n, classes)`.

        n is 1 unless the file was exported with another batch.

        Raises:
            InputError: pixels of another dtype or shape.
        """
        return self.session.run(pixels)

    def top(self, scores: Scores, k: int) -> list[Prediction]:
        """The `k` best of one image's scores `(classes,)`; of equal scores the lower index first."""
        if k < 1:
            raise InputError(f"expected k of at least 1, got {k}")
        if self.contract.head == "logits":
            powers = np.exp(scores - scores.max())
            scores = powers / powers.sum()
        best = np.argsort(-scores, kind="stable")[:k]
        return [
            Prediction(label=self.contract.labels[i], index=int(i), probability=float(scores[i]))
            for i in best
        ]

    def close(self) -> None:
        """Let go of the interpreter; the predictor cannot be used after."""
        vars(self).pop("session", None)

    def __enter__(self) -> Predictor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def load(path: str | os.PathLike[str], *, threads: int = 1, variant: str | None = None) -> Predictor:
    """Open a bundle, or one .tflite or .onnx file that carries its contract.

    Args:
        path: a bundle folder or a model file.
        threads: threads of the interpreter.
        variant: which of a bundle's variants; by default the smallest file that an installed
            interpreter can run.

    Raises:
        BundleError, ModelFileError: damaged or foreign files.
        UnknownNameError: no such variant.
        MissingExtraError: no interpreter for the file.
    """
    path = Path(path)
    if not 1 <= threads <= 1024:
        raise InputError(f"expected 1 to 1024 threads, got {threads}")
    mend(path)
    if path.is_dir():
        return _load_from_bundle(Bundle.open(path), threads, variant)
    if variant is not None:
        raise InputError(f"expected a bundle folder to choose variant '{variant}' from, got {path}")
    if not path.exists():
        raise InputError(f"expected a bundle folder or a model file, got {path}, which does not exist")
    backend = backends.for_path(path)
    file = backend.read(path)
    contract = file.contract()
    if contract is None:
        raise ModelFileError(
            f"{path} carries no contract (input and labels); export it with edgewright export"
        )
    return Predictor(contract, backend.open(file, threads))


def _load_from_bundle(bundle: Bundle, threads: int, name: str | None) -> Predictor:
    entry = bundle.variant(name or _smallest_runnable(bundle))
    path = bundle.path(entry.file)
    predictor = load(path, threads=threads)
    if predictor.contract != bundle.manifest.contract(entry.name):
        raise BundleError(
            f"{path} does not hold what the manifest says of '{entry.name}'; export the bundle again"
        )
    return predictor


def _smallest_runnable(bundle: Bundle) -> str:
    missing: MissingExtraError | None = None
    for entry in sorted(bundle.manifest.variants, key=lambda v: v.file.bytes):
        backend = backends.for_path(Path(entry.file.file))
        if backend.available():
            return entry.name
        missing = MissingExtraError(f"an interpreter for {entry.file.file}", backend.extra)
    assert missing is not None  # a manifest without variants does not parse
    raise missing
