"""Programs that open our files and are not ours, each in an environment of its own, and files for them."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewright.export.exporter import Result
from edgewright.runtime import Bundle
from edgewright.runtime.cli import main
from edgewright.runtime.verification import GOLDEN_INPUTS, read_golden
from edgewright.train.datasets import Dataset, Images
from edgewright.train.stack import import_keras

ROOT = Path(__file__).resolve().parent.parent.parent
HERE = Path(__file__).resolve().parent
PLACE = Path(os.environ.get("EDGEWRIGHT_CLIENTS") or ROOT / ".cache" / "clients")

Answers = dict[str, list[Any]]
Ask = Callable[..., Answers]
Program = Callable[[str], list[str]]


@pytest.fixture
def program() -> Program:
    """How a client's script is run; where it is not installed the test is skipped."""

    def call(name: str) -> list[str]:
        if not (PLACE / name / ".ready").is_file():
            pytest.skip(f"the client '{name}' is not in {PLACE}; install it with: make clients")
        return ["node"] if name == "node" else [str(PLACE / name / "bin" / "python"), "-P"]

    return call


@pytest.fixture
def ask(program: Program) -> Ask:
    """What a client makes of files of a bundle and its golden images, by variant.

    `together` is how many images it is given at once. The scripts lie
    beside this file; they read a job on standard input and write the answers on standard output, both JSON.
    """

    def call(client: str, script: str, bundle: Bundle, variants: list[str], *, together: int = 1) -> Answers:
        inputs = read_golden(bundle)[GOLDEN_INPUTS]
        job = {
            "files": {name: str(bundle.path(bundle.variant(name).file)) for name in variants},
            "batches": [
                inputs[start : start + together].tolist() for start in range(0, len(inputs), together)
            ],
        }
        done = subprocess.run(
            [*program(client), str(HERE / script)],
            input=json.dumps(job),
            env=os.environ | {"NODE_PATH": str(PLACE / "node" / "node_modules")},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        answers: Answers = json.loads(done.stdout)
        assert sorted(answers) == sorted(variants)
        return answers

    return call


@pytest.fixture(scope="session")
def make_bundle(made_once: Callable[..., Any], fashion_mini: Dataset) -> Callable[..., Bundle]:
    """Export a Keras model of its author's own, on images made from `fashion_mini` by `images`, once under
    its name."""

    def call(name: str, model: Callable[[], Any], images: Callable[[Images], Images], *words: str) -> Bundle:
        return Bundle.open(made_once(f"client-{name}", lambda folder: make(folder, model(), images, words)))

    def make(folder: Path, model: Any, images: Callable[[Images], Images], words: Sequence[str]) -> Path:
        model.save(folder / "own.keras")
        x = images(fashion_mini.x_test)
        np.savez(folder / "test.npz", x=x, y=fashion_mini.y_test[: len(x)])
        np.savez(folder / "calibration.npz", x=images(fashion_mini.x_train)[:256])
        (folder / "labels.txt").write_text("\n".join(fashion_mini.labels), encoding="utf-8")
        command = ["export", folder / "own.keras", "--out", folder / "bundle", "--max-drop", "0.05"]
        command += ["--test", folder / "test.npz", "--calibration", folder / "calibration.npz"]
        command += ["--labels", folder / "labels.txt", "--input-range", "0..1", *words]
        assert main([str(word) for word in command]) == 0
        return folder / "bundle"

    return call


def grey(images: Images) -> Images:
    return images


def colour(images: Images) -> Images:
    """Three pieces of clothing on top of each other, one a channel; the first has the label."""
    stacked = [images[..., 0], np.roll(images[..., 0], 1, 0) // 4, np.roll(images[..., 0], 2, 0) // 2]
    return np.ascontiguousarray(np.stack(stacked, axis=-1))


def _network(keras: Any, channels: int, activation: str | None) -> Any:
    """Convolutions, normalization, a branch that is added, pooling, dense layers."""
    layers = keras.layers
    image = keras.Input((28, 28, channels))
    x = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(image)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    branch = layers.DepthwiseConv2D(3, padding="same", activation="relu")(x)
    x = layers.MaxPooling2D()(layers.Add()([x, layers.Conv2D(8, 1)(branch)]))
    x = layers.Dense(32, activation="relu")(layers.Flatten()(x))
    return keras.Model(image, layers.Dense(10, activation)(x))


def _trained(data: Dataset, images: Callable[[Images], Images], activation: str | None = "softmax") -> Any:
    keras = import_keras()
    keras.utils.set_random_seed(0)
    x = images(data.x_train)
    model = _network(keras, x.shape[-1], activation)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=activation is None)
    model.compile(keras.optimizers.Adam(0.003), loss)
    model.fit(x / np.float32(255), data.y_train, epochs=2, verbose=0)
    return model


@pytest.fixture(scope="session")
def colour_model(made_once: Callable[..., Any], fashion_mini: Dataset) -> Callable[[], Any]:
    """What gives the model that is trained once."""

    def make(folder: Path) -> Path:
        _trained(fashion_mini, colour).save(folder / "colour.keras")
        return folder / "colour.keras"

    return lambda: import_keras().saving.load_model(made_once("client-model", make))


@pytest.fixture(scope="session")
def grey_mlp(exported: tuple[Path, Result]) -> Bundle:
    return Bundle.open(exported[0])


@pytest.fixture(scope="session")
def grey_cnn(fashion_mini: Dataset, make_bundle: Callable[..., Bundle]) -> Bundle:
    """Gives logits: a softmax behind them makes much of one step of 8 bits."""
    return make_bundle("grey", lambda: _trained(fashion_mini, grey, activation=None), grey)


@pytest.fixture(scope="session")
def colour_cnn(colour_model: Any, make_bundle: Callable[..., Bundle]) -> Bundle:
    return make_bundle("colour", colour_model, colour)


@pytest.fixture(scope="session")
def dynamic(colour_model: Any, make_bundle: Callable[..., Bundle]) -> Bundle:
    """Files that take any number of images at once."""
    words = ("--batch", "dynamic", "--variants", "onnx-float32,onnx-int8")
    return make_bundle("dynamic", colour_model, colour, *words)


@pytest.fixture(scope="session")
def floats(colour_model: Any, make_bundle: Callable[..., Bundle]) -> Bundle:
    """Files that take raw pixels as floats."""
    names = "tflite-float32,tflite-int8,tflite-weight-int8,onnx-float32"
    return make_bundle("floats", colour_model, colour, "--io", "float32", "--variants", names)
