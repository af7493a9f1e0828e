"""The checkpoint folder: what training hands to export. Reading one needs no TensorFlow.

`model.keras` (and `model.h5`) hold the best weights without optimizer state; `checkpoint.json` says
what goes in, what comes out, which data it saw and how well it did.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewright.runtime.contract import SCHEMA_VERSION, THRESHOLD, InputContract, check_schema, read_head
from edgewright.runtime.disk import files, jsonio, outside
from edgewright.runtime.errors import CheckpointError
from edgewright.train.datasets import Dataset, Images, Labels
from edgewright.train.datasets.splitting import hold_out
from edgewright.train.evaluation import report as evaluation
from edgewright.train.normalization import Normalization

CHECKPOINT = "checkpoint.json"
MODEL = "model.keras"
MODEL_H5 = "model.h5"
HISTORY = "history.csv"
OURS = (CHECKPOINT, MODEL, MODEL_H5, HISTORY, *evaluation.FILES)


@dataclass(frozen=True, kw_only=True)
class DataRecord:
    """Which data a model was trained on; `source` and `skip_bad` are what `datasets.load` takes."""

    name: str
    source: str
    sha256: str
    licence: str
    citation: str
    skip_bad: bool = False

    @staticmethod
    def of(dataset: Dataset) -> DataRecord:
        return DataRecord(**{f.name: getattr(dataset, f.name) for f in dataclasses.fields(DataRecord)})


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A trained model and what is known of it.

    `input_range` is what the network wants pixels 0-255 brought to; `head` what its scores are
    (`edgewright.runtime.contract.heads`), of sigmoids above `threshold` a yes; `validation` and `seed` give
    the split again (see `split`); `weights` says whose weights it started from, with licence and citation,
    and is empty if it started from random ones; `metrics` and `training` are figures for people.
    """

    recipe: str
    labels: tuple[str, ...]
    input: InputContract
    input_range: tuple[float, float]
    head: str
    threshold: float = THRESHOLD
    data: DataRecord
    validation: float
    seed: int
    model_sha256: str
    weights: Mapping[str, str] = dataclasses.field(default_factory=dict)
    metrics: Mapping[str, float]
    training: Mapping[str, Any]
    versions: Mapping[str, str]

    def to_bytes(self) -> bytes:
        data = dataclasses.asdict(self)
        return jsonio.dump({"schema_version": SCHEMA_VERSION, **data})

    @staticmethod
    def open(folder: Path) -> Checkpoint:
        """Read `checkpoint.json` and check the model file's SHA-256.

        Raises:
            CheckpointError: no checkpoint, a broken one, one of a newer schema, or a changed model.
        """
        return outside.settled(folder, partial(Checkpoint._read, folder))

    @staticmethod
    def _read(folder: Path) -> Checkpoint:
        path = folder / CHECKPOINT
        if not path.is_file():
            what = f"{folder} without {CHECKPOINT}" if folder.is_dir() else f"{folder}, which is no folder"
            raise CheckpointError(f"expected a checkpoint, got {what}; make one with edgewright train")
        obj = jsonio.read(path, CheckpointError)
        check_schema(obj, CheckpointError)
        if not 0 < obj.number("validation") < 1:
            raise obj.fail("validation", "a share between 0 and 1")
        if len(obj.texts("labels")) < 2:
            raise obj.fail("labels", "a list of at least two labels")
        head, threshold, _ = read_head(obj)
        data = obj.object("data")
        others = {
            "input": InputContract.from_json(obj.object("input")),
            "input_range": _rising(obj, "input_range"),
            "head": head,
            "threshold": threshold,
            "data": data.make(DataRecord, {"skip_bad": data.has("skip_bad") and data.flag("skip_bad")}),
            "seed": obj.integer("seed", 0, 2**32 - 1),
            "weights": _texts(obj, "weights") if obj.has("weights") else {},
            "metrics": obj.object("metrics").data,
            "versions": obj.object("versions").data,
        }
        checkpoint = obj.make(Checkpoint, others)
        model = folder / MODEL
        if not model.is_file():
            raise CheckpointError(f"expected {MODEL} in {folder}, got none; train it again")
        if files.sha256_of(model) != checkpoint.model_sha256:
            raise CheckpointError(f"{model} is not the model that {CHECKPOINT} describes; train it again")
        return checkpoint


def _texts(obj: jsonio.JsonObject, key: str) -> dict[str, str]:
    found = obj.object(key)
    return {name: found.text(name) for name in found.data}


def _rising(obj: jsonio.JsonObject, key: str) -> tuple[float, float]:
    try:
        low, high = (float(end) for end in obj.array(key))
    except (TypeError, ValueError, OverflowError):
        low = high = math.nan
    if not -math.inf < low < high < math.inf:
        raise obj.fail(key, "two rising numbers")
    return low, high


def split(
    labels: Labels, validation: float, seed: int, groups: NDArray[np.intp] | None = None
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Indices of the training images proper and of those held out for validation, stratified by class.

    `groups` are those of `Dataset`: images that show the same are on one side.
    """
    return hold_out(labels, validation, seed, groups)


def scale(images: Images, input_range: tuple[float, float]) -> NDArray[np.float32]:
    """Pixels 0-255 brought to `input_range`, float32, as the network wants them."""
    return Normalization.of_range(*input_range).apply(images)
