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
from edgewright.runtime.contract import InputContract
from edgewright.runtime.contract.heads import Head
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
    OURS,
    Checkpoint,
    DataRecord,
    scale,
    split,
)
from edgewright.train.datasets import Dataset, Images
from edgewright.train.evaluation import metrics
from edgewright.train.evaluation import report as evaluation
from edgewright.train.fitting import features, writing
from edgewright.train.fitting.batches import batches
from edgewright.train.fitting.distributed import Alone, Team, WorkerLostError
from edgewright.train.fitting.heads import Prepare, accuracy_of, check_head, head_of, loss_of, scorer
from edgewright.train.fitting.plan import Plan, balance, unfreeze
from edgewright.train.fitting.progress import Progress, State
from edgewright.train.recipe import Recipe, where_it_failed
from edgewright.train.stack import import_keras, keep_freed_memory, versions


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a user may set of a training run.

    `epochs`, `base` and `weights` None are the recipe's own; `base` is one of
    `edgewright.train.pretrained.BASES`, for recipes that leave the choice; `weights` is `imagenet`, `none`
    (random ones) or the path of a Keras weights file of the base. `features` False runs a frozen base in
    every epoch, as Keras' own fit does. `strategy` is `mirrored` (all devices of this machine) or
    `multiworker` (one of the machines that TF_CONFIG names), by tf.distribute; None: one device.
    """

    out: Path
    seed: int = 0
    epochs: int | None = None
    base: str | None = None
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
            or of another network; a network that is not for such labels.
        TrainingError: the loss is no finite number, or a worker is gone; of the second what there is was
            written.
        BridgeError: the network cannot be trained under a strategy.
        KeyboardInterrupt: before the first epoch was whole.
    """
    keras = import_keras()
    keep_freed_memory()
    for module in ("matplotlib", "sklearn"):
        if not plugins.installed(module):
            raise MissingExtraError(f"{module}, which reports on training,", "train")
    if options.strategy is not None and options.resume:
        raise InputError("expected --resume or --strategy, got both; a run under a strategy starts anew")
    recipe = recipe.starting_from(name, options.base, options.weights)
    if recipe.tuning is not None and options.strategy == "multiworker":
        raise InputError(f"expected one machine for {name}, which trains in two parts; leave out --strategy")
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


@dataclass(frozen=True, kw_only=True)
class _Part:
    """A part of a training: `learner` is what is trained, on what `examples` makes of raw images, brought to
    what it takes by `prepare`."""

    recipe: Recipe
    learner: Any
    examples: Callable[[Images], NDArray[Any]]
    prepare: Prepare


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
        self.plan = Plan.of(recipe, options.epochs)
        self.shape, self.classes = dataset.x_train.shape[1:], len(dataset.labels)
        self.finished = False
        keras.utils.set_random_seed(options.seed)
        try:
            self.train_part, self.validation_part = split(
                dataset.y_train, recipe.validation, options.seed, dataset.groups
            )
        except ValueError as failure:
            raise DataError(f"cannot hold out validation images of {dataset.name}: {failure}") from failure
        self.steps = -(-len(self.train_part) // recipe.batch_size)
        self.y_validation = dataset.y_train[self.validation_part]
        self.model = self._build()
        several = dataset.is_multi_label
        self.head = Head(kind=head_of(self.model, several=several), count=self.model.output_shape[-1])
        check_head(name, self.head, several=several)
        self.weights = balance(dataset.y_train, self.classes) if recipe.balanced else None
        self.parts: dict[int, _Part] = {}
        self.compiled: int | None = None  # the part that is
        self.progress = Progress(options.out, self._identity())

    def _build(self) -> Any:
        several = self.dataset.is_multi_label
        scores, given = self.classes, [] if self.recipe.weights is None else [self.recipe.weights]
        told = {}
        if self.recipe.any_head:
            scores = 1 if self.classes == 2 and not several else self.classes
            told = {"activation": "sigmoid" if several or scores == 1 else "softmax"}
        try:
            model = self.recipe.build(self.keras, self.shape, scores, *given, **told)
        except EdgewrightError:
            raise
        except Exception as failure:  # a recipe may be the user's own code
            raise InputError(f"{self.name} cannot build its network: {where_it_failed(failure)}") from failure
        if not isinstance(model, self.keras.Model):
            raise InputError(f"expected {self.name} to build a Keras 3 model, got a {type(model).__name__}")
        found = (getattr(model, "input_shape", None), getattr(model, "output_shape", None))
        expected = ((None, *self.shape), (None, self.classes))
        is_binary = self.classes == 2 and not several and found == (expected[0], (None, 1))
        if found != expected and not is_binary:
            raise InputError(
                f"expected {self.name} to build a model from {expected[0]} to {expected[1]}, "
                f"got {found[0]} to {found[1]}"
            )
        return model

    def _means(self, recipe: Recipe, keras: Any) -> tuple[Any, Any, list[Any]]:
        """What is trained by: a new optimizer, the loss and metrics, of Keras 3 or of tf_keras."""
        optimizer = recipe.optimizer(keras, self.steps * recipe.epochs)
        return optimizer, loss_of(keras, recipe, self.head.kind), [accuracy_of(self.head)]

    def _identity(self) -> str:
        """Names what was asked for: a run with other data, seed, recipe or length cannot go on from it."""
        recipe = self.recipe
        asked = [
            self.name,
            self.dataset.sha256,
            self.options.seed,
            [(part.epochs, part.patience) for part in self.plan.parts],
            [recipe.batch_size, recipe.loss, recipe.validation, recipe.input_range, recipe.balanced],
            [recipe.weights.base, recipe.weights.record()] if recipe.weights else [],
            [(type(layer).__name__, [list(w.shape) for w in layer.weights]) for layer in self.model.layers],
            [self._optimizer(part) for part in self.plan.parts],
            *([self.options.strategy] if self.options.strategy else []),
        ]
        return hashlib.sha256(json.dumps(asked, default=str).encode()).hexdigest()

    def _optimizer(self, recipe: Recipe) -> list[Any]:
        """An optimizer's kind and settings; Keras numbers the names of optimizers as it makes them."""
        optimizer = recipe.optimizer(self.keras, self.steps * recipe.epochs)
        return [type(optimizer).__name__, optimizer.get_config() | {"name": ""}]

    def _part(self, index: int, model: Any) -> _Part:
        """A part of the training of a model: that of its last layers where its base need not run in every
        epoch, or of all of it."""
        recipe = self.plan.parts[index]
        if index:
            unfreeze(model)
        can = not index and recipe.augment is None and self.options.features
        if can and (divided := features.divide(self.keras, model)):
            base, learner = divided
            made = partial(features.of, base, input_range=recipe.input_range, progress=self.bar)
            return _Part(recipe=recipe, learner=learner, examples=made, prepare=np.asarray)
        prepare = partial(scale, input_range=recipe.input_range)
        return _Part(recipe=recipe, learner=model, examples=lambda images: images, prepare=prepare)

    def _begin(self, index: int) -> _Part:
        """The part, compiled."""
        if index not in self.parts:
            self.parts[index] = self._part(index, self.model)
        part = self.parts[index]
        if self.compiled != index:
            optimizer, loss, found = self._means(part.recipe, self.keras)
            part.learner.compile(optimizer, loss, metrics=found)
            self.compiled = index
        return part

    def _place(self, epochs: int | None = None) -> tuple[int, int] | None:
        """The part at hand after all, or the first, of the epochs that were noted; see `Plan.place`."""
        return self.plan.place([figures["val_loss"] for figures in self.state.history[:epochs]])

    def fit(self) -> None:
        self.state = State(identity=self.progress.identity, history=[], best_epoch=0, seconds=0.0)
        if self.options.resume:
            self.state = self.progress.check()
            if self.state.history:
                last = self._place(-1)
                self.progress.restore(self._begin(last[0] if last else 0).learner)
        elif self.team.is_chief:
            if self.progress.state() is not None and not self.options.overwrite:
                raise OutputError(
                    f"a cut-off run to {self.options.out} is there; add --resume to go on with it or "
                    "--overwrite to start anew"
                )
            self.progress.begin()
        try:
            while (place := self._place()) is not None:
                self._fit_part(*place)
                if not self.team.is_chief:  # which notes no epochs, and has but one part
                    break
            self.finished = True
            if self.team.weights_sha256:
                self.say(f"weights sha256 {self.team.weights_sha256}")
        except (KeyboardInterrupt, WorkerLostError) as failure:
            # What is on disk counts: an epoch may be half noted.
            kept = self.progress.state() if self.team.is_chief else None
            if kept is None:
                self._forget()
                raise
            self.state = kept
            self.lost = str(failure) if isinstance(failure, WorkerLostError) else ""
        except Exception:
            self._forget()
            raise

    def _forget(self) -> None:
        """Leave nothing of a run that failed before an epoch was whole; a killed one can be resumed."""
        if self.team.is_chief and self.progress.state() is None:
            self.progress.remove()

    def _fit_part(self, index: int, start: int) -> None:
        began, done = time.perf_counter(), len(self.state.history)
        if index and done == start:
            self.progress.load_best(self._begin(0).learner)
            self.say("from here on all layers but BatchNormalization learn, at a low rate")
        part = self._begin(index)
        x_train = part.examples(self.dataset.x_train)
        x_validation = x_train[self.validation_part]
        weights = None if self.weights is None else self.weights[self.train_part]
        given = batches(
            self.keras,
            part.recipe,
            part.prepare,
            x_train[self.train_part],
            self.dataset.y_train[self.train_part],
            self.head,
            self.options.seed,
            done,
            weights,
        )
        self.state = dataclasses.replace(self.state, seconds=self.state.seconds + time.perf_counter() - began)
        epochs = range(done, start + part.recipe.epochs)
        callback = self._callback(part, x_validation, (index, start), epochs)
        self.team.fit(part.learner, given, callback, epochs, partial(self._means, part.recipe))

    def _callback(
        self, part: _Part, x_validation: NDArray[Any], place: tuple[int, int], epochs: range
    ) -> Any:
        run, scores_of = self, scorer(part.learner, part.prepare)
        weights = None if self.weights is None else self.weights[self.validation_part]

        class EveryEpoch(self.keras.callbacks.Callback):  # type: ignore[misc,name-defined]
            def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
                self._epoch, self._start = epoch + 1, time.perf_counter()

            def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
                done = (self._epoch - 1 - epochs.start) * run.steps + batch + 1
                total, stage = len(epochs) * run.steps, "tuning" if place[0] else "training"
                run.bar(stage, done, total, f"epoch {self._epoch}, loss {logs['loss']:.4f}")
                if not math.isfinite(logs["loss"]):
                    raise TrainingError(
                        f"expected a finite loss, got {logs['loss']} at step {batch + 1} of epoch "
                        f"{self._epoch}; lower the learning rate or look at the data"
                    )

            def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
                guessed = metrics.probabilities(scores_of(x_validation), run.head.kind)
                found = metrics.summary(guessed, run.y_validation, weights)
                found["loss"] += float(sum(part.learner.losses))  # regularizers, as in the training loss
                figures = {"loss": float(logs["loss"]), "accuracy": float(logs["accuracy"])}
                figures |= {f"val_{key}": value for key, value in found.items()}
                run.note_epoch(part.learner, figures, time.perf_counter() - self._start)
                if run._place() != place:
                    self.model.stop_training = True

        return EveryEpoch()

    def note_epoch(self, learner: Any, figures: dict[str, float], seconds: float) -> None:
        history = [*self.state.history, figures]
        best = min(range(len(history)), key=lambda i: history[i]["val_loss"]) + 1
        seconds += self.state.seconds
        state = dataclasses.replace(self.state, history=history, best_epoch=best, seconds=seconds)
        self.progress.save(learner, state, is_best=best == len(history))
        self.state = state
        shown = "  ".join(f"{key} {value:.4f}" for key, value in figures.items())
        self.say(f"epoch {len(history)}/{self.plan.epochs}  {shown}")

    def write(self, folder: Path) -> Checkpoint:
        """The checkpoint of the best epoch so far."""
        self.keras.utils.set_random_seed(self.options.seed)  # what is frozen and random is so again
        final = self._build()  # without optimizer state
        place = self._place(self.state.best_epoch - 1)
        part = self._part(place[0] if place else 0, final)
        x_test = part.examples(self.dataset.x_test)
        self.progress.load_best(part.learner)
        scores = scorer(part.learner, part.prepare)(x_test)
        writing.save(self.keras, final, folder, self.dataset.x_test, self.recipe.input_range, scores)
        evaluation.write_history(folder / HISTORY, self.state.history)
        guessed = metrics.probabilities(scores, self.head.kind)
        evaluation.write(folder, self.state.history, self.state.best_epoch, self.dataset, guessed)
        best = self.state.history[self.state.best_epoch - 1]
        test = metrics.summary(guessed, self.dataset.y_test)
        checkpoint = Checkpoint(
            recipe=self.name,
            labels=self.dataset.labels,
            input=InputContract(height=self.shape[0], width=self.shape[1], channels=self.shape[2]),
            input_range=self.recipe.input_range,
            head=self.head.kind,
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
                **({"base": base} if (base := self.recipe.weights and self.recipe.weights.base) else {}),
                **self.team.record,
            },
            versions=versions("edgewright", "tensorflow", "keras", "numpy", "scikit-learn"),
        )
        files.write_file(folder / CHECKPOINT, checkpoint.to_bytes())
        return checkpoint
