"""What recipes were chosen over is trained by name, and judged on validation images alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgewright.benchmarks.figures import render
from edgewright.benchmarks.figures.choices import CHOICES
from edgewright.benchmarks.figures.choices import __main__ as choices
from edgewright.benchmarks.figures.pedigree import code, kinds
from edgewright.benchmarks.figures.pedigree.made import stamp
from edgewright.runtime.errors import InputError
from edgewright.train import recipe as recipes
from edgewright.train.stack import import_keras

OTHER = {own: other for own, _, _, other in CHOICES}


def checkpoint(folder: Path, recipe: str, seed: int, accuracy: float, *, made: bool = True) -> Path:
    folder.mkdir(parents=True)
    told = {
        "recipe": recipe,
        "seed": seed,
        "training": {"epochs": 5},
        "metrics": {"validation_accuracy": accuracy, "validation_loss": 0.5, "test_accuracy": 0.123},
        "data": {"sha256": "ab"},
        "versions": {"keras": "3"},
    }
    (folder / "checkpoint.json").write_text(json.dumps({"schema_version": 1, **told}), encoding="utf-8")
    if made:
        stamp(f"train:{recipe}", folder, code.now(kinds.part("train", {"recipe": recipe})))
    return folder


@pytest.mark.slow
def test_choices_differ_from_their_recipes_in_what_was_chosen_alone() -> None:
    keras = import_keras()
    own, other = recipes.get("mnist-cnn"), recipes.named(OTHER["mnist-cnn"])
    built = [one.build(keras, (28, 28, 1), 10) for one in (own, other)]
    kinds_of = [[type(layer).__name__ for layer in model.layers] for model in built]
    assert "Dropout" in kinds_of[0]
    assert kinds_of[1] == [kind for kind in kinds_of[0] if kind != "Dropout"]
    assert built[0].count_params() == built[1].count_params()
    own, other = recipes.get("cifar10-cnn"), recipes.named(OTHER["cifar10-cnn"])
    rates = [one.optimizer(keras, 100).get_config()["learning_rate"] for one in (own, other)]
    assert rates[0]["class_name"] == "CosineDecay" and rates[1] == pytest.approx(0.001)
    assert (own.build, own.epochs) == (other.build, other.epochs)


def test_choices_are_collected_by_seed_without_a_word_of_test_images(tmp_path: Path) -> None:
    out = tmp_path / "results"
    out.mkdir()
    other = OTHER["mnist-cnn"]
    words = [str(checkpoint(tmp_path / f"own.{seed}", "mnist-cnn", seed, 0.99)) for seed in (0, 1)]
    assert choices.main([*words, "--out", str(out)]) == 0
    words = [str(checkpoint(tmp_path / "other", other, 0, 0.98))]
    words += [str(checkpoint(tmp_path / "anew", "mnist-cnn", 1, 0.97))]
    assert choices.main([*words, "--out", str(out)]) == 0
    rows = json.loads((out / "choices.json").read_text(encoding="utf-8"))["rows"]
    told = [(row["recipe"], row["seed"], row["validation_accuracy"]) for row in rows]
    assert told == [("mnist-cnn", 0, 0.99), (other, 0, 0.98), ("mnist-cnn", 1, 0.97)]
    assert all(row["of"] == "mnist-cnn" and row["code"] for row in rows)
    assert "0.123" not in (out / "choices.json").read_text(encoding="utf-8")
    page = render.render("<!-- table: choices -->\n<!-- end -->", out)
    assert "| 0.9800 (0.9700 to 0.9900) | none | 0.9800 | 2 and 1 |" in page


@pytest.mark.parametrize(
    ("recipe", "made", "says"),
    [
        ("fashion-mlp", True, r"expected a checkpoint of one of mnist-cnn, .*, got fashion-mlp"),
        ("mnist-cnn", False, r"made to say which code made it, got none"),
    ],
)
def test_choices_refuse_other_recipes_and_checkpoints_of_code_that_nobody_knows(
    tmp_path: Path, recipe: str, made: bool, says: str
) -> None:
    folder = checkpoint(tmp_path / "one", recipe, 0, 0.9, made=made)
    with pytest.raises(InputError, match=says):
        choices.main([str(folder), "--out", str(tmp_path)])
    assert not (tmp_path / "choices.json").exists()
