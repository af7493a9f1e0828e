"""Recipes: found by their names, and fashion-mlp is the network it says it is."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgewright.runtime.errors import UnknownNameError
from edgewright.train import recipe
from edgewright.train.checkpoint import Checkpoint
from edgewright.train.datasets import Dataset
from edgewright.train.stack import import_keras

Run = Callable[..., tuple[int, str, str]]


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


def test_recipe_gives_each_training_run_an_optimizer_of_its_own() -> None:
    keras = import_keras()
    found = recipe.get("fashion-mlp")
    assert found.optimizer(keras, 100) is not found.optimizer(keras, 100)


OWN = """
from edgewright.train.recipe import Recipe
import helper_of_mine

def build(keras, shape, classes):
    import another_of_mine
    image = keras.Input(shape)
    return keras.Model(image, keras.layers.Dense(classes)(keras.layers.Flatten()(image)))

def wrong(keras, shape, classes):
    return build(keras, shape, classes + 1)

def none(keras, shape, classes):
    return None

def broken(keras, shape, classes):
    raise RuntimeError("two\\nlines")

RECIPE = Recipe(
    summary="mine", build=build, optimizer=lambda keras, _: keras.optimizers.SGD(0.1), epochs=1,
    batch_size=50, data="fashion-mini",
)
NUMBER = 7
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fashion_mini: Dataset) -> Path:
    """A working folder with a module and a small data set of the user's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "models_of_mine.py").write_text(OWN)
    for name in ("helper", "another"):
        (tmp_path / f"{name}_of_mine.py").write_text("")
    np.savez(
        tmp_path / "few.npz",
        x_train=fashion_mini.x_train[:200],
        y_train=fashion_mini.y_train[:200],
        x_test=fashion_mini.x_test[:100],
        y_test=fashion_mini.y_test[:100],
    )
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("name", [pytest.param("build", marks=pytest.mark.slow), "RECIPE"])
def test_train_model_option_trains_a_model_of_ones_own(run: Run, own: Path, name: str) -> None:
    model = f"models_of_mine:{name}"
    status, said, complaints = run(
        "train", "--model", model, "--data", "few.npz", "--epochs", 1, "--out", "out"
    )
    assert (status, complaints) == (0, "")
    assert said.startswith(f"{model} (")
    found = Checkpoint.open(own / "out")
    assert (found.recipe, found.head) == (model, "logits")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--model", "models_of_mine:build"], "add --data"),
        (["fashion-mlp", "--model", "models_of_mine:build"], "one of the two"),
        ([], "one of the two"),
        (["--model", "models_of_mine"], "package.module:build"),
        (["--model", "absent_module:build", "--data", "few.npz"], "No module named 'absent_module'"),
        (["--model", "models_of_mine:absent", "--data", "few.npz"], "has no attribute 'absent'"),
        (["--model", "models_of_mine:NUMBER", "--data", "few.npz"], "got a int"),
        (["--model", "models_of_mine:none", "--data", "few.npz"], "got a NoneType"),
        (["--model", "models_of_mine:broken", "--data", "few.npz"], "RuntimeError: two lines"),
        (["--model", "models_of_mine:wrong", "--data", "few.npz"], "got (None, 28, 28, 1) to (None, 11)"),
        (["--model", "models_of_mine:build", "--data", "few.npz", "--weights", "none"], "--weights"),
    ],
)
def test_train_model_option_that_is_no_model_gets_one_line(
    run: Run, own: Path, words: list[str], says: str
) -> None:
    before = sorted(own.iterdir())
    status, _, complaints = run("train", *words, "--out", "out")
    assert status == 1
    assert says in complaints
    assert complaints.count("\n") == 1
    assert [path for path in sorted(own.iterdir()) if path.name != "__pycache__"] == before
