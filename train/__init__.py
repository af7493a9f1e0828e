"""Keras models from data: recipes, training, metrics and plots; writes checkpoints that export takes.

    from edgewright.train import Options, get_recipe, load_data, train

    recipe = get_recipe("fashion-mlp")
    checkpoint = train("fashion-mlp", recipe, load_data("fashion-mini"), Options(out=Path("checkpoint")))
    print(checkpoint.metrics["test_accuracy"])

Names are imported when they are first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgewright.train.checkpoint import Checkpoint
    from edgewright.train.datasets import Dataset
    from edgewright.train.datasets import load as load_data
    from edgewright.train.fitting.fit import Options, train
    from edgewright.train.recipe import Recipe
    from edgewright.train.recipe import named as get_recipe

__all__ = ["Checkpoint", "Dataset", "Options", "Recipe", "get_recipe", "load_data", "train"]

_HOME = {
    "Checkpoint": ("checkpoint", "Checkpoint"),
    "Dataset": ("datasets", "Dataset"),
    "Options": ("fitting.fit", "Options"),
    "Recipe": ("recipe", "Recipe"),
    "get_recipe": ("recipe", "named"),
    "load_data": ("datasets", "load"),
    "train": ("fitting.fit", "train"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, own_name = _HOME[name]
    return getattr(import_module(f"{__name__}.{module}"), own_name)
