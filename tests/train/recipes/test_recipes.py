"""Every recipe learns, on small cuts of the data it is for: the whole takes hours.

The data sets come from $EDGEWRIGHT_DATA, and MobileNetV2's ImageNet weights from the file that
$EDGEWRIGHT_MOBILENETV2 names; without them a recipe is trained on what there is, or not at all.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest

from edgewright.train import datasets, recipe
from edgewright.train.checkpoint import Checkpoint
from edgewright.train.datasets import Dataset
from edgewright.train.fitting.fit import Options, train
from edgewright.train.stack import import_keras

# Training images, epochs, and what the test accuracy must exceed: a share of what was seen. A network
# that has learnt nothing is right on a tenth.
CUTS = {
    "fashion-baseline": (4000, 4, 0.75),
    "fashion-mlp": (4000, 4, 0.75),
    "fashion-cnn": (3000, 10, 0.6),
    "mnist-cnn": (3000, 3, 0.88),
    "mnist-tiny": (3000, 5, 0.8),
    "cifar10-cnn": (3000, 3, 0.3),
    "cifar10-resnet8": (3000, 5, 0.3),
}


def cut(source: str, count: int, tests: int = 1000) -> Dataset:
    """The first training and test images of a data set that lies in $EDGEWRIGHT_DATA."""
    folder = os.environ.get(datasets.DATA_VARIABLE)
    if not folder:
        pytest.skip(f"no ${datasets.DATA_VARIABLE}")
    if not (Path(folder) / f"{source.replace('-', '_')}.npz").is_file():
        pytest.skip(f"no {source} in {folder}")
    whole = datasets.load(source)
    sizes = {"train": count, "test": tests}
    arrays = {f"{a}_{p}": getattr(whole, f"{a}_{p}")[:n] for p, n in sizes.items() for a in "xy"}
    return dataclasses.replace(whole, **arrays)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        name if name in ("fashion-mlp", "cifar10-cnn") else pytest.param(name, marks=pytest.mark.long)
        for name in CUTS
    ],
)
def test_recipe_learns_on_a_cut_of_its_data(name: str, tmp_path: Path) -> None:
    count, epochs, enough = CUTS[name]
    found = recipe.get(name)
    source = "fashion-mnist" if found.data == "fashion-mini" else found.data
    assert source is not None
    # BatchNormalization's moving averages need hundreds of batches, more than a cut has of the usual size.
    found = dataclasses.replace(found, batch_size=min(found.batch_size, 32))
    checkpoint = train(name, found, cut(source, count), Options(out=tmp_path / "out", epochs=epochs))
    assert checkpoint.metrics["test_accuracy"] > enough
    assert Checkpoint.open(tmp_path / "out").recipe == name


@pytest.mark.slow
@pytest.mark.long
def test_mobilenetv2_imagenet_features_tell_digits_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = os.environ.get("EDGEWRIGHT_MOBILENETV2")
    if not weights:
        pytest.skip("no $EDGEWRIGHT_MOBILENETV2")
    data = cut("mnist", 1000, 400)
    monkeypatch.setenv("EDGEWRIGHT_CACHE", str(tmp_path / "cache"))
    options = Options(out=tmp_path / "out", weights=weights)
    found = train("mnist-mobilenetv2", recipe.get("mnist-mobilenetv2"), data, options)
    assert found.metrics["test_accuracy"] > 0.85
    assert found.weights["name"] == Path(weights).name


@pytest.mark.parametrize("name", sorted({*recipe.names()} - {"mnist-mobilenetv2", "photos"}))
def test_recipe_builds_the_network_it_says(name: str) -> None:
    """Those of the large networks are built by tests of their own."""
    found = recipe.get(name)
    assert found.shape is not None
    model = found.build(import_keras(), found.shape, 10)
    assert model.input_shape == (None, *found.shape)
    assert model.output_shape == (None, 10)
    found.optimizer(import_keras(), 100)
    if found.augment is not None:
        random = np.random.default_rng(0)
        images = random.integers(0, 256, (5, *found.shape), dtype=np.uint8)
        changed = found.augment(images, random)
        assert (changed.shape, changed.dtype) == (images.shape, np.uint8)


@pytest.mark.parametrize(
    ("name", "most"),
    [("fashion-cnn", 100_000), ("mnist-tiny", 20_000), ("cifar10-resnet8", 79_000)],
)
def test_recipes_of_small_networks_have_few_parameters(name: str, most: int) -> None:
    found = recipe.get(name)
    assert found.shape is not None
    assert found.build(import_keras(), found.shape, 10).count_params() < most


@pytest.mark.slow
def test_mobilenetv2_takes_grey_digits_and_is_frozen() -> None:
    from edgewright.train.pretrained import Weights

    keras = import_keras()
    model = recipe.get("mnist-mobilenetv2").build(keras, (28, 28, 1), 10, Weights(source="none"))
    assert model.input_shape == (None, 28, 28, 1)
    assert [w.shape for w in model.trainable_weights] == [(1280, 10), (10,)]
    assert model.count_params() == 2_270_794
