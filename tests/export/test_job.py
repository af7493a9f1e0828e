"""The converting child: what it reports arrives, and its death is one clear line."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest

from edgewright.export import job, variants
from edgewright.export.job import Event
from edgewright.export.network import Network
from edgewright.runtime.contract import ModelContract
from edgewright.runtime.errors import ExportError
from edgewright.train.checkpoint import MODEL, Checkpoint
from edgewright.train.datasets import Dataset


def children() -> list[psutil.Process]:
    """The converting processes this one has started."""
    return [
        process
        for process in psutil.Process().children()
        if process.status() != psutil.STATUS_ZOMBIE and "edgewright.export.convert" in process.cmdline()
    ]


@pytest.fixture
def prepare(tmp_path: Path, fashion_mini: Dataset) -> Callable[[Path], Path]:
    def call(checkpoint: Path) -> Path:
        opened = Checkpoint.open(checkpoint)
        chosen = variants.parse("tflite-float32")
        contract = ModelContract(name="x", variant=chosen[0].name, input=opened.input, labels=opened.labels)
        folder = tmp_path / "job"
        folder.mkdir()
        job.prepare(
            folder, checkpoint, chosen, [contract], fashion_mini.x_train[:20], fashion_mini.x_test[:20]
        )
        return folder

    return call


def test_events_come_in_order_and_the_files_are_there(
    prepare: Callable[[Path], Path], trained: Path, fashion_mini: Dataset
) -> None:
    folder = prepare(trained)
    events = list(job.run(folder))
    assert [(event.kind, event.variant) for event in events] == [
        ("reference", ""),
        ("converted", "tflite-float32"),
    ]
    assert events[1].conversion is not None
    assert events[1].conversion["tool"].startswith("tf.lite.TFLiteConverter ")
    expected = Network(trained, Checkpoint.open(trained)).scores(fashion_mini.x_test[:20])
    np.testing.assert_allclose(np.load(folder / job.REFERENCE), expected, atol=1e-6)
    assert (folder / "tflite-float32.tflite").stat().st_size > 4 * 203_530
    assert children() == []


def test_a_model_keras_cannot_load_is_told_in_one_line(
    prepare: Callable[[Path], Path], checkpoint: Path
) -> None:
    folder = prepare(checkpoint)
    (checkpoint / MODEL).write_bytes(b"no model")
    with pytest.raises(ExportError, match=r"model\.keras is not the model"):
        list(job.run(folder))


def test_a_child_that_fails_is_told_with_its_last_line(
    prepare: Callable[[Path], Path], trained: Path
) -> None:
    folder = prepare(trained)
    (folder / job.TEST).unlink()
    with pytest.raises(ExportError, match=r"ended with status 1: FileNotFoundError.*test\.npy") as failed:
        list(job.run(folder))
    assert "\n" not in str(failed.value)


def test_a_child_that_is_killed_is_told_with_its_status(
    prepare: Callable[[Path], Path], trained: Path
) -> None:
    folder = prepare(trained)
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(list, job.run(folder))
        while not (found := children()):
            assert not running.done()
        found[0].kill()
        with pytest.raises(ExportError, match="ended with status -9"):
            running.result()


def test_a_job_that_is_given_up_takes_its_child_with_it(
    prepare: Callable[[Path], Path], trained: Path
) -> None:
    events = job.run(prepare(trained))
    assert next(events) == Event(kind="reference")
    assert len(children()) == 1
    events.close()  # type: ignore[attr-defined]
    assert children() == []


def test_an_event_survives_the_pipe() -> None:
    event = Event(kind="failed", variant="a", reason="two\nlines, “quoted”", conversion={"a": [1, None]})
    line = event.line()
    assert line.count("\n") == 1
    assert Event(**json.loads(line)) == event
