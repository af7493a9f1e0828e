"""Pruning removes what a layer needs least, and what is left is trained on with the zeros where they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edgewright.export.network.layers import one_by_one, rows, weighted
from edgewright.export.network.trainer import Trainer
from edgewright.export.passes import prune
from edgewright.export.weights import pruning
from edgewright.train.datasets import Dataset

MakeTrainer = Callable[[Any], Trainer]


@pytest.fixture
def network(keras: Any, colour: Dataset) -> Any:
    """Of each kind one: a bias or none, strides, groups, a layer in two places, few places and many."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    image = keras.Input(colour.x_train.shape[1:])
    values = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False, name="first")(image)
    values = layers.ReLU()(layers.BatchNormalization()(values))
    shared = layers.Conv2D(8, 3, padding="same", activation="relu", name="shared")
    values = layers.Conv2D(16, 3, groups=2, activation="relu", name="groups")(shared(shared(values)))
    values = layers.Dense(24, activation="relu", name="dense")(layers.GlobalAveragePooling2D()(values))
    return keras.Model(image, layers.Dense(10, activation="softmax", name="last")(values))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["prune80", "prune2x4"])
def test_prune_removes_of_every_layer_and_zeros_stay_while_it_is_trained(
    network: Any, trained_on: MakeTrainer, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = trained_on(network)
    fit = trainer.fit  # a moment of training may make nothing better
    monkeypatch.setattr(trainer, "fit", lambda model, **how: fit(model, **{**how, "as_it_is": False}))
    trained = prune.PASS.apply(name, trainer)
    kernels = {layer.name: layer.kernel.numpy() for layer in weighted(trained)}
    assert [*kernels] == ["first", "shared", "groups", "dense"]
    for layer, kernel in kernels.items():
        # of three channels of a colour picture two stay
        assert (kernel == 0).mean() >= {"prune80": 0.8, "prune2x4": 0.33 if layer == "first" else 0.5}[name]
    assert trained.get_layer("last").kernel.numpy().all()
    assert trainer.record["best_epoch"] == 1


@pytest.mark.slow
def test_prune_before_training_changes_scores_less_than_the_smallest_weights_at_zero(
    network: Any, colour: Dataset, trained_on: MakeTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = colour.x_train[800:]
    off = []
    for has_moments in (True, False):
        trainer = trained_on(network)
        monkeypatch.setattr(trainer, "fit", lambda *_, **__: None)
        if not has_moments:
            monkeypatch.setattr(prune, "one_by_one", lambda _, layers: ((layer, None) for layer in layers))
        pruned = prune.PASS.apply("prune50", trainer)
        exact, found = (
            model(trainer.normalization.apply(images)).numpy() for model in (trainer.copy(), pruned)
        )
        off.append(float(np.square(found - exact).mean()))
    assert off[0] < off[1] / 2


@pytest.mark.slow
def test_one_by_one_sees_what_was_made_of_the_layers_in_front(network: Any, trained_on: MakeTrainer) -> None:
    trainer = trained_on(network)
    has_moments = {}
    for layer, moments in one_by_one(trainer, weighted(trainer.model)):
        has_moments[layer.name] = moments is not None
        if layer.name == "first":
            assert moments is not None
            np.testing.assert_array_equal(moments.exact, moments.given)
            found = pruning.by_share(rows(layer), moments, 0.9, has_bias=False)
            layer.kernel.assign(found.weights.T.reshape(layer.kernel.shape))
        elif layer.name == "dense":
            assert moments is not None and np.abs(moments.exact - moments.given).max() > 1e-3
    assert has_moments == {"first": True, "shared": False, "groups": False, "dense": True}
