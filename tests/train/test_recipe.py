"""Recipes: found by their names, and fashion-mlp is the network it says it is."""

from __future__ import annotations

import numpy as np
import pytest

from edgewright.runtime.errors import UnknownNameError
from edgewright.train import recipe
from edgewright.train.stack import import_keras


def test_recipes_are_found_by_their_names() -> None:
    assert "fashion-mlp" in recipe.names()
    assert recipe.get("fashion-mlp").data == "fashion-mini"


def test_an_unknown_recipe_gets_the_nearest_one() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'fashion-mlp'"):
        recipe.get("fashon-mlp")


def test_fashion_mlp_is_one_hidden_layer_of_256() -> None:
    keras = import_keras()
    model = recipe.get("fashion-mlp").build(keras, (28, 28, 1), 10)
    flatten, hidden, dropout, scores = model.layers
    assert [type(layer).__name__ for layer in model.layers] == ["Flatten", "Dense", "Dropout", "Dense"]
    assert (hidden.units, hidden.activation.__name__) == (256, "relu")
    assert 0 < dropout.rate < 1
    assert (scores.units, scores.activation.__name__) == (10, "softmax")
    assert model.count_params() == 28 * 28 * 256 + 256 + 256 * 10 + 10
    assert flatten.output.shape == (None, 784)


def test_fashion_mlp_learns_by_adam_at_two_thousandths_on_pixels_from_0_to_1() -> None:
    found = recipe.get("fashion-mlp")
    optimizer = found.optimizer(import_keras(), 100)
    assert type(optimizer).__name__ == "Adam"
    assert np.isclose(float(optimizer.learning_rate), 0.002)
    assert found.input_range == (0.0, 1.0)


def test_each_training_run_gets_an_optimizer_of_its_own() -> None:
    keras = import_keras()
    found = recipe.get("fashion-mlp")
    assert found.optimizer(keras, 100) is not found.optimizer(keras, 100)
