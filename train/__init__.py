"""Keras models from data: recipes, training, metrics and plots; writes checkpoints that export takes.

    from edgewright.train import Options, get_recipe, load_data, train

    recipe = get_recipe("fashion-mlp")
    checkpoint = train("fashion-mlp", recipe, load_data("fashion-mini"), Options(out=Path("checkpoint")))
    print(checkpoint.metrics["test_accuracy"])

Names are imported when they are first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgewright.runtime import plugins

if TYPE_CHECKING:
    from edgewright.train.checkpoint import Checkpoint
    from edgewright.train.datasets import Dataset
    from edgewright.train.datasets import load as load_data
    from edgewright.train.fitting.fit import Options, train
    from edgewright.train.recipe import Recipe
    from edgewright.train.recipe import named as get_recipe

__all__ = ["Checkpoint", "Dataset", "Options", "Recipe", "get_recipe", "load_data", "train"]

_HOME = {
    "edgewright.train.checkpoint": ("Checkpoint",),
    "edgewright.train.datasets": ("Dataset", "load as load_data"),
    "edgewright.train.fitting.fit": ("Options", "train"),
    "edgewright.train.recipe": ("Recipe", "named as get_recipe"),
}

__getattr__ = plugins.lazy(__name__, _HOME)
