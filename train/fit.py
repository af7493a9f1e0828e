"""Trains a recipe and writes the checkpoint folder."""

from __future__ import annotations

import csv
import hashlib
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgewright.runtime import console, files, plugins
from edgewright.runtime.backends import Scores
from edgewright.runtime.contract import InputContract
from edgewright.runtime.errors import (
    DataError,
    EdgewrightError,
    InputError,
    MissingExtraError,
    OutputError,
    TrainingError,
)
from edgewright.train import evaluation, metrics
from edgewright.train.batches import batches
from edgewright.train.checkpoint import (
    CHECKPOINT,
    HISTORY,
    MODEL,
    MODEL_H5,
    OURS,
    Checkpoint,
    DataRecord,
    scale,
    split,
)
from edgewright.train.datasets import Dataset, Images
from edgewright.train.distributed import Alone, WorkerLostError, open_team
from edgewright.train.progress import Progress, State
from edgewright.train.recipe import Recipe
from edgewright.train.stack import import_keras, versions

SAVED_TOLERANCE = 1e-6  # a saved model gives the scores of the one in memory
_BATCH = 500


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a user may set of a training run; `epochs` None is the recipe's own number.

    `strategy` is `mirrored` or `multiworker` (see `edgewright.train.distributed`), None: one device.
    """

    out: Path
    seed: int = 0
    epochs: int | None = None
    strategy: str | None = None
    overwrite: bool = False
    resume: bool = False


def train(name: str, recipe: Recipe, dataset: Dataset, options: Options) -> Checkpoint | None:
    """Train `recipe` on `dataset` and write a checkpoint folder to `options.out`.

    Ctrl-C stops after the epoch at hand is dropped and what there is was written; then, and after a
    kill, `options.resume` goes on from the last whole epoch to the same result.

    Returns:
        What was written; `metrics` holds accuracy and loss on validation and test images. None on a
        worker that is not the chief: it writes nothing.

    Raises:
        OutputError: the folder is taken or cannot be written.
        DataError: too few images of a class to split.
        InputError: nothing to resume, or another run, or one under a strategy.
        TrainingError: the loss is no finite number, or a worker is gone; of the second what there is was
            written.
        BridgeError: the network cannot be trained under a strategy.
        KeyboardInterrupt: before the first epoch was whole.
    """
    keras = import_keras()
    for module in ("matplotlib", "sklearn"):
        if not plugins.installed(module):
            raise MissingExtraError(f"{module}, which reports on training,", "train")
    if options.strategy is not None and options.resume:
        raise InputError("expected --resume or --strategy, got both; a run under a strategy starts anew")
    team = open_team(options.strategy, options.seed)
    if not team.is_chief:
        _Run(keras, name, recipe, dataset, options, team).fit()
        return None
    overwrite = options.overwrite or options.resume
    with files.new_folder(options.out, overwrite=overwrite, ours=OURS) as (folder, _):
        run = _Run(keras, name, recipe, dataset, options, team)
        run.fit()
        checkpoint = run.write(folder)
    if run.finished or options.strategy is not None:
        run.progress.remove()
    if run.lost:
        raise WorkerLostError(f"{run.lost}; what there was is in {options.out}")
    return checkpoint


class _Run:
    """One training under way."""

    def __init__(
        self, keras: Any, name: str, recipe: Recipe, dataset: Dataset, options: Options, team: Alone
    ) -> None:
        self.keras, self.name, self.recipe, self.dataset, self.options = keras, name, recipe, dataset, options
        self.team = team
        self.lost = ""
        self.epochs = options.epochs or recipe.epochs
        self.shape, self.classes = dataset.x_train.shape[1:], len(dataset.labels)
        self.finished = False
        keras.utils.set_random_seed(options.seed)
        try:
            train_part, validation_part = split(dataset.y_train, recipe.validation, options.seed)
        except ValueError as failure:
            raise DataError(f"cannot hold out validation images of {dataset.name}: {failure}") from failure
        self.train_part = train_part
        self.x_validation = dataset.x_train[validation_part]
        self.y_validation = dataset.y_train[validation_part]
        self.steps = -(-len(train_part) // recipe.batch_size)
        self.model = recipe.build(keras, self.shape, self.classes)
        self.head = head_of(self.model)
        self.model.compile(
            recipe.optimizer(keras, self.steps * self.epochs),
            loss_of(keras, recipe, self.head),
            metrics=["accuracy"],
        )
        self.progress = Progress(options.out, self._identity())

    def _identity(self) -> str:
        """Names what was asked for: a run with other data, seed, recipe or length cannot go on from it."""
        recipe, optimizer = self.recipe, self.model.optimizer
        asked = [
            self.name,
            self.dataset.sha256,
            self.options.seed,
            self.epochs,
            [recipe.batch_size, recipe.patience, recipe.loss, recipe.validation, recipe.input_range],
            [(type(layer).__name__, [list(w.shape) for w in layer.weights]) for layer in self.model.layers],
            # Keras numbers the names of optimizers as it makes them.
            [type(optimizer).__name__, optimizer.get_config() | {"name": ""}],
            *([self.options.strategy] if self.options.strategy else []),
        ]
        return hashlib.sha256(json.dumps(asked, default=str).encode()).hexdigest()

    def fit(self) -> None:
        if self.options.resume:
            self.state = self.progress.restore(self.model)
        else:
            if self.team.is_chief and self.progress.state() is not None and not self.options.overwrite:
                raise OutputError(
                    f"a cut-off run to {self.options.out} is there; add --resume to go on with it or "
                    "--overwrite to start anew"
                )
            if self.team.is_chief:
                self.progress.remove()
            self.state = State(identity=self.progress.identity, history=[], best_epoch=0, seconds=0.0)
        done = len(self.state.history)
        given = batches(
            self.keras,
            self.recipe,
            self.dataset.x_train[self.train_part],
            self.dataset.y_train[self.train_part],
            self.classes,
            self.options.seed,
            done,
        )
        if self._patience_is_out():
            done = self.epochs
        try:
            with console.progress("training", total=(self.epochs - done) * self.steps) as bar:
                self.team.fit(
                    self.model,
                    given,
                    self._callback(bar),
                    first_epoch=done,
                    epochs=self.epochs,
                    optimizer=lambda keras: self.recipe.optimizer(keras, self.steps * self.epochs),
                    loss=lambda keras: loss_of(keras, self.recipe, self.head),
                )
            self.finished = True
        except (KeyboardInterrupt, WorkerLostError) as failure:
            # What is on disk counts: an epoch may be half noted.
            kept = self.progress.state() if self.team.is_chief else None
            if kept is None:
                raise
            self.state = kept
            self.lost = str(failure) if isinstance(failure, WorkerLostError) else ""

    def _callback(self, bar: console.Progress) -> Any:
        run, scores_of = self, scorer(self.model, self.recipe)

        class EveryEpoch(self.keras.callbacks.Callback):  # type: ignore[misc,name-defined]
            def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
                self._epoch, self._start = epoch + 1, time.perf_counter()

            def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
                bar.advance(note=f"epoch {self._epoch}, loss {logs['loss']:.4f}")
                if not math.isfinite(logs["loss"]):
                    raise TrainingError(
                        f"expected a finite loss, got {logs['loss']} at step {batch + 1} of epoch "
                        f"{self._epoch}; lower the learning rate or look at the data"
                    )

            def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
                guessed = metrics.probabilities(scores_of(run.x_validation), run.head)
                found = metrics.summary(guessed, run.y_validation)
                found["loss"] += float(sum(run.model.losses))  # regularizers, as in the training loss
                figures = {"loss": float(logs["loss"]), "accuracy": float(logs["accuracy"])}
                figures |= {f"val_{key}": value for key, value in found.items()}
                run.note_epoch(figures, time.perf_counter() - self._start)
                if run._patience_is_out():
                    self.model.stop_training = True

        return EveryEpoch()

    def note_epoch(self, figures: dict[str, float], seconds: float) -> None:
        history = [*self.state.history, figures]
        best = min(range(len(history)), key=lambda i: history[i]["val_loss"]) + 1
        state = State(
            identity=self.state.identity,
            history=history,
            best_epoch=best,
            seconds=self.state.seconds + seconds,
        )
        self.progress.save(self.model, state, is_best=best == len(history))
        self.state = state
        shown = "  ".join(f"{key} {value:.4f}" for key, value in figures.items())
        console.say(f"epoch {len(history)}/{self.epochs}  {shown}")

    def _patience_is_out(self) -> bool:
        patience = self.recipe.patience
        return patience is not None and len(self.state.history) - self.state.best_epoch >= patience

    def write(self, folder: Path) -> Checkpoint:
        """The checkpoint of the best epoch so far."""
        final = self.recipe.build(self.keras, self.shape, self.classes)  # without optimizer state
        self.progress.load_best(final)
        scores = scorer(final, self.recipe)(self.dataset.x_test)
        self._save(final, folder, scores)
        _write_history(self.state.history, folder / HISTORY)
        guessed = metrics.probabilities(scores, self.head)
        evaluation.write(folder, self.state.history, self.state.best_epoch, self.dataset, guessed)
        best = self.state.history[self.state.best_epoch - 1]
        test = metrics.summary(guessed, self.dataset.y_test)
        checkpoint = Checkpoint(
            recipe=self.name,
            labels=self.dataset.labels,
            input=InputContract(height=self.shape[0], width=self.shape[1], channels=self.shape[2]),
            input_range=self.recipe.input_range,
            head=self.head,
            data=DataRecord.of(self.dataset),
            validation=self.recipe.validation,
            seed=self.options.seed,
            model_sha256=files.sha256_of(folder / MODEL),
            metrics={
                "train_accuracy": best["accuracy"],
                **{f"validation_{key}": best[f"val_{key}"] for key in test},
                **{f"test_{key}": value for key, value in test.items()},
            },
            training={
                "epochs": len(self.state.history),
                "best_epoch": self.state.best_epoch,
                "finished": self.finished,
                "seconds": round(self.state.seconds, 2),
                "parameters": int(final.count_params()),
                "batch_size": self.recipe.batch_size,
                **self.team.record,
            },
            versions=versions("edgewright", "tensorflow", "keras", "numpy", "scikit-learn"),
        )
        files.write_file(folder / CHECKPOINT, checkpoint.to_bytes())
        return checkpoint

    def _save(self, model: Any, folder: Path, expected: Scores) -> None:
        """Write both formats and see that what they load as predicts what the model in memory does."""
        few = self.dataset.x_test[:256]
        for name in (MODEL, MODEL_H5):
            model.save(folder / name)
            loaded = self.keras.saving.load_model(folder / name, compile=False, safe_mode=True)
            error = float(np.abs(scorer(loaded, self.recipe)(few) - expected[: len(few)]).max())
            if not error <= SAVED_TOLERANCE:
                raise EdgewrightError(
                    f"expected {name} to predict what the model in memory does, got scores {error:.2g} apart"
                )


def head_of(model: Any) -> str:
    """`softmax` if the model's last layer gives probabilities, else `logits`."""
    last = model.layers[-1]
    activation = getattr(getattr(last, "activation", None), "__name__", "")
    return "softmax" if activation == "softmax" or type(last).__name__ == "Softmax" else "logits"


def loss_of(keras: Any, recipe: Recipe, head: str) -> Any:
    """The recipe's loss, for a network that ends in probabilities or in logits."""
    losses = {
        "sparse_categorical_crossentropy": keras.losses.SparseCategoricalCrossentropy,
        "categorical_crossentropy": keras.losses.CategoricalCrossentropy,
    }
    return losses[recipe.loss](from_logits=head == "logits")


def scorer(model: Any, recipe: Recipe) -> Callable[[Images], Scores]:
    """A function from raw pixels `(n, height, width, channels)` to the model's scores `(n, classes)`."""
    import tensorflow as tf

    call = tf.function(lambda x: model(x, training=False), reduce_retracing=True)

    def scores(images: Images) -> Scores:
        parts = (scale(images[i : i + _BATCH], recipe.input_range) for i in range(0, len(images), _BATCH))
        return np.concatenate([call(part).numpy() for part in parts])

    return scores


def _write_history(history: list[dict[str, float]], path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["epoch", *history[0]])
        for epoch, figures in enumerate(history, start=1):
            writer.writerow([epoch, *(f"{value:.6f}" for value in figures.values())])
