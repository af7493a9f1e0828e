"""What is exported, whoever has made it: a model with all that an export needs to know of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from edgewright.export.finetuning.chains import Training
from edgewright.export.network.model import Facts, Model
from edgewright.export.proof.figures import Truth
from edgewright.export.repair.task import Repair
from edgewright.runtime.backends import Scores
from edgewright.runtime.bundle.parity import Judging
from edgewright.runtime.contract import InputContract, ModelContract
from edgewright.runtime.contract.heads import Head
from edgewright.runtime.errors import CheckpointError, ExportError
from edgewright.train.datasets import Images

Load: TypeAlias = Callable[[Model, Sequence[str]], Facts]  # as `edgewright.export.work.protocol.Child.load`


@dataclass(frozen=True, kw_only=True)
class Source:
    """A model with all that an export needs to know of it.

    `calibration` and `test` are raw pixels, uint8 `(n, height, width, channels)`, none of them for
    calibration where no variant needs any; `truth` are class numbers `(n,)` of the test images, or of several
    labels bool `(n, labels)`, None where they are not known; `repair` is there if a variant may
    want it, `training` if a variant has passes; `trained_on` are the training images, None where they are not
    known, `pool` pictures without labels, None where there are none; `notes` are lines for the user,
    `left_out` says what is wrong with pictures that were left out.
    """

    name: str
    model: Model
    input: InputContract
    labels: tuple[str, ...]
    head: Head
    judging: Judging
    calibration: Images
    calibration_split: str
    test: Images
    truth: Truth | None
    provenance: Mapping[str, Any]
    repair: Repair | None = None
    training: Training | None = None
    trained_on: Images | None = None
    pool: Images | None = None
    foreign: bool = False
    notes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    def contract(self, variant: str) -> ModelContract:
        """What the file of a variant says of itself."""
        return ModelContract(
            name=self.name,
            variant=variant,
            input=self.input,
            labels=self.labels,
            head=self.head.kind,
            threshold=self.head.threshold,
        )

    def check(self, scores: Scores) -> None:
        """See that the Keras model's own scores of the test images `(n, classes)` can be compared with.

        Raises:
            CheckpointError, ExportError: they are not finite, all the same, or not what `head` says.
        """
        if not np.isfinite(scores).all():
            if not self.foreign:
                raise CheckpointError(
                    "expected finite scores of the Keras model, got NaN or infinity; train it again"
                )
            raise ExportError(
                "expected finite scores of the model, got NaN or infinity; look at its weights and at "
                "--input-range or --mean and --std"
            )
        if len(scores) > 1 and np.ptp(scores, axis=0).max() == 0:
            raise ExportError(
                f"expected scores that depend on the image, got the same for all {len(scores):,} test "
                "images; look at the model's weights"
            )
        if not self.foreign:
            return
        kind, sums = self.head.kind, scores.sum(axis=1)
        shares = bool((scores >= 0).all() and (scores <= 1).all())
        whole = shares and bool(np.abs(sums - 1).max() < 0.01)
        if kind in ("softmax", "logits") and whole != (kind == "softmax"):
            other = "softmax" if whole else "sigmoid" if shares else "logits"
            got = "that add up to 1" if whole else f"with sums from {sums.min():.3g} to {sums.max():.3g}"
            raise ExportError(f"expected {kind}, got scores {got}; add --head {other}")
        if kind == "sigmoid" and not shares:
            ends = f"from {scores.min():.3g} to {scores.max():.3g}"
            raise ExportError(f"expected scores of a sigmoid, got some {ends}; add --head sigmoid-logits")
