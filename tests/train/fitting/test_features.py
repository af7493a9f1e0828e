"""A frozen base runs once: the same training as without, and features that are the base's own."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewright.runtime.errors import EdgewrightError
from edgewright.train import recipe
from edgewright.train.checkpoint import scale
from edgewright.train.datasets import Dataset
from edgewright.train.fitting import features
from edgewright.train.fitting.fit import Options, train
from edgewright.train.stack import import_keras

RANGE = (-1.0, 1.0)


@pytest.fixture(autouse=True)
def _cache_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEWRIGHT_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def few(fashion_mini: Dataset) -> Dataset:
    parts = {"train": 400, "test": 100}
    arrays = {f"{a}_{p}": getattr(fashion_mini, f"{a}_{p}")[:n] for p, n in parts.items() for a in "xy"}
    return dataclasses.replace(fashion_mini, name="few", **arrays)


def base_network(keras: Any, shape: tuple[int, int, int]) -> Any:
    """Small, but with what bases have: two branches, BatchNorm with a history, ReLU6."""
    layers = keras.layers
    image = keras.Input(shape)
    x = layers.Conv2D(8, 3, strides=2, padding="same", kernel_initializer=keras.initializers.HeNormal(1))(
        image
    )
    y = layers.DepthwiseConv2D(3, padding="same", depthwise_initializer=keras.initializers.HeNormal(2))(x)
    y = layers.ReLU(6.0)(layers.BatchNormalization()(y))
    found = keras.Model(image, layers.Add()([x, y]), name="base")
    norm = next(layer for layer in found.layers if "batch" in layer.name)
    norm.set_weights([np.full(8, v, np.float32) for v in (1.5, 0.1, -0.2, 0.7)])
    return found


def build(keras: Any, shape: tuple[int, int, int], classes: int) -> Any:
    layers = keras.layers
    image = keras.Input(shape)
    base = base_network(keras, (32, 32, 1))
    base.trainable = False
    x = layers.GlobalAveragePooling2D()(base(layers.Resizing(32, 32)(image)))
    x = layers.BatchNormalization()(x)
    return keras.Model(image, layers.Dense(classes, activation="softmax")(x))


def small(keras: Any, *layers: Any) -> Any:
    """A model of these layers with the base frozen."""
    model = keras.Sequential([keras.Input((28, 28, 1)), *layers])
    for layer in layers:
        if layer.name == "base":
            layer.trainable = False
    return model


FROZEN = dataclasses.replace(
    recipe.get("fashion-mlp"), build=build, epochs=3, patience=None, input_range=RANGE
)


def test_features_divide_makes_the_frozen_base_as_long_as_can_be() -> None:
    keras = import_keras()
    model = build(keras, (28, 28, 1), 10)
    divided = features.divide(keras, model)
    assert divided is not None
    base, head = divided
    assert base.output_shape == (None, 8)
    assert [type(layer).__name__ for layer in head.layers[1:]] == ["BatchNormalization", "Dense"]
    assert not base.trainable_weights
    assert {id(w) for w in head.trainable_weights} == {id(w) for w in model.trainable_weights}
    x = np.random.default_rng(0).uniform(-1, 1, (5, 28, 28, 1)).astype(np.float32)
    head.layers[-1].bias.assign(np.arange(10.0))
    np.testing.assert_allclose(head(base(x)), model(x, training=False), atol=1e-6)


def test_features_divide_takes_a_sequential_model_too() -> None:
    keras = import_keras()
    layers = keras.layers
    model = small(keras, base_network(keras, (28, 28, 1)), layers.Flatten(), layers.Dense(3))
    divided = features.divide(keras, model)
    assert divided is not None
    assert divided[0].output_shape == (None, 14 * 14 * 8)


@pytest.mark.parametrize("where", ["random before", "nothing frozen", "all frozen", "moving averages before"])
def test_features_divide_keeps_nothing_that_changes_from_epoch_to_epoch(where: str) -> None:
    keras = import_keras()
    layers = keras.layers
    base, head = base_network(keras, (28, 28, 1)), [layers.Flatten(), layers.Dense(3)]
    if where == "random before":
        model = small(keras, layers.RandomFlip(), base, *head)
    elif where == "nothing frozen":
        model = small(keras, layers.Rescaling(2.0), *head)
    elif where == "moving averages before":
        model = small(keras, layers.BatchNormalization(scale=False, center=False), base, *head)
    else:
        model = small(keras, base, *head)
        model.trainable = False
    assert features.divide(keras, model) is None


def test_features_divide_leaves_dropout_behind_the_base_in_the_trained_part() -> None:
    keras = import_keras()
    layers = keras.layers
    base = base_network(keras, (28, 28, 1))
    model = small(keras, base, layers.Flatten(), layers.Dropout(0.5), layers.Dense(3))
    divided = features.divide(keras, model)
    assert divided is not None
    assert [type(layer).__name__ for layer in divided[1].layers[1:]] == ["Dropout", "Dense"]


@pytest.mark.slow
def test_features_are_what_keras_gives_and_are_computed_once(
    few: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    keras = import_keras()
    base = base_network(keras, (28, 28, 1))
    found = features.of(base, few.x_test, RANGE)
    expected = base(scale(few.x_test, RANGE), training=False)
    assert found.shape == (100, 14, 14, 8)
    np.testing.assert_allclose(found, expected, atol=1e-5)

    def unwanted(*_: object) -> Any:
        raise AssertionError("computed again")

    monkeypatch.setattr(features, "_compute", unwanted)
    np.testing.assert_array_equal(features.of(base, few.x_test, RANGE), found)
    for other in (few.x_test[:50], few.x_test[::-1]):
        with pytest.raises(AssertionError, match="computed again"):
            features.of(base, other, RANGE)
    with pytest.raises(AssertionError, match="computed again"):
        features.of(base, few.x_test, (0.0, 1.0))
    base.layers[1].bias.assign_add(np.ones(8))
    with pytest.raises(AssertionError, match="computed again"):
        features.of(base, few.x_test, RANGE)


def test_features_that_are_damaged_are_computed_again(
    few: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = base_network(import_keras(), (28, 28, 1))
    found = features.of(base, few.x_test, RANGE)
    (kept,) = (tmp_path / "cache" / "features").iterdir()
    cut = kept.read_bytes()[:1000]
    kept.write_bytes(cut)
    np.testing.assert_array_equal(features.of(base, few.x_test, RANGE), found)
    np.testing.assert_array_equal(np.load(kept).reshape(found.shape), found)

    def again(*_: object) -> Any:
        raise AssertionError("computed again")

    monkeypatch.setattr(features, "_compute", again)
    for damage in (b"", b"\x93NUMPY no array", cut):
        kept.write_bytes(damage)
        with pytest.raises(AssertionError, match="computed again"):
            features.of(base, few.x_test, RANGE)


@pytest.mark.slow
def test_training_on_features_is_training(few: Dataset, tmp_path: Path) -> None:
    quick = train("frozen", FROZEN, few, Options(out=tmp_path / "quick"))
    plain = train("frozen", FROZEN, few, Options(out=tmp_path / "plain", features=False))
    assert (tmp_path / "cache" / "features").is_dir()
    for key, value in plain.metrics.items():
        assert quick.metrics[key] == pytest.approx(value, abs=0.011), key  # one test image is 0.01
    load = import_keras().saving.load_model
    models = [load(tmp_path / way / "model.keras", compile=False) for way in ("quick", "plain")]
    for a, b in zip(models[0].get_weights(), models[1].get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-3)
    base = base_network(import_keras(), (32, 32, 1))
    for a, b in zip(models[0].get_layer("base").get_weights(), base.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
@pytest.mark.long
def test_training_on_features_that_was_cut_off_goes_on_to_the_same_weights(
    few: Dataset, tmp_path: Path
) -> None:
    whole = train("frozen", FROZEN, few, Options(out=tmp_path / "whole"))
    with pytest.raises(RuntimeError, match="killed"), pytest.MonkeyPatch.context() as patch:
        from edgewright.train.fitting import fit

        note = fit._Run.note_epoch

        def stop(self: Any, *given: Any) -> None:
            note(self, *given)
            if len(self.state.history) == 2:
                raise RuntimeError("killed")

        patch.setattr(fit._Run, "note_epoch", stop)
        train("frozen", FROZEN, few, Options(out=tmp_path / "cut"))
    resumed = train("frozen", FROZEN, few, Options(out=tmp_path / "cut", resume=True))
    assert resumed.metrics == whole.metrics


@pytest.mark.slow
def test_features_are_not_kept_for_a_recipe_that_augments_its_images(few: Dataset, tmp_path: Path) -> None:
    changing = dataclasses.replace(FROZEN, augment=lambda images, _: images, epochs=1)
    train("frozen", changing, few, Options(out=tmp_path / "out"))
    assert not (tmp_path / "cache").exists()


def test_features_of_a_base_that_cannot_be_converted_get_one_line(
    few: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    keras = import_keras()
    image = keras.Input((28, 28, 1))
    x = keras.layers.Conv2D(2, 3)(image)
    base = keras.Model(image, keras.ops.erfinv(keras.ops.tanh(x)))
    with pytest.raises(EdgewrightError, match="--no-features") as caught:
        features.of(base, few.x_test, RANGE)
    assert "\n" not in str(caught.value)
