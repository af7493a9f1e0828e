"""What a repair is done by, from the exporting process to the converting one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewright.export.network.float_network import FloatNetwork
from edgewright.export.proof.figures import Truth
from edgewright.export.proof.limits import Limits
from edgewright.export.repair.evidence import Evidence
from edgewright.runtime.contract import ModelContract
from edgewright.runtime.contract.heads import Head
from edgewright.train.datasets import Images, digest


@dataclass(frozen=True, kw_only=True)
class Repair:
    """Training images that show what a file loses, uint8 `(n, height, width, channels)`, with their `truth`
    where it is known; `measure` and `limits` as the gate takes them. `split` says where they are from.
    `calibrating` are the places of the calibration images that repaired files are made with: all of them, but
    where too few were given to have others."""

    images: Images
    truth: Truth | None
    measure: str
    limits: Limits
    split: str
    calibrating: NDArray[np.intp]

    def save(self, path: Path) -> None:
        """Put the images, with what belongs to each, into an .npz file."""
        truth = np.empty(0) if self.truth is None else self.truth
        np.savez(path, images=self.images, calibrating=self.calibrating, truth=truth)

    def settings(self) -> dict[str, Any]:
        return {"measure": self.measure, "limits": asdict(self.limits), "split": self.split}

    def to_json(self) -> dict[str, Any]:
        """For the manifest."""
        return {"split": self.split, "images": len(self.images), "labelled": self.truth is not None}

    def key(self) -> dict[str, Any]:
        """All that a repair depends on, for a cache."""
        truth = [] if self.truth is None else [self.truth]
        return {**self.settings(), "images": digest(self.images, self.calibrating, *truth)}

    @staticmethod
    def read(path: Path, settings: Mapping[str, Any]) -> Repair:
        """What `save` has written, with the `settings`."""
        with np.load(path, allow_pickle=False) as stored:
            images, truth, calibrating = (stored[name] for name in ("images", "truth", "calibrating"))
        known = truth if len(truth) else None
        limits = Limits(**settings["limits"])
        return Repair(images=images, truth=known, calibrating=calibrating, **{**settings, "limits": limits})

    def evidence(self, network: FloatNetwork, contract: ModelContract) -> Evidence:
        """With the float model's own scores."""
        reference = network.scores(self.images)
        return Evidence(
            images=self.images,
            reference=reference,
            truth=self.truth,
            head=Head(kind=contract.head, count=reference.shape[1], threshold=contract.threshold),
            measure=self.measure,
            limits=self.limits,
        )
