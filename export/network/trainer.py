"""Fine-tunes the tf_keras model that a pass has wrapped. Lives in the child process that has TFMOT."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewright.runtime.backends import Scores
from edgewright.runtime.contract.heads import Head
from edgewright.runtime.errors import TrainingError
from edgewright.train.bridge import to_tf_keras
from edgewright.train.datasets import Images, Labels
from edgewright.train.evaluation import metrics
from edgewright.train.fitting.batches import batches
from edgewright.train.fitting.heads import loss_of, scorer
from edgewright.train.normalization import Normalization
from edgewright.train.recipe import Recipe
from edgewright.train.stack import import_keras, import_tf_keras, keep_freed_memory

_LEARNING_RATE, _UNFROZEN_LEARNING_RATE = 1e-3, 1e-4  # Adam's
_PATIENCE = 3  # epochs, or half of them: a cosine brings most towards its end
_FROZEN_STEPS, _FROZEN_VALIDATION = 100, 1000
_KEPT_FROZEN = "BatchNormalization"
_TOLD = ("accuracy", "agreement", "loss")  # in the record, of the best epoch
_LEAST = 1e-7  # probability

Report = Callable[[float, str], None]  # the share that is done, and a note
Figures = dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Examples:
    """Raw uint8 images `(n, height, width, channels)` with labels, and those held out. `distill` looks at
    no label."""

    x: Images
    y: Labels
    x_validation: Images
    y_validation: Labels


class Trainer:
    """One fine-tuning.

    Adam at 1e-3 (TFMOT's passes need about that: at 1e-4 they end far below), or what the pass asks for,
    falls to 0 on a cosine over all epochs. The weights of the epoch with the lowest validation loss are
    kept, and three epochs (half of all, if that is more) that bring nothing are the last ones.

    A network with a frozen base was trained without ever running that base backwards, which takes ten
    times as long as the rest together. To change the base's weights all layers are unfrozen, but for
    BatchNormalization: its moving statistics would not follow in so few steps. Adam begins at 1e-4 then: at
    1e-3 its first step, of that size for every weight, took a MobileNetV2 on MNIST from a loss of .05 to
    more than 9, and it ended at chance. An epoch is then at most 100 batches, another draw each time, and
    1,000 held-out images judge.
    """

    def __init__(
        self,
        model: Any,
        *,
        recipe: Recipe,
        head: str,
        normalization: Normalization,
        examples: Examples,
        epochs: int,
        seed: int,
        earlier: Sequence[str] = (),
        keep_augmentation: bool = False,
        report: Report = lambda share, note: None,
    ) -> None:
        """`model` is the Keras 3 model; `earlier` are the passes that have made it what it is;
        `keep_augmentation` trains through its layers such as RandomFlip, which else are left out.

        Raises:
            BridgeError: tf_keras cannot be given it.
        """
        self.tf_keras, keras = import_tf_keras(), import_keras()
        keep_freed_memory()
        self.normalization, self.examples = normalization, examples
        self.record: dict[str, Any] = {}
        self._recipe, self._head, self._seed, self._keras_model = recipe, head, seed, model
        self._earlier, self._report, self.epochs = earlier, report, epochs
        self.tf_keras.utils.set_random_seed(seed)
        self._prepare = normalization.apply
        self.bridged = to_tf_keras(
            model, keep_augmentation=keep_augmentation, images=self._prepare(examples.x[:64])
        )
        self.model = self.bridged.model
        count = len(examples.x_validation)
        frozen = [layer for layer in self.model.layers if layer.weights and not layer.trainable]
        ends = Head(kind=head, count=self.model.output_shape[-1])
        self._given = batches(keras, recipe, self._prepare, examples.x, examples.y, ends, seed, 0)
        self._per_epoch = self._whole = len(self._given)
        self._highest_rate = _UNFROZEN_LEARNING_RATE if frozen else math.inf
        if frozen:
            self._per_epoch = min(self._per_epoch, _FROZEN_STEPS)
            count = min(count, _FROZEN_VALIDATION)
            for layer in frozen:
                layer.trainable = type(layer).__name__ != _KEPT_FROZEN
        judging = np.random.default_rng(seed).permutation(len(examples.x_validation))[:count]
        self._x, self._y = examples.x_validation[judging], examples.y_validation[judging]

    @property
    def steps(self) -> int:
        """Batches in all epochs."""
        return self._per_epoch * self.epochs

    def made_by(self, family: str) -> bool:
        """Whether a pass of that family has been here before."""
        return any(name.startswith(family) for name in self._earlier)

    def copy(self) -> Any:
        """The model that was given as one of tf_keras again, without augmentation; no training changes it."""
        return to_tf_keras(self._keras_model).model

    def batch(self, index: int) -> NDArray[np.float32]:
        """The images of a training batch, as the model takes them."""
        images: NDArray[np.float32] = self._given[index % len(self._given)][0]
        return images

    def fit(
        self,
        model: Any,
        *,
        callbacks: Sequence[Any] = (),
        learning_rate: float = _LEARNING_RATE,
        as_it_is: bool = False,
    ) -> None:
        """Train `model` and leave it with its best weights; says in `record` what was done.

        Args:
            model: a tf_keras model of raw images to scores.
            callbacks: the pass's own.
            learning_rate: at the start; 1e-4 at most where a base was frozen.
            as_it_is: if no epoch makes it better, the model is left as it is.

        Raises:
            TrainingError: the loss or a weight is no finite number, with the step.
        """
        loss = loss_of(self.tf_keras, self._recipe, self._head)
        self._fit(
            model,
            loss,
            self._batches(),
            lambda guessed: metrics.summary(guessed, self._y),
            callbacks,
            learning_rate,
            as_it_is,
        )

    def distill(self, model: Any, *, callbacks: Sequence[Any] = (), steps: int, learning_rate: float) -> None:
        """As `fit`, towards the probabilities that the given model has for the same images, not labels; if no
        epoch brings `model` closer to them, it is left as it is.

        Args:
            steps: batches an epoch, of however many images.

        Raises:
            TrainingError: as `fit`.
        """
        taught = self.copy()
        as_prepared, as_raw = scorer(taught, lambda x: x), scorer(taught, self._prepare)
        wanted = metrics.probabilities(as_raw(self._x), self._head)

        def batches() -> Iterator[Any]:
            for images, *_ in self._batches():
                yield images, metrics.probabilities(as_prepared(images), self._head)

        def figures(guessed: Scores) -> Figures:
            losses = -(wanted * np.log(np.maximum(guessed, _LEAST))).sum(axis=1)
            return {
                "loss": float(losses.mean()),
                "agreement": float((guessed.argmax(axis=1) == wanted.argmax(axis=1)).mean()),
            }

        self._per_epoch = steps
        loss = self.tf_keras.losses.CategoricalCrossentropy(from_logits=self._head == "logits")
        self._fit(model, loss, batches(), figures, callbacks, learning_rate, as_it_is=True)

    def _fit(
        self,
        model: Any,
        loss: Any,
        given: Iterator[Any],
        figures: Callable[[Scores], Figures],
        callbacks: Sequence[Any],
        learning_rate: float,
        as_it_is: bool,
    ) -> None:
        rate = self.tf_keras.optimizers.schedules.CosineDecay(
            min(learning_rate, self._highest_rate), self.steps
        )
        model.compile(self.tf_keras.optimizers.Adam(rate), loss)
        judge = self._judge(model, figures, as_it_is)
        model.fit(
            given,
            steps_per_epoch=self._per_epoch,
            epochs=self.epochs,
            callbacks=[*callbacks, judge],
            verbose=0,
        )
        judge.keep_best()

    def _batches(self) -> Iterator[Any]:
        while True:
            for index in range(min(self._per_epoch, self._whole)):
                yield self._given[index]
            self._given.on_epoch_end()

    def _judge(self, model: Any, figures: Callable[[Scores], Figures], as_it_is: bool) -> Any:
        trainer, scores_of = self, scorer(model, self._prepare)

        class Judge(self.tf_keras.callbacks.Callback):  # type: ignore[misc,name-defined]
            """Judges each epoch on the held-out images, `as_it_is` also what is there before the first; comes
            after the pass's own callbacks."""

            def on_train_begin(self, logs: Any = None) -> None:
                self._history: list[Figures] = []
                self._best = -1  # the epoch, that before the first being -1
                self._figures: Figures | None = None
                self._kept: list[tuple[Any, Any]] = []
                if as_it_is:
                    self._keep(-1, self._judged())

            def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
                self._done = epoch * trainer._per_epoch

            def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
                step, loss = self._done + batch + 1, logs["loss"]
                if not math.isfinite(loss):
                    raise self._failure(f"a finite loss while fine-tuning, got {loss}", step)
                trainer._report(step / trainer.steps, f"step {step}, loss {loss:.4f}")

            def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
                step = self._done + trainer._per_epoch
                if not all(np.isfinite(variable.numpy()).all() for variable in model.weights):
                    # TensorFlow's relu makes 0 of NaN on CPUs: the loss may never show it.
                    raise self._failure("finite weights while fine-tuning, got NaN or infinity", step)
                self._history.append(self._judged())
                if self._figures is None or self._history[-1]["loss"] < self._figures["loss"]:
                    self._keep(epoch, self._history[-1])
                losses = [each["loss"] for each in self._history]  # none as it was: a cosine gains at its end
                self.model.stop_training = epoch - np.argmin(losses) >= max(_PATIENCE, trainer.epochs // 2)

            def _judged(self) -> Figures:
                return figures(metrics.probabilities(scores_of(trainer._x), trainer._head))

            def _keep(self, epoch: int, found: Figures) -> None:
                self._best, self._figures = epoch, found
                self._kept = [(variable, variable.numpy()) for variable in model.weights]

            def _failure(self, what: str, step: int) -> TrainingError:
                return TrainingError(f"expected {what} at step {step} of {trainer.steps}; look at the data")

            def keep_best(self) -> None:
                for variable, value in self._kept:
                    variable.assign(value)
                best = self._figures or self._history[-1]
                trainer.record = {
                    "epochs": len(self._history),
                    "best_epoch": self._best + 1,
                    "steps_per_epoch": trainer._per_epoch,
                    "validation_images": len(trainer._y),
                    **{f"validation_{key}": round(best[key], 6) for key in _TOLD if key in best},
                }

        return Judge()
