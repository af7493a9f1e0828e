"""Killed, or out of room, at any moment: train, export and bench leave nothing half, and the next run ends as
if nothing had been.

`make faults` tries `EDGEWRIGHT_FAULTS` moments of each; the slow tests one.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from edgewright.benchmarks.figures.reliability import rows
from edgewright.runtime.bundle.manifest import Bundle
from edgewright.train.checkpoint import Checkpoint
from edgewright.train.datasets import Dataset

MOMENTS = int(os.environ.get("EDGEWRIGHT_FAULTS", "1"))
FORKING = Path(__file__).with_name("forking.py")
EPOCHS = 3
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="no processes are forked there"),
]


class Server:
    """Runs commands in forks of a process that has imported what they need."""

    def __init__(self, folder: Path, *modules: str) -> None:
        self._folder, self._runs = folder, 0
        self.cache = folder / "cache"
        self._process = subprocess.Popen(
            [sys.executable, str(FORKING), *modules], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._jobs, self._answers = self._process.stdin, self._process.stdout
        assert self._answers.readline() == "ready\n"

    def run(
        self, *words: object, after: float | None = None, tmpfs: tuple[Path, str] | None = None
    ) -> tuple[dict[str, Any], str]:
        """The answer, and what was written to standard error; no process of the run is left."""
        self._runs += 1
        log = self._folder / f"{self._runs}.log"
        job = {"words": [str(word) for word in words], "after": after, "log": str(log)}
        job |= {"cache": str(self.cache), "tmpfs": tmpfs and [str(tmpfs[0]), tmpfs[1]]}
        self._jobs.write(json.dumps(job) + "\n")
        self._jobs.flush()
        answer = json.loads(self._answers.readline())
        end = time.monotonic() + 20
        while _alive(answer["session"]):
            assert time.monotonic() < end, "a process of it goes on"
            time.sleep(0.01)
        return answer, log.read_text(errors="replace")

    def listed(self) -> list[str]:
        """What the last run has left on the disk that was mounted for it."""
        return (self._folder / f"{self._runs}.log.ls").read_text().split("\n")

    def close(self) -> None:
        self._jobs.close()
        self._process.wait()
        self._answers.close()


Serve = Callable[..., Server]


def _alive(session: int) -> bool:
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                return True
        except (psutil.Error, ProcessLookupError):
            continue
    return False


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    with ExitStack() as stack:
        started: dict[tuple[str, ...], Server] = {}

        def call(*modules: str) -> Server:
            if modules not in started:
                started[modules] = Server(tmp_path_factory.mktemp("served"), *modules)
                stack.callback(started[modules].close)
            return started[modules]

        yield call


@pytest.fixture(scope="module")
def training(serve: Serve) -> Server:
    return serve("edgewright.train.fitting.fit", "edgewright.train.stack:import_keras")


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory, fashion_mini: Dataset) -> Path:
    path, parts = tmp_path_factory.mktemp("few") / "few.npz", {"train": 400, "test": 50}
    np.savez(
        path, **{f"{a}_{p}": getattr(fashion_mini, f"{a}_{p}")[:n] for p, n in parts.items() for a in "xy"}
    )
    return path


def moments(seconds: float) -> list[float]:
    return [random.Random(i).uniform(0, seconds) for i in range(MOMENTS)]


def published(command: str, killed: int, began: float) -> None:
    """A row of the published figures: every run ended as if it had not been killed, else none is written."""
    if folder := os.environ.get("EDGEWRIGHT_FAULTS_OUT"):
        counted = {
            "inputs": MOMENTS,
            "accepted": MOMENTS - killed,
            "refused": killed,
            "seconds": round(time.monotonic() - began, 1),
        }
        zero = dict.fromkeys(("crashes", "hangs", "accepted_wrong", "most_bytes", "slowest_seconds"), 0)
        rows.put(Path(folder), [{"attack": f"kill-{command}", **counted, **zero}])


def learned(out: Path) -> tuple[str, ...]:
    """What a training ends with: the history and the weights."""
    Checkpoint.open(out)
    with zipfile.ZipFile(out / "model.keras") as archive:
        parts = archive.read("model.weights.h5"), (out / "history.csv").read_bytes()
    return tuple(hashlib.sha256(part).hexdigest() for part in parts)


def test_train_killed_at_any_moment_is_resumed_to_the_same_result(
    training: Server, few: Path, tmp_path: Path
) -> None:
    words = ("train", "fashion-mlp", "--data", few, "--epochs", EPOCHS, "--out")
    training.run(*words, tmp_path / "first")  # what is loaded once is not timed
    answer, complaints = training.run(*words, tmp_path / "whole")
    assert (answer["status"], complaints) == (0, "")
    began, ended = time.monotonic(), 0
    for i, moment in enumerate(moments(answer["seconds"])):
        folder = tmp_path / f"killed {i}"
        folder.mkdir()
        killed, _ = training.run(*words, folder / "out", after=moment)
        assert killed["status"] in (-9, 0)
        ended += killed["status"] != 0
        if (folder / "out").exists():
            assert learned(folder / "out") == learned(tmp_path / "whole")
        can_resume = (folder / ".out.training/begun.json").exists()
        again, complaints = training.run(*words, folder / "out", "--resume" if can_resume else "--overwrite")
        assert (again["status"], complaints) == (0, ""), f"killed after {moment} s"
        assert learned(folder / "out") == learned(tmp_path / "whole"), f"killed after {moment} s"
        assert [path.name for path in folder.iterdir()] == ["out"], f"killed after {moment} s"
    published("train", ended, began)


def test_export_killed_at_any_moment_leaves_the_old_bundle_or_the_new_and_ends_equal(
    serve: Serve, trained: Path, tmp_path: Path
) -> None:
    server = serve("edgewright.export.exporter")
    words = ("export", trained, "--variants", "tflite-float32", "--overwrite", "--out")
    server.cache = tmp_path / "cache of the whole"
    answer, complaints = server.run(*words, tmp_path / "whole")
    assert (answer["status"], complaints) == (0, "")
    began, ended = time.monotonic(), 0
    for i, moment in enumerate(moments(answer["seconds"])):
        folder = tmp_path / f"killed {i}"
        server.cache = tmp_path / f"cache {i}"
        killed, _ = server.run(*words, folder / "out", after=moment)
        assert killed["status"] in (-9, 0)
        ended += killed["status"] != 0
        if (folder / "out").exists():
            assert files_of(folder / "out") == files_of(tmp_path / "whole")
        again, complaints = server.run(*words, folder / "out")
        assert (again["status"], complaints) == (0, ""), f"killed after {moment} s"
        assert files_of(folder / "out") == files_of(tmp_path / "whole")
        assert [path.name for path in folder.iterdir()] == ["out"], f"killed after {moment} s"
    published("export", ended, began)


def files_of(folder: Path) -> list[str]:
    """The hashes of a bundle's files, which are all right."""
    bundle = Bundle.open(folder)
    for entry in (bundle.manifest.golden, *(variant.file for variant in bundle.manifest.variants)):
        bundle.path(entry)
    return [variant.file.sha256 for variant in bundle.manifest.variants]


def test_bench_killed_at_any_moment_leaves_a_whole_record_or_none(
    serve: Serve, bundle: Path, tmp_path: Path
) -> None:
    server = serve("edgewright.benchmarks.runner")
    words = ("bench", bundle, "--variants", "tflite-int8", "--seconds", 0.1, "--out")
    answer, _ = server.run(*words, tmp_path / "whole/bench.json")
    assert answer["status"] == 0
    began, ended = time.monotonic(), 0
    for i, moment in enumerate(moments(answer["seconds"])):
        out = tmp_path / f"killed {i}" / "bench.json"
        killed, _ = server.run(*words, out, after=moment)
        assert killed["status"] in (-9, 0)
        ended += killed["status"] != 0
        if out.exists():
            json.loads(out.read_bytes())
        assert server.run(*words, out)[0]["status"] == 0, f"killed after {moment} s"
        assert {*json.loads(out.read_bytes())} == {*json.loads((tmp_path / "whole/bench.json").read_bytes())}
    published("bench", ended, began)


only_root = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="only root mounts a disk of its own"
)


@only_root
@pytest.mark.parametrize(
    "command",
    [pytest.param("train", marks=pytest.mark.long), "export", pytest.param("bench", marks=pytest.mark.long)],
)
def test_a_disk_that_fills_up_at_any_write_is_one_line_and_leaves_nothing(
    command: str, serve: Serve, training: Server, few: Path, trained: Path, bundle: Path, tmp_path: Path
) -> None:
    """Disks of rising size, up to one on which all of it fits."""
    words, server = {
        "train": (("train", "fashion-mlp", "--data", few, "--epochs", EPOCHS), training),
        "export": (
            ("export", trained, "--variants", "tflite-float32"),
            serve("edgewright.export.exporter"),
        ),
        "bench": (
            ("bench", bundle, "--variants", "tflite-int8", "--seconds", 0.1),
            serve("edgewright.benchmarks.runner"),
        ),
    }[command]
    needed = {"train": 20_000_000, "export": 60_000_000, "bench": 4_000_000}[command]
    disk = tmp_path / "disk"
    disk.mkdir()
    statuses = []
    for i in range(MOMENTS + 1):
        size = 2**14 + needed * i // MOMENTS
        answer, complaints = server.run(*words, "--out", disk / "out", tmpfs=(disk, f"size={size}"))
        listed = server.listed()
        statuses.append(answer["status"])
        if answer["status"] == 0:
            assert listed == ["out"], size
            continue
        assert answer["status"] == 1, (size, complaints)
        lines = [line for line in complaints.splitlines() if line.startswith("edgewright: ")]
        assert len(lines) == 1, complaints
        assert "Traceback" not in complaints
        assert {*listed} <= {"", ".out.training"}, size
    assert statuses[0] == 1
    assert statuses[-1] == 0


@only_root
@pytest.mark.parametrize("command", ["train", "export", "bench", "compare", "explain", "evaluate", "report"])
def test_a_disk_that_cannot_be_written_is_one_line_before_any_work(
    command: str, serve: Serve, few: Path, trained: Path, bundle: Path, tmp_path: Path
) -> None:
    words: dict[str, tuple[object, ...]] = {
        "train": ("fashion-mlp", "--data", few),
        "export": (trained,),
        "bench": (bundle,),
        "compare": (f"{bundle}:tflite-int8", f"{bundle}:tflite-float32"),
        "explain": (bundle,),
        "evaluate": (bundle, "--data", few),
        "report": (bundle,),
    }
    disk = tmp_path / "disk"
    disk.mkdir()
    suffix = {"train": "", "export": "", "report": ".html"}.get(command, ".json")
    server = serve("edgewright.benchmarks.runner")
    answer, complaints = server.run(
        command, *words[command], "--out", disk / f"out{suffix}", tmpfs=(disk, "ro")
    )
    assert answer["status"] == 1
    assert complaints == f"edgewright: cannot write to {disk}; choose another --out\n"
    assert server.listed() == [""]
