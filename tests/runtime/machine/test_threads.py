"""`threads="auto"` is measured once, remembered in the cache, and survives whatever the cache holds."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from edgewright.export.exporter import Result
from edgewright.runtime import load
from edgewright.runtime.backends import Pixels, Scores, Session
from edgewright.runtime.contract import TensorSpec
from edgewright.runtime.machine import threads

SHA = "a" * 64


class Clock:
    """Time that passes only while a `Sleeper` sleeps."""

    now = 0.0


class Sleeper:
    """A session that takes as long as it is told."""

    kernels = "none"
    input = TensorSpec(name="image", shape=(-1, 2, 2, 1), dtype="uint8")
    output = TensorSpec(name="scores", shape=(-1, 2), dtype="float32")

    def __init__(self, seconds: float) -> None:
        self.seconds, self.closed = seconds, False

    def run(self, pixels: Pixels) -> Scores:
        assert pixels.shape == (1, 2, 2, 1)
        Clock.now += self.seconds
        return np.zeros((1, 2), np.float32)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGEWRIGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(threads, "cores", lambda: 4)
    return tmp_path / "cache" / "threads"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "time", SimpleNamespace(perf_counter=lambda: Clock.now))


def choose(milliseconds: dict[int, float]) -> tuple[int, list[int]]:
    opened: list[tuple[int, Sleeper]] = []

    def open_with(count: int) -> Session:
        opened.append((count, Sleeper(milliseconds[count] / 1000)))
        return opened[-1][1]

    chosen = threads.choose(SHA, "test", open_with)
    assert all(session.closed for _, session in opened)
    return chosen, [count for count, _ in opened]


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize(
    ("milliseconds", "best"),
    [({1: 8, 2: 4, 4: 2}, 4), ({1: 4, 2: 2, 4: 8}, 2), ({1: 2, 2: 8, 4: 8}, 1)],
)
def test_threads_auto_measures_the_fastest_once(
    cache: Path, milliseconds: dict[int, float], best: int
) -> None:
    assert choose(milliseconds) == (best, [1, 2, 4])
    assert choose(milliseconds) == (best, [])


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("text", ["", "many", "0", "5", "-1"])
def test_threads_auto_measures_again_what_makes_no_sense_in_the_cache(cache: Path, text: str) -> None:
    fast = {1: 1.0, 2: 9.0, 4: 9.0}
    choose(fast)
    (kept,) = cache.iterdir()
    kept.write_text(text)
    assert choose(fast) == (1, [1, 2, 4])
    assert kept.read_text() == "1"


@pytest.mark.usefixtures("clock")
def test_threads_auto_does_without_a_cache_that_cannot_be_written(cache: Path) -> None:
    cache.parent.write_text("a file where a folder should be")
    assert choose({1: 1, 2: 9, 4: 9}) == (1, [1, 2, 4])


@pytest.mark.parametrize("variant", ["tflite-int8", "onnx-int8"])
def test_threads_auto_opens_a_model_and_the_bundle_stays_as_it_is(
    cache: Path, exported: tuple[Path, Result], picture: Path, variant: str
) -> None:
    before = sorted(exported[0].iterdir())
    with load(exported[0], variant=variant, threads="auto") as predictor:
        assert predictor.predict(picture)[0].label == "Ankle boot"
    assert len(list(cache.iterdir())) == 1
    assert sorted(exported[0].iterdir()) == before
