"""The size of a Keras model is that of what it needs to run, whether it was saved as trained or bare."""

from __future__ import annotations

import gzip
import io
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from edgewright.export.network import sizes

SIDE = 32
UNITS = SIDE * SIDE * 16 + 16 + (16 * 16 + 16) + (16 * 3 + 3)  # weights


def network(layers: Any, model: Any, *, compiled: bool) -> Any:
    """A network in a network, both compiled."""
    inner = model.__class__([layers.Input((16,)), layers.Dense(16, name="hidden")], name="inner")
    whole = model.__class__(
        [
            layers.Input((SIDE, SIDE, 1)),
            layers.Flatten(name="flatten"),
            layers.Dense(16, activation="relu", name="optimizer"),  # a layer may be called so
            inner,
            layers.Dense(3, activation="softmax", name="scores"),
        ],
        name="whole",
    )
    if compiled:
        inner.compile("adam", "mse")
        whole.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        whole.fit(np.zeros((4, SIDE, SIDE, 1), np.float32), np.zeros(4), verbose=0)
    return whole


def near(size: int) -> None:
    """Four bytes a weight, and a graph of a few kilobytes."""
    assert 4 * UNITS <= size < 4 * UNITS + 8000


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["keras", "h5"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_sizes_of_a_trained_model_are_those_of_the_bare_one(keras: Any, tmp_path: Path, suffix: str) -> None:
    found = []
    for compiled in (False, True):
        path = tmp_path / f"{compiled}.{suffix}"
        network(keras.layers, keras.Sequential(), compiled=compiled).save(path)
        found.append(sizes.of(path))
        near(found[-1][0])
        assert (path.stat().st_size > 3 * 4 * UNITS) == compiled
    (bare, bare_gzip), (trained, trained_gzip) = found
    assert abs(trained - bare) < 50  # layers are numbered on
    assert abs(trained_gzip - bare_gzip) < bare_gzip / 10  # one step of Adam has changed the weights


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["new", "legacy"])
def test_sizes_of_a_saved_model_leave_the_optimizer_out(
    tmp_path: Path, optimizer: str, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue("keras")  # TensorFlow is set up there
    import tf_keras

    layers = tf_keras.layers
    model = tf_keras.Sequential([layers.Input((SIDE, SIDE, 1)), layers.Flatten(), layers.Dense(16)])
    model.save(tmp_path / "bare", save_format="tf")
    chosen = tf_keras.optimizers if optimizer == "new" else tf_keras.optimizers.legacy
    model.compile(chosen.Adam(), "mse", metrics=["mae"])
    model.fit(np.zeros((4, SIDE, SIDE, 1)), np.zeros((4, 16)), verbose=0)
    model.save(tmp_path / "trained", save_format="tf")
    weights = 4 * (SIDE * SIDE * 16 + 16)
    graphs = []
    for name in ("bare", "trained"):
        folder = tmp_path / name
        graph = sum(f.stat().st_size for f in folder.iterdir() if f.is_file())
        assert sizes.of(folder)[0] == weights + graph
        graphs.append(graph)
    on_disk = sum(f.stat().st_size for f in (tmp_path / "trained").rglob("*") if f.is_file())
    assert on_disk > 3 * weights


def test_sizes_of_what_cannot_be_taken_apart_are_those_of_its_files(tmp_path: Path) -> None:
    path = tmp_path / "model.h5"
    for raw in (b"", b"no model", b"\x89HDF\r\n\x1a\n" + bytes(40)):
        path.write_bytes(raw)
        assert sizes.of(path)[0] == len(raw)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model.weights.h5", b"damaged")
    assert sizes.of(path)[0] == path.stat().st_size
    folder = tmp_path / "saved"
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"x" * 100)
    assert sizes.of(folder) == (100, len(gzip.compress(b"x" * 100)))
    for raw in (b"", b"short", bytes(200), bytes(192) + bytes.fromhex("57fb808b247547db")):
        (folder / "variables" / "variables.index").write_bytes(raw)
        assert sizes.of(folder)[0] == 100 + len(raw)


def test_sizes_cost_no_more_than_the_file_is_large(tmp_path: Path) -> None:
    """A variable that says it has a terabyte, of which the file holds nothing."""
    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        file.create_dataset("layers/dense/vars/0", shape=(2**38,), chunks=(1024,), dtype="float32")
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("model.weights.h5", memory.getvalue())
    assert sizes.of(path)[0] == path.stat().st_size
