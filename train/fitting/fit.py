"""Trains a recipe and writes the checkpoint folder."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewright.runtime import console, plugins
from edgewright.runtime.backends import Scores
from edgewright.runtime.contract import InputContract
from edgewright.runtime.disk import files
from edgewright.runtime.errors import (
    DataError,
    EdgewrightError,
    InputError,
    MissingExtraError,
    OutputError,
    TrainingError,
)
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
from edgewright.train.datasets import Dataset
from edgewright.train.evaluation import metrics
from edgewright.train.evaluation import report as evaluation
from edgewright.train.fitting import features
from edgewright.train.fitting.batches import Prepare, batches
from edgewright.train.fitting.distributed import Alone, Team, WorkerLostError
from edgewright.train.fitting.progress import Progress, State
from edgewright.train.recipe import Recipe, where_it_failed
from edgewright.train.stack import import_keras, versions

SAVED_TOLERANCE = 1e-6  # a saved model gives the scores of the one in memory
_BATCH = 500


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a user may set of a training run.

    `epochs` and `weights` None are the recipe's own; `weights` is `imagenet`, `none` (random ones) or the
    path of a Keras weights file of the recipe's base. `features` False runs a frozen base in every epoch, as
    Keras' own fit does. `strategy` is `mirrored` (all devices of this machine) or `multiworker` (one of the
    machines that TF_CONFIG names), by tf.distribute; None: one device.
    """

    out: Path
    seed: int = 0
    epochs: int | None = None
    weights: str | None = None
    features: bool = True
    strategy: str | None = None
    overwrite: bool = False
    resume: bool = False


def train(
    name: str,
    recipe: Recipe,
    dataset: Dataset,
    options: Options,
    *,
    progress: console.Progress = console.silent,
    say: Callable[[str], None] = lambda line: None,
) -> Checkpoint | None:
    """Train `recipe` on `dataset` and write a checkpoint folder to `options.out`.

    Ctrl-C stops after the epoch at hand is dropped and what there is was written; then, and after a
    kill, `options.resume` goes on from the last whole epoch to the same result.

    Args:
        name: of the recipe, as checkpoint and manifest will have it.
        recipe: see `edgewright.train.get_recipe`, or one of your own.
        dataset: see `edgewright.train.load_data`.
        progress: is told how far the work is.
        say: is told the figures of each epoch, a line.

    Returns:
        What was written; `metrics` holds accuracy and loss on validation and test images. None on a
        worker that is not the chief: it writes nothing.

    Raises:
        OutputError: the folder is taken or cannot be written.
        DataError: too few images of a class to split.
        InputError: nothing to resume, or another run, or one under a strategy; weights that cannot be had,
            or of another network.
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
    team = Alone() if options.strategy is None else Team(options.strategy, options.seed)
    make = partial(_Run, keras, name, recipe, dataset, options, team, progress, say)
    if not team.is_chief:
        make().fit()
        return None
    overwrite = options.overwrite or options.resume
    with files.new_folder(options.out, overwrite=overwrite, ours=OURS) as (folder, _):
        run = make()
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
        self,
        keras: Any,
        name: str,
        recipe: Recipe,
        dataset: Dataset,
        options: Options,
        team: Alone,
        bar: console.Progress,
        say: Callable[[str], None],
    ) -> None:
        self.keras, self.name, self.recipe, self.dataset, self.options = keras, name, recipe, dataset, options
        self.team, self.bar, self.say = team, bar, say
        self.lost = ""
        self.epochs = options.epochs or recipe.epochs
        self.shape, self.classes = dataset.x_train.shape[1:], len(dataset.labels)
        self.finished = False
        if options.weights is not None:
            if recipe.weights is None:
                raise InputError(f"{name} starts from random weights of its own; leave out --weights")
            weights = dataclasses.replace(recipe.weights, source=options.weights)
            self.recipe = recipe = dataclasses.replace(recipe, weights=weights)
        keras.utils.set_random_seed(options.seed)
        try:
            train_part, validation_part = split(dataset.y_train, recipe.validation, options.seed)
        except ValueError as failure:
            raise DataError(f"cannot hold out validation images of {dataset.name}: {failure}") from failure
        self.steps = -(-len(train_part) // recipe.batch_size)
        self.model = self._build()
        self.head = head_of(self.model)
        self.learner = self.model
        x_train: NDArray[Any] = dataset.x_train
        self.x_test: NDArray[Any] = dataset.x_test
        self.prepare: Prepare = partial(scale, input_range=recipe.input_range)
        self.seconds_before = 0.0
        if divided := self._divide(self.model):
            start = time.perf_counter()
            base, self.learner = divided
            x_train = features.of(base, dataset.x_train, recipe.input_range, bar)
            self.x_test = features.of(base, dataset.x_test, recipe.input_range, bar)
            self.prepare, self.seconds_before = np.asarray, time.perf_counter() - start
        self.x_train, self.y_train = x_train[train_part], dataset.y_train[train_part]
        self.x_validation, self.y_validation = x_train[validation_part], dataset.y_train[validation_part]
        self.learner.compile(*self._means(keras), metrics=["accuracy"])
        self.progress = Progress(options.out, self._identity())

    def _build(self) -> Any:
        weights = () if self.recipe.weights is None else (self.recipe.weights,)
        try:
            model = self.recipe.build(self.keras, self.shape, self.classes, *weights)
        except EdgewrightError:
            raise
        except Exception as failure:  # a recipe may be the user's own code
            raise InputError(f"{self.name} cannot build its network: {where_it_failed(failure)}") from failure
        if not isinstance(model, self.keras.Model):
            raise InputError(f"expected {self.name} to build a Keras 3 model, got a {type(model).__name__}")
        found = (getattr(model, "input_shape", None), getattr(model, "output_shape", None))
        expected = ((None, *self.shape), (None, self.classes))
        if found != expected:
            raise InputError(
                f"expected {self.name} to build a model from {expected[0]} to {expected[1]}, "
                f"got {found[0]} to {found[1]}"
            )
        return model

    def _means(self, keras: Any) -> tuple[Any, Any]:
        """What is trained by: a new optimizer and the loss, of Keras 3 or of tf_keras."""
        return self.recipe.optimizer(keras, self.steps * self.epochs), loss_of(keras, self.recipe, self.head)

    def _divide(self, model: Any) -> tuple[Any, Any] | None:
        """The frozen part that need not run in every epoch, and the rest."""
        if self.recipe.augment is not None or not self.options.features:
            return None
        return features.divide(self.keras, model)

    def _identity(self) -> str:
        """Names what was asked for: a run with other data, seed, recipe or length cannot go on from it."""
        recipe, optimizer = self.recipe, self.learner.optimizer
        asked = [
            self.name,
            self.dataset.sha256,
            self.options.seed,
            self.epochs,
            [recipe.batch_size, recipe.patience, recipe.loss, recipe.validation, recipe.input_range],
            recipe.weights.record() if recipe.weights else {},
            [(type(layer).__name__, [list(w.shape) for w in layer.weights]) for layer in self.learner.layers],
            # Keras numbers the names of optimizers as it makes them.
            [type(optimizer).__name__, optimizer.get_config() | {"name": ""}],
            *([self.options.strategy] if self.options.strategy else []),
        ]
        return hashlib.sha256(json.dumps(asked, default=str).encode()).hexdigest()

    def fit(self) -> None:
        if self.options.resume:
            self.state = self.progress.restore(self.learner)
        else:
            if self.team.is_chief and self.progress.state() is not None and not self.options.overwrite:
                raise OutputError(
                    f"a cut-off run to {self.options.out} is there; add --resume to go on with it or "
                    "--overwrite to start anew"
                )
            if self.team.is_chief:
                self.progress.remove()
            self.state = State(
                identity=self.progress.identity, history=[], best_epoch=0, seconds=self.seconds_before
            )
        done = len(self.state.history)
        examples = (self.x_train, self.y_train, self.classes)
        given = batches(self.keras, self.recipe, self.prepare, *examples, self.options.seed, done)
        if self._patience_is_out():
            done = self.epochs
        try:
            epochs = range(done, self.epochs)
            self.team.fit(self.learner, given, self._callback(done), epochs, self._means)
            self.finished = True
            if self.team.weights_sha256:
                self.say(f"weights sha256 {self.team.weights_sha256}")
        except (KeyboardInterrupt, WorkerLostError) as failure:
            # What is on disk counts: an epoch may be half noted.
            kept = self.progress.state() if self.team.is_chief else None
            if kept is None:
                raise
            self.state = kept
            self.lost = str(failure) if isinstance(failure, WorkerLostError) else ""

    def _callback(self, first_epoch: int) -> Any:
        run, scores_of = self, scorer(self.learner, self.prepare)

        class EveryEpoch(self.keras.callbacks.Callback):  # type: ignore[misc,name-defined]
            def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
                self._epoch, self._start = epoch + 1, time.perf_counter()

            def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
                done = (self._epoch - 1 - first_epoch) * run.steps + batch + 1
                total = (run.epochs - first_epoch) * run.steps
                run.bar("training", done, total, f"epoch {self._epoch}, loss {logs['loss']:.4f}")
                if not math.isfinite(logs["loss"]):
                    raise TrainingError(
                        f"expected a finite loss, got {logs['loss']} at step {batch + 1} of epoch "
                        f"{self._epoch}; lower the learning rate or look at the data"
                    )

            def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
                guessed = metrics.probabilities(scores_of(run.x_validation), run.head)
                found = metrics.summary(guessed, run.y_validation)
                found["loss"] += float(sum(run.learner.losses))  # regularizers, as in the training loss
                figures = {"loss": float(logs["loss"]), "accuracy": float(logs["accuracy"])}
                figures |= {f"val_{key}": value for key, value in found.items()}
                run.note_epoch(figures, time.perf_counter() - self._start)
                if run._patience_is_out():
                    self.model.stop_training = True

        return EveryEpoch()

    def note_epoch(self, figures: dict[str, float], seconds: float) -> None:
        history = [*self.state.history, figures]
        best = min(range(len(history)), key=lambda i: history[i]["val_loss"]) + 1
        seconds += self.state.seconds
        state = dataclasses.replace(self.state, history=history, best_epoch=best, seconds=seconds)
        self.progress.save(self.learner, state, is_best=best == len(history))
        self.state = state
        shown = "  ".join(f"{key} {value:.4f}" for key, value in figures.items())
        self.say(f"epoch {len(history)}/{self.epochs}  {shown}")

    def _patience_is_out(self) -> bool:
        patience = self.recipe.patience
        return patience is not None and len(self.state.history) - self.state.best_epoch >= patience

    def write(self, folder: Path) -> Checkpoint:
        """The checkpoint of the best epoch so far."""
        final = self._build()  # without optimizer state
        _, learner = self._divide(final) or (None, final)
        self.progress.load_best(learner)
        scores = scorer(learner, self.prepare)(self.x_test)
        self._save(final, folder, scores)
        evaluation.write_history(folder / HISTORY, self.state.history)
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
            weights=self.recipe.weights.record() if self.recipe.weights else {},
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
        """Write both formats and see that what they load as predicts what the model in memory does.

        `expected` are the scores the test images had in training, which a model with a frozen base gives
        as closely as the base's features are.
        """
        few = self.dataset.x_test[:256]
        prepare = partial(scale, input_range=self.recipe.input_range)
        whole = scorer(model, prepare)(few)
        if not (error := np.abs(whole - expected[: len(few)]).max()) <= features.TOLERANCE:
            raise EdgewrightError(
                f"expected the whole model to predict as its trained part, got scores {error:.2g} apart"
            )
        for name in (MODEL, MODEL_H5):
            model.save(folder / name)
            loaded = self.keras.saving.load_model(folder / name, compile=False, safe_mode=True)
            error = np.abs(scorer(loaded, prepare)(few) - whole).max()
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


def scorer(model: Any, prepare: Prepare) -> Callable[[NDArray[Any]], Scores]:
    """A function from raw pixels or features `(n, …)` to the model's scores `(n, classes)`."""
    import tensorflow as tf

    call = tf.function(lambda x: model(x, training=False), reduce_retracing=True)

    def scores(given: NDArray[Any]) -> Scores:
        parts = (prepare(given[i : i + _BATCH]) for i in range(0, len(given), _BATCH))
        return np.concatenate([call(part).numpy() for part in parts])

    return scores
