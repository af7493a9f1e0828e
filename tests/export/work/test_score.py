"""Scoring in worker processes: every image once, in order, and no worker's end goes unnoticed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
from numpy.typing import NDArray

from edgewright.export.exporter import Result
from edgewright.export.work.score import scorer
from edgewright.runtime.errors import EdgewrightError, ModelFileError
from edgewright.train.datasets import Dataset, Images

Score = Callable[[Path, Images], NDArray[np.float32]]


@pytest.mark.parametrize("count", [1, 2, 101])
def test_scorer_scores_come_in_the_order_of_the_images(
    exported: tuple[Path, Result], fashion_mini: Dataset, tmp_path: Path, score: Score, count: int
) -> None:
    images = fashion_mini.x_test[:count]
    np.save(tmp_path / "test.npy", images)
    files = [exported[0] / name for name in ("tflite-int8.tflite", "onnx-float32.onnx")]
    with scorer(tmp_path / "test.npy") as workers:
        pending = [workers.submit(file) for file in files]
        found = [wait() for wait in pending]
    for file, scored in zip(files, found, strict=True):
        np.testing.assert_array_equal(scored.scores, score(file, images))
    assert found[0].kernels == "xnnpack"
    assert found[0].output.scale > 0
    assert found[1].output.scale == 0


def test_scorer_refuses_a_damaged_file_as_a_device_does(
    bundle: Path, fashion_mini: Dataset, tmp_path: Path
) -> None:
    np.save(tmp_path / "test.npy", fashion_mini.x_test[:10])
    path = bundle / "tflite-float32.tflite"
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    with scorer(tmp_path / "test.npy") as workers, pytest.raises(ModelFileError, match="is damaged"):
        workers.submit(path)()


@pytest.mark.usefixtures("cold")
def test_scorer_workers_that_die_are_told_as_an_error_of_ours(
    exported: tuple[Path, Result], fashion_mini: Dataset, tmp_path: Path
) -> None:
    np.save(tmp_path / "test.npy", fashion_mini.x_test)
    with scorer(tmp_path / "test.npy") as workers:
        wait = workers.submit(exported[0] / "onnx-float32.onnx")
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if "edgewright.export.work.score" in " ".join(process.cmdline()):
                    process.kill()
        with pytest.raises(EdgewrightError, match=r"scoring|worker|process"):
            wait()
        again = workers.submit(exported[0] / "tflite-int8.tflite", np.arange(10))()
        assert again.scores.shape == (10, 10)  # the next file is scored all the same
