"""Small real networks and what turns them into checkpoints, files and scores, in this process."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgewright.export import formats, variants
from edgewright.export.network.model import ONE_IMAGE, FileInterface, Model
from edgewright.export.network.network import Network
from edgewright.runtime import backends
from edgewright.runtime.contract import InputContract, ModelContract
from edgewright.runtime.disk.files import sha256_of
from edgewright.runtime.trust import known
from edgewright.train.checkpoint import CHECKPOINT, MODEL, Checkpoint, DataRecord, scale
from edgewright.train.datasets import Dataset, Images
from edgewright.train.normalization import Normalization
from edgewright.train.stack import import_keras

BuildConv = Callable[..., Any]
MakeCheckpoint = Callable[..., Path]
Convert = Callable[..., dict[str, Path]]
NetworkOf = Callable[..., Network]
Score = Callable[[Path, Images], NDArray[np.float32]]


@pytest.fixture(autouse=True)
def trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """What these tests make, they trust, as `edgewright trust` does: it runs in this process."""
    monkeypatch.setattr(known, "_apart", True)


@pytest.fixture(scope="session")
def network_of() -> NetworkOf:
    """A checkpoint's network, in this process."""

    def call(checkpoint: Path, interface: FileInterface = ONE_IMAGE) -> Network:
        ends = Checkpoint.open(checkpoint).input_range
        return Network(Model.at(checkpoint / MODEL, Normalization.of_range(*ends)), interface)

    return call


@pytest.fixture(scope="session")
def converted() -> Callable[[Network, Images], tuple[bytes, bytes]]:
    """int8 and float32 as TensorFlow's converter makes them, nothing touched."""

    def call(network: Network, calibration: Images) -> tuple[bytes, bytes]:
        import tensorflow as tf

        def converter(function: Any) -> Any:
            concrete = function.get_concrete_function()
            return tf.lite.TFLiteConverter.from_concrete_functions([concrete], network.holder)

        quantizing = converter(network.on_scaled)
        quantizing.optimizations = [tf.lite.Optimize.DEFAULT]
        quantizing.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        quantizing.representative_dataset = lambda: ([network.scaled(i[np.newaxis])] for i in calibration)
        quantizing.inference_input_type = quantizing.inference_output_type = tf.uint8
        return quantizing.convert(), converter(network.on_pixels).convert()

    return call


@pytest.fixture(scope="session")
def keras() -> Any:
    return import_keras()


@pytest.fixture(scope="session")
def colour(fashion_mini: Dataset) -> Dataset:
    """Small RGB images: three pieces of clothing, one a channel."""

    def mixed(images: Images) -> Images:
        few = images[:, ::2, ::2, 0]
        return np.ascontiguousarray(np.stack([few, np.roll(few, 1, 0), np.roll(few, 2, 0)], axis=-1))

    parts = {
        "x_train": mixed(fashion_mini.x_train[:2000]),
        "y_train": fashion_mini.y_train[:2000],
        "x_test": mixed(fashion_mini.x_test[:600]),
        "y_test": fashion_mini.y_test[:600],
    }
    return Dataset(name="colour", source="colour.npz", labels=fashion_mini.labels, **parts)


@pytest.fixture(scope="session")
def build_conv(keras: Any, colour: Dataset) -> BuildConv:
    """A convolutional net, trained for a moment, for any range its pixels may come in."""

    def build(ends: tuple[float, float] = (-1.0, 1.0), activation: str | None = "softmax") -> Any:
        low, high = ends
        factor = 2 / (high - low)
        rescaling = [] if ends == (-1.0, 1.0) else [keras.layers.Rescaling(factor, -1 - low * factor)]
        return keras.Sequential(
            [
                keras.Input(colour.x_train.shape[1:]),
                *rescaling,
                keras.layers.Conv2D(8, 3, strides=2, use_bias=False),
                keras.layers.BatchNormalization(),
                keras.layers.ReLU(),
                keras.layers.Flatten(),
                keras.layers.Dense(64, activation="relu"),
                keras.layers.Dense(10, activation),
            ]
        )

    keras.utils.set_random_seed(0)
    trained = build()
    trained.compile(keras.optimizers.Adam(0.003), "sparse_categorical_crossentropy")
    trained.fit(scale(colour.x_train, (-1.0, 1.0)), colour.y_train, epochs=4, verbose=0)

    def with_weights(ends: tuple[float, float] = (-1.0, 1.0), activation: str | None = "softmax") -> Any:
        model = build(ends, activation)
        model.set_weights(trained.get_weights())
        return model

    return with_weights


@pytest.fixture
def make_checkpoint(tmp_path: Path, write_checkpoint: MakeCheckpoint) -> MakeCheckpoint:
    """Write a checkpoint folder for any Keras model and data set."""
    return partial(write_checkpoint, tmp_path)


@pytest.fixture(scope="session")
def write_checkpoint() -> MakeCheckpoint:
    """As `make_checkpoint`, in a folder that is named first."""

    def make(parent: Path, model: Any, dataset: Dataset, *, name: str = "made", **changes: Any) -> Path:
        folder = parent / name
        folder.mkdir()
        stored = {key: getattr(dataset, key) for key in ("x_train", "y_train", "x_test", "y_test")}
        source = parent / f"{name}-data.npz"
        np.savez(source, **stored, labels=np.array(dataset.labels))
        model.save(folder / MODEL)
        height, width, channels = dataset.x_train.shape[1:]
        checkpoint = Checkpoint(
            recipe="made",
            labels=dataset.labels,
            input=InputContract(height=height, width=width, channels=channels),
            input_range=(0.0, 1.0),
            head="softmax",
            data=DataRecord.of(dataclasses.replace(dataset, source=str(source))),
            validation=0.1,
            seed=0,
            model_sha256=sha256_of(folder / MODEL),
            metrics={},
            training={},
            versions={},
        )
        (folder / CHECKPOINT).write_bytes(dataclasses.replace(checkpoint, **changes).to_bytes())
        return folder

    return make


@pytest.fixture
def convert(tmp_path: Path, network_of: NetworkOf) -> Convert:
    """Export a checkpoint's network to files with contracts, by default all six variants."""

    def call(
        checkpoint: Path, calibration: Images, names: Sequence[str] = (), interface: FileInterface = ONE_IMAGE
    ) -> dict[str, Path]:
        opened = Checkpoint.open(checkpoint)
        network = network_of(checkpoint, interface)
        found = {}
        for variant in [variants.known()[name] for name in names] or variants.defaults():
            path = found[variant.name] = tmp_path / variant.file
            chosen = formats.get(variant.format)
            chosen.export(network, variant.scheme, calibration, path)
            contract = ModelContract(
                name=opened.recipe,
                variant=variant.name,
                input=opened.input,
                labels=opened.labels,
                head=opened.head,
            )
            chosen.attach(path, contract)
        return found

    return call


@pytest.fixture(scope="session")
def score() -> Score:
    """Run images through a file as a device would: the runtime, one by one."""

    def call(path: Path, images: Images) -> NDArray[np.float32]:
        backend = backends.for_path(path)
        session = backend.open(backend.read(path), threads=1)
        return np.concatenate([session.run(image[np.newaxis]) for image in images])

    return call
