"""Training under tf.distribute: the same data, one model on all workers, clear words when it cannot be."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewright.runtime.errors import BridgeError, InputError
from edgewright.train import recipe
from edgewright.train.checkpoint import Checkpoint
from edgewright.train.datasets import Dataset
from edgewright.train.fitting.distributed import _cluster, share
from edgewright.train.fitting.fit import Options, train
from edgewright.train.stack import import_keras

Run = Callable[..., tuple[int, str, str]]
COMMAND = (sys.executable, "-m", "edgewright.runtime", "train")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, fashion_mini: Dataset) -> Path:
    """350 images, 315 of them to train on: batches of 32 leave one of 27, which two replicas cannot halve."""
    path = tmp_path_factory.mktemp("data") / "few.npz"
    parts = {"train": 350, "test": 60}
    np.savez(
        path, **{f"{a}_{p}": getattr(fashion_mini, f"{a}_{p}")[:n] for p, n in parts.items() for a in "xy"}
    )
    return path


# One process with two CPU devices trains `argv[1]` with a tf.distribute strategy, or with none.
TWO_DEVICES = """
import sys
from edgewright.train.fitting import augment
from edgewright.train import datasets, recipe
from edgewright.train.fitting.fit import Options, train
from edgewright.train.stack import import_keras
from pathlib import Path

keras = import_keras()
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

def build(keras, shape, classes):
    layers = keras.layers
    return keras.Sequential([
        keras.Input(shape),
        layers.Conv2D(4, 3, strides=2, activation="hard_silu", kernel_regularizer="l2"),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dense(classes, activation="softmax"),
    ])

def optimizer(keras, steps):
    from edgewright.train.fitting.schedule import warm_cosine
    return keras.optimizers.AdamW(warm_cosine(keras, steps, 0.01), weight_decay=0.01)

plain = recipe.Recipe(
    summary="no dropout", data="few", shape=(28, 28, 1), build=build, optimizer=optimizer, epochs=20,
    batch_size=32, loss="categorical_crossentropy", patience=2, augment=augment.mirror,
)
strategy, data, out = sys.argv[1:]
options = Options(out=Path(out), seed=3, epochs=4, strategy=strategy if strategy != "none" else None)
train("plain", plain, datasets.load(data), options, say=print)
"""


@pytest.mark.slow
@pytest.mark.long
def test_mirrored_strategy_on_two_devices_gives_the_result_of_one(tmp_path: Path, data: Path) -> None:
    children = [
        subprocess.Popen(
            [sys.executable, "-c", TWO_DEVICES, strategy, data, tmp_path / strategy],
            stdout=subprocess.PIPE,
            text=True,
        )
        for strategy in ("none", "mirrored")
    ]
    said = [child.communicate()[0] for child in children]
    assert [child.returncode for child in children] == [0, 0]
    assert "weights sha256" not in said[0]
    assert re.search(r"^weights sha256 [0-9a-f]{64}$", said[1], re.MULTILINE)
    plain, mirrored = (Checkpoint.open(tmp_path / strategy) for strategy in ("none", "mirrored"))
    assert mirrored.training["replicas"] == 2
    assert {path.name for path in (tmp_path / "none").iterdir()} == {
        path.name for path in (tmp_path / "mirrored").iterdir()
    }
    for name in ("epochs", "best_epoch", "parameters"):
        assert plain.training[name] == mirrored.training[name]
    for key, value in plain.metrics.items():
        assert mirrored.metrics[key] == pytest.approx(value, abs=1e-3), key
    load = import_keras().saving.load_model
    pairs = zip(
        *(load(tmp_path / s / "model.keras", compile=False).get_weights() for s in ("none", "mirrored")),
        strict=True,
    )
    for one, two in pairs:
        np.testing.assert_allclose(two, one, atol=1e-4)


def config(ports: list[int], index: int) -> str:
    workers = [f"127.0.0.1:{port}" for port in ports]
    return json.dumps({"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}})


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [found.getsockname()[1] for found in sockets]
    for found in sockets:
        found.close()
    return ports


def start_workers(folder: Path, *words: object) -> list[subprocess.Popen[str]]:
    ports = free_ports(2)
    return [
        subprocess.Popen(
            [*COMMAND, *map(str, words), "--strategy", "multiworker", "--out", str(folder / "out")],
            env=os.environ | {"TF_CONFIG": config(ports, index)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(2)
    ]


@pytest.mark.slow
def test_multiworker_strategy_of_two_workers_trains_one_model_and_the_chief_writes_it(
    tmp_path: Path, data: Path, complaints: Callable[[str], str]
) -> None:
    workers = start_workers(tmp_path, "mnist-tiny", "--data", data, "--epochs", 2)  # with BatchNormalization
    ends = [worker.communicate(timeout=240) for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], ends
    digests = [re.findall(r"^weights sha256 ([0-9a-f]{64})$", out, re.MULTILINE) for out, _ in ends]
    assert digests[0] == digests[1]
    assert len(digests[0]) == 1
    assert [complaints(err) for _, err in ends] == ["", ""]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    found = Checkpoint.open(tmp_path / "out")
    assert (found.training["strategy"], found.training["workers"]) == ("multiworker", 2)
    assert (found.training["epochs"], found.training["finished"]) == (2, True)
    model = import_keras().saving.load_model(tmp_path / "out/model.keras", compile=False)
    assert model.count_params() == found.training["parameters"] == 18_150


def test_share_of_each_replica_adds_up_to_the_batch() -> None:
    images, labels = np.arange(27)[:, None], np.arange(27) % 5
    for count in (1, 2, 5, 27):
        for replicas in (1, 2, 3, 8):
            parts = [share(images[:count], labels[:count], k, replicas) for k in range(replicas)]
            seen = np.concatenate([part[weights > 0] for part, _, weights in parts])
            np.testing.assert_array_equal(seen, images[:count])
            losses = np.random.default_rng(count).random(27)
            means = [(losses[part[:, 0]] * weights).mean() for part, _, weights in parts]
            assert np.mean(means) == pytest.approx(losses[:count].mean())
            assert all(len(part) == len(some) == len(weights) for part, some, weights in parts)


def test_cluster_chief_is_the_chief_or_the_first_worker() -> None:
    two = {"worker": ["a:1", "b:2"]}
    for cluster, kind, index, expected in [
        (two, "worker", 0, (True, 2)),
        (two, "worker", 1, (False, 2)),
        ({"chief": ["c:3"], **two}, "worker", 0, (False, 3)),
        ({"chief": ["c:3"], **two}, "chief", 0, (True, 3)),
    ]:
        text = json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})
        assert _cluster(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "{}",
        '{"cluster": {"worker": ["a:1"]}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": -1}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": "0"}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": true}}',
        '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": true}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "chief", "index": 0}}',
        '{"cluster": {"worker": ["a:1"], "ps": ["b:1"]}, "task": {"type": "worker", "index": 0}}',
        '{"cluster": {"worker": ["a:1", "a:1"]}, "task": {"type": "worker", "index": 0}}',
        '{"cluster": {"worker": ["a"]}, "task": {"type": "worker", "index": 0}}',
        '{"cluster": {"worker": ["a:b"]}, "task": {"type": "worker", "index": 0}}',
        '{"cluster": {"worker": "a:1"}, "task": {"type": "worker", "index": 0}}',
        '{"cluster": {"worker": []}, "task": {"type": "worker", "index": 0}}',
    ],
)
def test_tf_config_of_a_malformed_cluster_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="expected TF_CONFIG such as"):
        _cluster(text)


@pytest.mark.parametrize("text", [None, "", "{"])
def test_tf_config_of_a_cluster_that_is_not_there_gets_one_line(
    run: Run, tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, text: str | None
) -> None:
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if text is not None:
        monkeypatch.setenv("TF_CONFIG", text)
    words = ("train", "fashion-mlp", "--data", data, "--strategy", "multiworker", "--out", tmp_path / "out")
    status, _, complaints = run(*words)
    assert status == 1
    assert "TF_CONFIG" in complaints
    assert complaints.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_resume_of_a_run_under_a_strategy_is_refused(run: Run, tmp_path: Path, data: Path) -> None:
    words = ("train", "fashion-mlp", "--data", data, "--out", tmp_path / "out", "--resume")
    status, _, complaints = run(*words, "--strategy", "mirrored")
    assert status == 1
    assert "--resume" in complaints
    assert complaints.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_strategy_names_a_network_that_cannot_cross_to_tf_keras_and_writes_nothing(
    tmp_path: Path, fashion_mini: Dataset
) -> None:
    def build(keras: Any, shape: tuple[int, int, int], classes: int) -> Any:
        layers = keras.layers
        odd = layers.RMSNormalization(name="odd")
        return keras.Sequential([keras.Input(shape), odd, layers.Flatten(), layers.Dense(classes, "softmax")])

    found = dataclasses.replace(recipe.get("fashion-baseline"), build=build)
    with pytest.raises(BridgeError, match="'odd'"):
        train("odd", found, fashion_mini, Options(out=tmp_path / "out", strategy="mirrored"))
    assert list(tmp_path.iterdir()) == []


def test_strategy_refuses_an_optimizer_of_keras_3_alone(tmp_path: Path, fashion_mini: Dataset) -> None:
    found = dataclasses.replace(
        recipe.get("fashion-baseline"), optimizer=lambda keras, _: keras.optimizers.Muon()
    )
    with pytest.raises(BridgeError, match="Muon"):
        train("muon", found, fashion_mini, Options(out=tmp_path / "out", strategy="mirrored"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.long
def test_multiworker_strategy_a_worker_that_dies_ends_the_others_and_what_there_is_is_kept(
    tmp_path: Path, complaints: Callable[[str], str]
) -> None:
    workers = start_workers(tmp_path, "fashion-mlp", "--epochs", 30)
    chief, other = workers
    assert chief.stdout is not None
    while "epoch 1/" not in chief.stdout.readline():
        assert chief.poll() is None
    other.kill()
    out, err = chief.communicate(timeout=300)
    err = complaints(err)
    other.communicate()
    assert chief.returncode == 1
    assert err.startswith("edgewright: another worker is gone")
    assert err.count("\n") == 1
    assert "weights sha256" not in out
    assert not Checkpoint.open(tmp_path / "out").training["finished"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
