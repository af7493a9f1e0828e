"""The converting child: what it reports arrives, and its death is one clear line."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from edgewright.export.network.model import Model
from edgewright.export.network.network import Network
from edgewright.export.work.events import Converted, Event, ReferenceScored
from edgewright.export.work.protocol import REFERENCE, TEST, Child
from edgewright.runtime.contract import ModelContract
from edgewright.runtime.errors import ExportError
from edgewright.train.checkpoint import MODEL, Checkpoint
from edgewright.train.datasets import Dataset
from edgewright.train.normalization import Normalization

NetworkOf = Callable[[Path], Network]
Start = Callable[..., tuple[Path, Generator[Event]]]

_FAILED = r"ended with status 1 while computing the model's own scores: FileNotFoundError.*test\.npy"


def children() -> list[psutil.Process]:
    """The converting processes this one has started."""
    return [
        process
        for process in psutil.Process().children()
        if process.status() != psutil.STATUS_ZOMBIE and "edgewright.export.work.convert" in process.cmdline()
    ]


@pytest.fixture
def start(tmp_path: Path, fashion_mini: Dataset) -> Start:
    """Have a child convert a checkpoint: the folder that its files come to, and its events."""

    def call(child: Child, checkpoint: Path, names: str = "tflite-float32") -> tuple[Path, Generator[Event]]:
        opened = Checkpoint.open(checkpoint)
        contracts = {
            name: ModelContract(name="x", variant=name, input=opened.input, labels=opened.labels)
            for name in names.split(",")
        }
        folder = tmp_path / "job"
        folder.mkdir()
        calibration, test = fashion_mini.x_train[:20], fashion_mini.x_test[:20]
        np.save(folder / TEST, test)
        return folder, child.convert(folder, contracts, calibration, reference=True)

    return call


@pytest.fixture
def child() -> Iterator[Child]:
    with Child() as process:
        yield process


@pytest.fixture
def cold_child(cold: None) -> Iterator[Child]:
    """A process that `children` finds by its command."""
    with Child() as process:
        yield process


def model_of(checkpoint: Path) -> Model:
    return Model.at(checkpoint / MODEL, Normalization.of_range(0.0, 1.0))


@pytest.mark.slow
def test_child_convert_events_come_in_order_and_the_files_are_there(
    network_of: NetworkOf, cold_child: Child, start: Start, trained: Path, fashion_mini: Dataset
) -> None:
    child = cold_child
    facts = child.load(model_of(trained)).facts
    folder, events = start(child, trained)
    assert (facts.shape, facts.classes, facts.head) == ((28, 28, 1), 10, "softmax")
    scored, converted = events
    assert scored == ReferenceScored()
    assert isinstance(converted, Converted)
    assert converted.variant == "tflite-float32"
    assert converted.conversion["tool"].startswith("tf.lite.TFLiteConverter ")
    expected = network_of(trained).scores(fashion_mini.x_test[:20])
    np.testing.assert_allclose(np.load(folder / REFERENCE), expected, atol=1e-6)
    assert (folder / "tflite-float32.tflite").stat().st_size > 4 * 203_530
    assert children() == []


def test_child_load_of_a_model_that_changed_meanwhile_is_told_in_one_line(
    child: Child, checkpoint: Path
) -> None:
    model = model_of(checkpoint)
    model.path.write_bytes(b"no model")
    with pytest.raises(ExportError, match=r"model\.keras is not the file it was"):
        child.load(model)


def test_a_child_that_fails_is_told_with_its_last_line(child: Child, start: Start, trained: Path) -> None:
    child.load(model_of(trained))
    folder, events = start(child, trained)
    (folder / TEST).unlink()
    with pytest.raises(ExportError, match=_FAILED) as failed:
        list(events)
    assert "\n" not in str(failed.value)


def test_a_child_that_is_killed_is_told_with_its_status(cold_child: Child, trained: Path) -> None:
    children()[0].kill()
    with pytest.raises(ExportError, match="ended by SIGKILL while starting; is there enough memory"):
        cold_child.load(model_of(trained))


@pytest.mark.usefixtures("cold")
@pytest.mark.slow
def test_child_process_is_ended_with_a_job_that_is_given_up(start: Start, trained: Path) -> None:
    with Child() as child:
        child.load(model_of(trained))
        folder, events = start(child, trained, "tflite-float32,tflite-int8,onnx-float32,onnx-int8")
        assert next(events) == ReferenceScored()
        assert len(children()) == 1
    assert children() == []
    assert not (folder / "onnx-int8.onnx").exists()
