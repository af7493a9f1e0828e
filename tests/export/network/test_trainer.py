"""Fine-tuning: what is kept, what stops it, and how long it may take."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edgewright.export.network.trainer import Examples, Trainer
from edgewright.runtime.errors import BridgeError, TrainingError
from edgewright.train import recipe
from edgewright.train.checkpoint import scale
from edgewright.train.datasets import Dataset
from edgewright.train.fitting.fit import scorer
from edgewright.train.normalization import Normalization

BuildConv = Callable[..., Any]
MakeTrainer = Callable[..., Trainer]


@pytest.fixture
def make_trainer(colour: Dataset) -> MakeTrainer:
    def make(model: Any, *, epochs: int = 2, batch_size: int = 128, **settings: Any) -> Trainer:
        examples = Examples(
            x=colour.x_train[:600],
            y=colour.y_train[:600],
            x_validation=colour.x_train[600:900],
            y_validation=colour.y_train[600:900],
        )
        how = dataclasses.replace(recipe.get("fashion-mlp"), batch_size=batch_size)
        return Trainer(
            model,
            recipe=how,
            head="softmax",
            normalization=Normalization.of_range(-1.0, 1.0),
            examples=examples,
            epochs=epochs,
            seed=0,
            **settings,
        )

    return make


@pytest.fixture
def dense(keras: Any) -> Any:
    """The least there is to train: most of the time goes into tracing what is trained."""
    layers = [keras.Input((14, 14, 3)), keras.layers.Flatten(), keras.layers.Dense(10, "softmax")]
    return keras.Sequential(layers)


@pytest.mark.slow
def test_trainer_keeps_the_best_epoch_and_the_record_says_which(
    build_conv: BuildConv, make_trainer: MakeTrainer, colour: Dataset
) -> None:
    shares: list[float] = []
    trainer = make_trainer(build_conv(), epochs=3, report=lambda share, note: shares.append(share))
    trainer.fit(trainer.model)
    assert trainer.steps == 15
    assert shares == pytest.approx([step / 15 for step in range(1, 16)])
    assert trainer.record["steps_per_epoch"] == 5
    scores = scorer(trainer.model, lambda x: scale(x, (-1.0, 1.0)))(colour.x_train[600:900])
    accuracy = float(np.mean(scores.argmax(1) == colour.y_train[600:900]))
    assert trainer.record["validation_accuracy"] == pytest.approx(accuracy, abs=1e-6)


def test_trainer_distills_the_scores_that_were_there_and_looks_at_no_label(
    dense: Any, make_trainer: MakeTrainer, colour: Dataset
) -> None:
    trainer = make_trainer(dense, epochs=3)
    (kernel,) = (weight for weight in trainer.model.weights if weight.shape.rank == 2)
    images, there = trainer.batch(0), kernel.numpy()
    before = trainer.model(images).numpy()
    kernel.assign(np.round(there * 16) / 16)
    lost = np.abs(trainer.model(images).numpy() - before).mean()
    trainer.distill(trainer.model, steps=40, learning_rate=1e-3)
    assert np.abs(trainer.model(images).numpy() - before).mean() < lost / 2
    assert trainer.record["steps_per_epoch"] == 40  # of 5 batches
    assert trainer.record["validation_agreement"] > 0.85
    assert "validation_accuracy" not in trainer.record


def test_trainer_distillation_that_brings_nothing_leaves_the_model_as_it_is(
    dense: Any, make_trainer: MakeTrainer
) -> None:
    trainer = make_trainer(dense, epochs=2)
    before = [weight.numpy() for weight in trainer.model.weights]
    trainer.distill(trainer.model, steps=2, learning_rate=10.0)
    assert trainer.record["best_epoch"] == 0
    assert trainer.record["validation_agreement"] == 1
    for weight, was in zip(trainer.model.weights, before, strict=True):
        np.testing.assert_array_equal(weight.numpy(), was)


@pytest.mark.parametrize(("epochs", "trained"), [(3, 3), (6, 4), (10, 6)])
def test_trainer_stops_after_epochs_that_bring_nothing_the_later_the_more_there_are(
    epochs: int,
    trained: int,
    dense: Any,
    make_trainer: MakeTrainer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    losses = iter(range(100))
    monkeypatch.setattr(
        "edgewright.export.network.trainer.metrics.summary",
        lambda *_: {"loss": next(losses), "accuracy": 0.5},
    )
    trainer = make_trainer(dense, epochs=epochs)
    trainer.fit(trainer.model)
    assert (trainer.record["epochs"], trainer.record["best_epoch"]) == (trained, 1)


@pytest.mark.slow
def test_trainer_leaves_a_model_as_it_is_if_asked_to_and_no_epoch_makes_it_better(
    dense: Any, make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for as_it_is in (True, False):
        losses = iter(range(100))
        monkeypatch.setattr(
            "edgewright.export.network.trainer.metrics.summary",
            lambda *_, losses=losses: {"loss": next(losses), "accuracy": 0.5},
        )
        trainer = make_trainer(dense, epochs=1)
        before = trainer.model.get_weights()
        trainer.fit(trainer.model, as_it_is=as_it_is)
        same = all(map(np.array_equal, before, trainer.model.get_weights()))
        assert (trainer.record["best_epoch"], same) == ((0, True) if as_it_is else (1, False))


@pytest.mark.slow
def test_trainer_goes_on_while_the_loss_falls_to_what_it_was(
    dense: Any, make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = iter([1.0, 1.5, 1.4, 1.3, 1.2, 0.9, 1.0])
    monkeypatch.setattr(
        "edgewright.export.network.trainer.metrics.summary",
        lambda *_: {"loss": next(losses), "accuracy": 0.5},
    )
    trainer = make_trainer(dense, epochs=6)
    trainer.fit(trainer.model, as_it_is=True)
    assert (trainer.record["epochs"], trainer.record["best_epoch"]) == (6, 5)


@pytest.mark.slow
def test_trainer_with_the_same_seed_gives_the_same_weights(
    build_conv: BuildConv, make_trainer: MakeTrainer
) -> None:
    found = []
    for _ in range(2):
        trainer = make_trainer(build_conv(), epochs=1)
        trainer.fit(trainer.model)
        found.append(trainer.model.get_weights())
    for first, second in zip(*found, strict=True):
        np.testing.assert_array_equal(first, second)


class Broken:
    """Training batches of which the third holds NaN."""

    def __init__(self, given: Any) -> None:
        self._given = given

    def __getitem__(self, index: int) -> Any:
        images, labels = self._given[index]
        return images * (np.nan if index == 2 else 1), labels

    def on_epoch_end(self) -> None:
        pass


def test_trainer_stops_at_a_loss_that_is_no_number_and_says_at_which_step(
    dense: Any, make_trainer: MakeTrainer
) -> None:
    trainer = make_trainer(dense)
    trainer._given = Broken(trainer._given)
    with pytest.raises(TrainingError, match=r"expected a finite loss while .* got nan at step 3 of 10"):
        trainer.fit(trainer.model)


def test_trainer_stops_at_weights_that_are_no_numbers_where_the_loss_shows_nothing(
    dense: Any, make_trainer: MakeTrainer
) -> None:
    trainer = make_trainer(dense)

    class Spoil(trainer.tf_keras.callbacks.Callback):  # type: ignore[name-defined,misc]
        """What a processor does whose relu makes 0 of NaN: weights are no numbers, the loss is one."""

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            bias = self.model.layers[-1].bias
            bias.assign(bias * np.nan)

    with pytest.raises(TrainingError, match=r"expected finite weights while .* at step 5 of 10"):
        trainer.fit(trainer.model, callbacks=[Spoil()])


def test_trainer_unfreezes_a_frozen_base_but_not_its_statistics_and_its_epochs_are_short(
    keras: Any, build_conv: BuildConv, make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgewright.export.network.trainer._FROZEN_STEPS", 3)
    monkeypatch.setattr("edgewright.export.network.trainer._FROZEN_VALIDATION", 100)
    model = build_conv()
    for layer in model.layers[:-1]:
        layer.trainable = False
    trainer = make_trainer(model)
    before = {layer.name: layer.get_weights() for layer in trainer.model.layers}
    trainer.fit(trainer.model)
    assert trainer.record["steps_per_epoch"] == 3
    assert trainer.record["validation_images"] == 100
    for layer in trainer.model.layers:
        kept = all(np.array_equal(a, b) for a, b in zip(before[layer.name], layer.get_weights(), strict=True))
        assert kept == (type(layer).__name__ not in ("Conv2D", "Dense"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("frozen", "asked", "first"),
    [
        pytest.param(False, {}, 1e-3, marks=pytest.mark.slow),
        (False, {"learning_rate": 3e-4}, 3e-4),
        (True, {}, 1e-4),
    ],
)
def test_trainer_learning_rate_is_as_asked_at_first_and_smaller_for_a_base_that_was_frozen(
    frozen: bool, asked: dict[str, float], first: float, build_conv: BuildConv, make_trainer: MakeTrainer
) -> None:
    """Adam's first step is of its learning rate for every weight: on an unfrozen base 1e-3 is ruin."""
    model = build_conv()
    model.layers[0].trainable = not frozen
    trainer = make_trainer(model, epochs=50)
    layer = next(one for one in trainer.model.layers if type(one).__name__ == "Dense")
    before = layer.kernel.numpy()

    class One(trainer.tf_keras.callbacks.Callback):  # type: ignore[misc,name-defined]
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            found.append(np.abs(layer.kernel.numpy() - before).max())
            self.model.stop_training = True

    found: list[float] = []
    trainer.fit(trainer.model, callbacks=[One()], **asked)
    assert found[0] == pytest.approx(first, rel=0.02)


def test_trainer_trains_through_augmentation_in_the_model_where_asked(
    keras: Any, make_trainer: MakeTrainer
) -> None:
    flip = keras.layers.RandomFlip(name="flip")
    layers = [keras.Input((14, 14, 3)), flip, keras.layers.Flatten(), keras.layers.Dense(10, "softmax")]
    model = keras.Sequential(layers)
    kinds = [type(layer).__name__ for layer in make_trainer(model, keep_augmentation=True).model.layers]
    assert "RandomFlip" in kinds
    assert "RandomFlip" not in [type(layer).__name__ for layer in make_trainer(model).model.layers]


def test_trainer_refuses_what_tf_keras_cannot_be_given_by_its_layer(
    keras: Any, make_trainer: MakeTrainer
) -> None:
    image = keras.Input((14, 14, 3))
    rows = keras.layers.Reshape((14, 42))(image)
    read = keras.layers.Bidirectional(keras.layers.LSTM(4), name="reader")(rows)
    model = keras.Model(image, keras.layers.Dense(10, "softmax")(read))
    with pytest.raises(BridgeError, match="'reader'"):
        make_trainer(model)
