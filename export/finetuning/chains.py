"""What passes make of a model: from the cache, or by fine-tuning in a child a pass.

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
from numpy.typing import NDArray

from edgewright.export import passes
from edgewright.export.network.model import Model
from edgewright.export.variants import Variant
from edgewright.export.work.cache import Cache
from edgewright.export.work.events import Progressed, Trained
from edgewright.export.work.protocol import Process
from edgewright.runtime.console import Progress, silent
from edgewright.runtime.disk import digest, jsonio
from edgewright.runtime.errors import CheckpointError, ExportError, UnknownNameError
from edgewright.train import recipe as recipes
from edgewright.train.checkpoint import split
from edgewright.train.datasets import Images, Labels
from edgewright.train.normalization import Normalization
from edgewright.train.recipe import Recipe
from edgewright.train.stack import versions

FILES = ("x", "y", "x_validation", "y_validation")
KERAS_MODEL, SAVED_MODEL = "model.keras", "fake-quantized"
STEP = 0.01  # of a pass between two reports of it
_RECORD = "record.json"


@dataclass(frozen=True, kw_only=True)
class Training:
    """What passes train with.

    `x` are raw training images, uint8 `(n, height, width, channels)`, `y` their classes `(n,)`, in the order
    of the model's scores, `groups` as in `Dataset`; `sha256` is that of the data they are from. `validation`
    of them, drawn by `seed`, are held out. `head` is `softmax` or `logits`; `normalization` what the network
    wants pixels brought to. `recipe` names the one whose loss and augmentation they train with; empty for a
    model of one's own, which is trained as most small networks are, without augmentation.

    Raises:
        CheckpointError: the recipe is none here.
    """

    x: Images
    y: Labels
    groups: NDArray[np.intp] | None
    sha256: str
    validation: float
    seed: int
    head: str
    normalization: Normalization
    recipe: str = ""

    def __post_init__(self) -> None:
        try:
            recipe_of(self.recipe)
        except UnknownNameError as failure:
            raise CheckpointError(
                f"expected the checkpoint's recipe, whose loss and augmentation passes train with, got "
                f"'{self.recipe}', which is none here; leave the passes out"
            ) from failure


def recipe_of(name: str) -> Recipe:
    """The recipe of `Training`. Raises `UnknownNameError`, `InputError`."""
    return recipes.named(name) if name else recipes.of_build(lambda keras, shape, classes: None)


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
        model: what the first pass starts from.
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
                    "model": before.model.to_json(),
                    "data": _written(training, Path(data)),
                    "recipe": training.recipe,
                    "head": training.head,
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
        model=Model.at(
            path,
            model.normalization,
            size=model.size,
            unsafe=model.unsafe,
            fake_quantized=fake,
            code=None if fake else model.code,
        ),
        record=(*before.record, {"pass": chain[-1], **record}),
    )


def _parts(model: Model, training: Training, chain: Sequence[str], epochs: int, seed: int) -> dict[str, Any]:
    """All that the result of a chain depends on."""
    recipe = recipe_of(training.recipe)
    return {
        "kind": "passes",
        "chain": list(chain),
        "model": {**model.to_json(), "path": ""},
        "data": [training.sha256, digest.sha256(training.y.tobytes()), training.validation, training.seed],
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
        learnt, held_out = split(training.y, training.validation, training.seed, training.groups)
        for (images, labels), chosen in zip((FILES[:2], FILES[2:]), (learnt, held_out), strict=True):
            np.save(folder / f"{images}.npy", training.x[chosen])
            np.save(folder / f"{labels}.npy", training.y[chosen])
    return str(folder)
