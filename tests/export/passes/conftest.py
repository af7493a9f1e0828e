"""A fine-tuning of a moment, of any network of the size of `colour`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from edgewright.export.network.trainer import Examples, Trainer
from edgewright.train import recipe
from edgewright.train.datasets import Dataset
from edgewright.train.normalization import Normalization

MakeTrainer = Callable[[Any], Trainer]


@pytest.fixture
def trained_on(colour: Dataset) -> MakeTrainer:
    def make(model: Any) -> Trainer:
        x, y = colour.x_train, colour.y_train
        return Trainer(
            model,
            recipe=recipe.get("fashion-mlp"),
            head="softmax",
            normalization=Normalization.of_range(-1.0, 1.0),
            examples=Examples(x=x[:600], y=y[:600], x_validation=x[600:800], y_validation=y[600:800]),
            epochs=1,
            seed=0,
        )

    return make
