"""What passes make of a checkpoint's model: from the cache, or by fine-tuning in a child a pass.

Each pass of a chain starts from what the passes before it have left, so variants share what they have
in common, and a killed export does not begin anew.
"""

from __future__ import annotations

import hashlib
import inspect
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgewright.export import passes
from edgewright.export.network.model import Model
from edgewright.export.variants import Variant
from edgewright.export.work.cache import Cache
from edgewright.export.work.events import Progressed, Trained
from edgewright.export.work.protocol import Process
from edgewright.runtime.console import Progress, silent
from edgewright.runtime.disk import jsonio
from edgewright.runtime.errors import CheckpointError, ExportError, UnknownNameError
from edgewright.train import recipe as recipes
from edgewright.train.checkpoint import Checkpoint, split
from edgewright.train.datasets import Dataset
from edgewright.train.stack import versions

FILES = ("x", "y", "x_validation", "y_validation")
KERAS_MODEL, SAVED_MODEL = "model.keras", "fake-quantized"
STEP = 0.01  # of a pass between two reports of it
_RECORD = "record.json"


@dataclass(frozen=True, kw_only=True)
class Training:
    """What passes train with: a checkpoint and its data. Raises `CheckpointError`: its recipe is none here,
    and so are its loss and augmentation."""

    checkpoint: Checkpoint
    dataset: Dataset

    def __post_init__(self) -> None:
        recipe = self.checkpoint.recipe
        try:
            recipes.named(recipe)
        except UnknownNameError as failure:
            raise CheckpointError(
                f"expected the checkpoint's recipe, whose loss and augmentation passes train with, got "
                f"'{recipe}', which is none here; leave the passes out"
            ) from failure


@dataclass(frozen=True, kw_only=True)
class FineTuned:
    """What a chain of passes has left; `record` says of each pass how long it trained and how well it did."""

    model: Model
    record: tuple[Mapping[str, Any], ...]


def fine_tune(
    model: Model,
    training: Training | None,
    variants: Sequence[Variant],
    epochs: int,
    seed: int,
    scratch: Path,
    progress: Progress = silent,
) -> dict[str, FineTuned]:
    """The models of all chains of `variants`, by `Variant.chain`.

    Args:
        model: the checkpoint's.
        training: None where no variant has passes.
        epochs: of fine-tuning, for each pass.
        scratch: a folder that outlives the models' use.

    Raises:
        ExportError: a network that a pass is not for or that tf_keras cannot be given (before anything is
            trained), or a loss that is no number.
    """
    chains = dict.fromkeys(
        variant.passes[: i + 1] for variant in variants for i in range(len(variant.passes))
    )
    asked = sorted({name for chain in chains for name in chain})
    done: dict[tuple[str, ...], FineTuned] = {(): FineTuned(model=model, record=())}

    def report(share: float, note: str) -> None:
        progress("fine-tuning", len(done) - 1 + share, len(chains), title + note)

    with tempfile.TemporaryDirectory() as data:
        for chain in chains:
            assert training is not None
            title = passes.SEPARATOR.join(chain)
            report(0, "")
            before = done[chain[:-1]]
            parts = _parts(model, training, chain, epochs, seed)
            out = scratch / f"fine-tuned-{len(done)}"
            entry = Cache().find(parts)
            if entry is None:
                task = {
                    "model": str(before.model.path),
                    "data": _written(training, Path(data)),
                    "recipe": training.checkpoint.recipe,
                    "head": training.checkpoint.head,
                    "input_range": training.checkpoint.input_range,
                    "chain": chain,
                    "asked": asked,
                    "epochs": epochs,
                    "seed": seed,
                }
                out.mkdir()
                _run_pass({**task, "out": str(out)}, out, report)
                with Cache().add(parts) as folder:
                    shutil.copytree(out, folder, dirs_exist_ok=True)
            else:
                shutil.copytree(entry, out)
            report(1, "" if entry is None else ": done before")
            done[chain] = _opened(out, chain, before, model)
    return {passes.SEPARATOR.join(chain): result for chain, result in done.items() if chain}


def _run_pass(task: Mapping[str, Any], folder: Path, report: Callable[[float, str], None]) -> None:
    """Run one pass in a child that fills `folder`; `report` is told its share that is done, and a note."""
    with Process("edgewright.export.finetuning.child") as child:
        child.tell(dict(task))
        record = None
        for event in child.events():
            if isinstance(event, Progressed):
                report(event.share, f": {event.note}")
            elif isinstance(event, Trained):
                record = event.record
        child.end()
    if record is None:
        title = passes.SEPARATOR.join(task["chain"])
        raise ExportError(f"the process that fine-tunes for {title} ended without a word")
    (folder / _RECORD).write_bytes(jsonio.dump(dict(record)))


def _opened(folder: Path, chain: tuple[str, ...], before: FineTuned, model: Model) -> FineTuned:
    record = jsonio.read(folder / _RECORD, ExportError).data
    fake = passes.get(chain[-1]).fake_quantizes
    path = folder / (SAVED_MODEL if fake else KERAS_MODEL)
    return FineTuned(
        model=Model.at(path, model.normalization, fake_quantized=fake),
        record=(*before.record, {"pass": chain[-1], **record}),
    )


def _parts(model: Model, training: Training, chain: Sequence[str], epochs: int, seed: int) -> dict[str, Any]:
    """All that the result of a chain depends on."""
    checkpoint, recipe = training.checkpoint, recipes.named(training.checkpoint.recipe)
    return {
        "kind": "passes",
        "chain": list(chain),
        "model": model.sha256,
        "data": [checkpoint.data.sha256, checkpoint.validation, checkpoint.seed],
        "recipe": [recipe.loss, recipe.batch_size, _source(recipe.augment)],
        "epochs": epochs,
        "seed": seed,
        "versions": versions("tensorflow", "keras", "tf-keras", "tensorflow-model-optimization", "numpy"),
    }


def _source(function: Any) -> str:
    """SHA-256 of the file that a recipe's function is in: it may be a user's, who goes on writing it."""
    module = sys.modules.get(getattr(function, "__module__", ""))
    text = inspect.getsource(module) if module else ""
    return hashlib.sha256(text.encode()).hexdigest()


def _written(training: Training, folder: Path) -> str:
    """The folder with training and held-out images, written when the first child needs them."""
    if not (folder / f"{FILES[-1]}.npy").exists():
        checkpoint, dataset = training.checkpoint, training.dataset
        learnt, held_out = split(dataset.y_train, checkpoint.validation, checkpoint.seed, dataset.groups)
        for (images, labels), chosen in zip((FILES[:2], FILES[2:]), (learnt, held_out), strict=True):
            np.save(folder / f"{images}.npy", dataset.x_train[chosen])
            np.save(folder / f"{labels}.npy", dataset.y_train[chosen])
    return str(folder)
