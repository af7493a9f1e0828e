"""The reference: Keras' own scores with training mode off, whatever layers are inside."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgewright.export import variants
from edgewright.export.exporter import Options, export
from edgewright.export.network.network import Network
from edgewright.export.network.traced import own_words
from edgewright.runtime.errors import CheckpointError, ExportError
from edgewright.train.datasets import Dataset, Images

NetworkOf = Callable[[Path], Network]
MakeCheckpoint = Callable[..., Path]
Convert = Callable[..., dict[str, Path]]
Score = Callable[[Path, Images], NDArray[np.float32]]


def augmented(keras: Any, shape: tuple[int, int, int]) -> Any:
    """Augmentation, resizing and a BatchNormalization far from the statistics of any batch."""
    keras.utils.set_random_seed(2)
    layers = keras.layers
    norm = layers.BatchNormalization()
    model = keras.Sequential(
        [
            keras.Input(shape),
            layers.RandomFlip(),
            layers.RandomRotation(0.2),
            layers.RandomContrast(0.5),
            layers.Resizing(20, 20),
            layers.Conv2D(6, 3, activation="relu"),
            norm,
            layers.Dropout(0.5),
            layers.GlobalAveragePooling2D(),
            layers.Dense(10, activation="softmax"),
        ]
    )
    gamma, beta, mean, variance = norm.get_weights()
    norm.set_weights([gamma * 9, beta + 0.3, mean + 0.1, variance * 0.05])
    return model


def without_training(model: Any, x: Any) -> NDArray[np.float32]:
    """Layer by layer, each told that nothing is trained."""
    for layer in model.layers:
        x = layer(x) if type(layer).__name__ in ("Resizing", "Conv2D", "Dense") else layer(x, training=False)
    return np.asarray(x)


def test_augmentation_leaks_training_mode_into_no_score_and_no_file(
    network_of: NetworkOf,
    keras: Any,
    colour: Dataset,
    make_checkpoint: MakeCheckpoint,
    convert: Convert,
    score: Score,
) -> None:
    model = augmented(keras, colour.x_train.shape[1:])
    folder = make_checkpoint(model, colour)
    few = colour.x_test[:60]
    x = few.astype(np.float32) / 255
    expected = without_training(model, x)
    assert np.abs(np.asarray(model(x, training=True)) - expected).max() > 0.1

    np.testing.assert_allclose(network_of(folder).scores(few), expected, atol=1e-5)
    files = convert(folder, colour.x_train[:60], ["tflite-float32", "onnx-float32"])
    for path in files.values():
        np.testing.assert_allclose(score(path, few), expected, atol=1e-5)


@pytest.mark.parametrize("ends", [(0.0, 1.0), (-1.0, 1.0), (0.0, 255.0)])
def test_network_scores_of_raw_pixels_and_scaled_pixels_are_the_same(
    network_of: NetworkOf,
    ends: tuple[float, float],
    build_conv: Any,
    colour: Dataset,
    make_checkpoint: MakeCheckpoint,
) -> None:
    folder = make_checkpoint(build_conv(ends), colour, input_range=ends)
    network = network_of(folder)
    expected = network.scores(colour.x_test[:300])
    assert expected.shape == (300, 10)
    assert np.mean(expected.argmax(1) == colour.y_test[:300]) > 0.6
    for i in range(5):
        image = colour.x_test[i : i + 1]
        by_pixels = network.on_pixels(image)["scores"].numpy()
        by_scaled = network.on_scaled(network.scaled(image))["scores"].numpy()
        np.testing.assert_allclose(by_pixels[0], expected[i], atol=1e-5)
        np.testing.assert_allclose(by_scaled[0], expected[i], atol=1e-5)


@pytest.mark.slow
def test_network_that_does_not_fit_the_checkpoint_is_refused(
    build_conv: Any, colour: Dataset, make_checkpoint: MakeCheckpoint, tmp_path: Path
) -> None:
    folder = make_checkpoint(build_conv(), colour, labels=tuple("abcdefghijk"))
    options = Options(out=tmp_path / "bundle", variants=variants.parse("tflite-float32"))
    with pytest.raises(CheckpointError, match=r"give 11 labels, got .* and 10"):
        export(folder, options)


def test_network_that_would_run_foreign_code_is_refused_in_one_line(
    network_of: NetworkOf, keras: Any, colour: Dataset, make_checkpoint: MakeCheckpoint
) -> None:
    model = keras.Sequential(
        [
            keras.Input(colour.x_train.shape[1:]),
            keras.layers.Lambda(lambda x: x + 1),
            keras.layers.Flatten(),
            keras.layers.Dense(10),
        ]
    )
    folder = make_checkpoint(model, colour)
    with pytest.raises(ExportError, match=r"layer 'lambda.*' of .*model.keras is a Lambda") as refused:
        network_of(folder)
    assert "\n" not in str(refused.value)


def test_own_words_leave_out_the_way_that_autograph_tells() -> None:
    import tensorflow as tf

    def call(x: Any) -> Any:
        if x.shape[0] != 5:
            raise ExportError("expected five, got others")
        return x

    with pytest.raises(ExportError) as refused:
        tf.function(call).get_concrete_function(tf.TensorSpec((3,)))
    assert "in user code" in str(refused.value)
    assert own_words(refused.value) == "expected five, got others"
    assert own_words(ValueError("two\nlines")) == "two lines"
