"""The fastest of what may be chosen is found, with planted engines, and once for real."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewright.benchmarks.compare.measuring import Side
from edgewright.benchmarks.tuning import images, offered, tuner
from edgewright.benchmarks.tuning.candidates import candidates
from edgewright.export.exporter import Result
from edgewright.runtime import backends, load
from edgewright.runtime.backends import Pixels, Scores
from edgewright.runtime.bundle.manifest import Bundle, Manifest
from edgewright.runtime.errors import DataError, EdgewrightError, InputError
from edgewright.runtime.machine import threads, tuned
from edgewright.runtime.verification import read_golden

Run = Callable[..., tuple[int, str, str]]
PICTURE = Path(__file__).resolve().parents[3] / "docs" / "ankle-boot.png"
QUICK = tuner.TuneOptions(rounds=6, turns=2, warmup_seconds=0.0, block_seconds=0.001)
MACHINE = {"litert": 100.0, "ort": 110.0, "openvino": 60.0, "openvino@bf16": 40.0}  # nanoseconds a run


class Planted:
    """A process that gives the recorded scores at once, and takes as long as `speed` says of its engine.

    `wrong` are engines that compute something else, `dies` such as end their process, `rounded` those that
    decide as they should with other scores.
    """

    speed = MACHINE
    wrong: tuple[str, ...] = ()
    dies: tuple[str, ...] = ()
    rounded: tuple[str, ...] = ("openvino@bf16",)
    lots: np.random.Generator

    def __init__(self, side: Side, threads: int, core: int | None = None) -> None:
        assert side.bundle is not None
        assert side.engine is not None
        if side.engine in self.dies:
            raise EdgewrightError("measuring ended with status -11")
        self.engine, self.threads, self.path, self.copies = side.engine, threads, side.path, side.copies
        self.recorded = read_golden(Bundle.open(side.bundle))[side.path.stem]

    def warm(self, seconds: float) -> None: ...

    def kernels(self) -> str:
        return f"planted-{self.engine}"

    def block(self, seconds: float) -> float:
        slower = 1.5 if self.path.stem not in ("tflite-float32", "onnx-float32") else 1.0
        more = 0.95 if self.threads > 1 else 1.0  # not worth it
        return float(self.speed[self.engine] * slower * more / self.copies * self.lots.normal(1, 0.01))

    def peak_bytes(self) -> int:
        return 10**6 * (3 if self.engine.startswith("openvino") else 1) + len(self.path.stem)

    def scores(self, pixels: Pixels, count: int) -> Scores:
        if self.engine in self.wrong:
            return np.full((len(pixels), count), 0.1, np.float32)
        found = np.resize(self.recorded, (len(pixels), count)).astype(np.float32)
        return found * np.float32(0.99) if self.engine in self.rounded else found

    def __enter__(self) -> Planted:
        return self

    def __exit__(self, *unused: object) -> None: ...


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> type[Planted]:
    class Own(Planted):
        lots = np.random.default_rng(0)  # the same noise in each test, whichever ran before

    monkeypatch.setenv("EDGEWRIGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(tuner, "Worker", Own)
    monkeypatch.setattr(offered, "engines", lambda: (list(Own.speed), {}))
    monkeypatch.setattr(threads, "cores", lambda: 2)
    return Own


@pytest.fixture
def pool() -> Pixels:
    return np.zeros((1000, 28, 28, 1), np.uint8)


def chosen(found: tuner.Tuning) -> dict[str, tuple[str, str, int]]:
    return {key: (c.variant, c.engine, c.threads) for key, c in found.record.choices.items()}


@pytest.mark.usefixtures("planted")
def test_tune_takes_the_fastest_exact_engine_and_fewer_bits_only_where_they_have_passed(
    exported: tuple[Path, Result], pool: Pixels
) -> None:
    found = tuner.tune(exported[0], QUICK)
    assert set(chosen(found)) == {"exact"}
    assert chosen(found)["exact"][1:] == ("openvino", 1)
    reduced = [row for row in found.rows if row.candidate.arithmetic == "bf16"]
    assert {row.verdict.status for row in reduced} == {"not proven"}
    assert {row.candidate.entry.arithmetic for row in reduced} == {"float32"}
    found = tuner.tune(exported[0], dataclasses.replace(QUICK, images=pool))
    assert chosen(found)["exact"][1:] == ("openvino", 1)
    assert chosen(found)["bf16"][1:] == ("openvino@bf16", 1)
    (record,) = tuned.every()
    assert record == found.record


def test_tune_does_not_leave_the_fastest_out_for_what_else_ran_at_first_sight(
    planted: type[Planted], exported: tuple[Path, Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks: dict[int, int] = {}
    undisturbed = planted.block

    def disturbed(worker: Planted, seconds: float) -> float:
        blocks[id(worker)] = blocks.get(id(worker), 0) + 1
        busy = worker.engine == "openvino" and blocks[id(worker)] in (1, 2, 3, 5)
        return undisturbed(worker, seconds) * (5 if busy else 1)

    kept: list[Planted] = []  # no number is used twice
    monkeypatch.setattr(planted, "block", disturbed)
    monkeypatch.setattr(planted, "warm", lambda worker, seconds: kept.append(worker))
    found = tuner.tune(exported[0], dataclasses.replace(QUICK, turns=9))
    assert chosen(found)["exact"][1:] == ("openvino", 1)


def test_tune_leaves_out_what_is_wrong_and_what_dies_and_says_so(
    planted: type[Planted], exported: tuple[Path, Result], pool: Pixels
) -> None:
    planted.wrong, planted.dies = ("openvino", "openvino@bf16"), ("ort",)
    found = tuner.tune(exported[0], dataclasses.replace(QUICK, images=pool))
    assert chosen(found) == {"exact": (chosen(found)["exact"][0], "litert", 1)}
    told = {row.candidate.engine: row.verdict for row in reversed(found.rows)}
    assert (told["openvino"].status, told["openvino@bf16"].status) == ("refused", "refused")
    assert (told["ort"].status, told["ort"].reason) == ("failed", "measuring ended with status -11")
    assert all(row.value is None for row in found.rows if row.candidate.engine != "litert")


def test_tune_of_what_nothing_runs_is_refused_and_remembers_nothing(
    planted: type[Planted], exported: tuple[Path, Result]
) -> None:
    planted.dies = tuple(MACHINE)
    with pytest.raises(InputError, match=r"an engine that runs a proven variant .*, got measuring ended"):
        tuner.tune(exported[0], QUICK)
    assert list(tuned.every()) == []


def test_tune_takes_more_threads_where_they_are_worth_it(
    planted: type[Planted], exported: tuple[Path, Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = planted.block
    monkeypatch.setattr(planted, "block", lambda self, s: slow(self, s) / (self.threads * 0.9))
    assert chosen(tuner.tune(exported[0], QUICK))["exact"][1:] == ("openvino", 2)
    one = dataclasses.replace(QUICK, threads=(1,), variants=("onnx-int8",))
    assert chosen(tuner.tune(exported[0], one))["exact"] == ("onnx-int8", "openvino", 1)


def test_tune_takes_the_default_engine_where_another_is_not_shown_to_be_faster(
    planted: type[Planted], exported: tuple[Path, Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planted, "speed", {"litert": 100.0, "openvino": 99.9})
    found = tuner.tune(exported[0], dataclasses.replace(QUICK, variants=("tflite-float32",)))
    assert chosen(found)["exact"] == ("tflite-float32", "litert", 1)


def test_tune_for_memory_and_throughput_measures_these(
    planted: type[Planted], exported: tuple[Path, Result]
) -> None:
    memory = tuner.tune(exported[0], dataclasses.replace(QUICK, purpose="memory"))
    assert chosen(memory)["exact"][1] in ("litert", "ort")
    assert {row.candidate.threads for row in memory.rows} == {1}
    assert memory.record.choices["exact"].value >= 10**6
    most = tuner.tune(exported[0], dataclasses.replace(QUICK, purpose="throughput"))
    assert chosen(most)["exact"][1:] == ("openvino", 1)  # two copies on two cores beat one on two threads
    (record,) = tuned.every()
    assert record.purpose == "throughput"


@pytest.mark.parametrize(
    ("change", "said"),
    [({"purpose": "beauty"}, "latency, throughput, memory"), ({"threads": (3,)}, "expected 1 to 2 threads")],
)
@pytest.mark.usefixtures("planted")
def test_tune_options_that_cannot_be_are_refused(
    exported: tuple[Path, Result], change: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        tuner.tune(exported[0], dataclasses.replace(QUICK, **change))


def test_candidates_are_proven_variants_on_engines_that_read_them(exported: tuple[Path, Result]) -> None:
    found = candidates(Bundle.open(exported[0]), ["litert", "ort", "openvino", "openvino:GPU@f16"], (1, 2))
    pairs = {(one.entry.name, one.engine) for one in found}
    assert ("tflite-int8", "ort") not in pairs
    assert ("tflite-int8", "openvino") in pairs
    assert ("tflite-int8", "openvino:GPU@f16") not in pairs
    assert ("onnx-float32", "openvino:GPU@f16") in pairs
    firsts = {one.entry.name: one for one in reversed(found)}
    assert all(one.by_default for one in firsts.values())
    assert {one.threads for one in found if ":" in one.engine} == {1}


def test_offered_engines_are_those_of_installed_backends(monkeypatch: pytest.MonkeyPatch) -> None:
    found, _ = offered.engines()
    assert found[:2] == ["litert", "ort"]
    assert ("openvino" in found) == backends.get("openvino").available()
    monkeypatch.setattr(type(backends.get("ort")), "available", lambda _: False)
    monkeypatch.setattr(offered, "_asked", lambda name: "cannot be used here: SIGILL")
    assert offered.engines()[0] == []
    assert offered.engines()[1]["ort"] == "not installed: pip install 'edgewright[onnx]'"


def test_images_are_read_from_arrays_and_pictures_and_nothing_else(
    exported: tuple[Path, Result], tmp_path: Path
) -> None:
    manifest: Manifest = Bundle.open(exported[0]).manifest
    np.savez(tmp_path / "pool.npz", x_test=np.zeros((3, 28, 28), np.uint8))
    assert images.read(tmp_path / "pool.npz", manifest).shape == (3, 28, 28, 1)
    (tmp_path / "pool").mkdir()
    (tmp_path / "pool" / "boot.png").write_bytes(PICTURE.read_bytes())
    (tmp_path / "pool" / "broken.png").write_bytes(b"no picture")
    assert images.read(tmp_path / "pool", manifest).shape == (1, 28, 28, 1)
    np.savez(tmp_path / "other.npz", x=np.zeros((3, 9, 9), np.uint8))
    np.savez(tmp_path / "named.npz", y=np.zeros(3, np.uint8))
    for name in ("other.npz", "named.npz", "missing", "missing.npz"):
        with pytest.raises(DataError, match=r"expected|cannot read"):
            images.read(tmp_path / name, manifest)


@pytest.mark.slow
@pytest.mark.usefixtures("two_processes")
def test_tune_command_for_real_is_what_load_then_takes(bundle: Path, run: Run) -> None:
    words = ("tune", bundle, "--variants", "tflite-int8,onnx-float32", "--threads", "1")
    status, out, err = run(*words, "--json")
    assert status == 0, err
    told = json.loads(out)
    taken = told["choices"]["exact"]
    assert {row["engine"] for row in told["rows"]} >= {"litert", "ort"}
    default = [row for row in told["rows"] if row["engine"] in ("litert", "ort")]
    assert {row["status"] for row in default} == {"passed"}
    with load(bundle, engine="fastest") as predictor:
        assert (predictor.contract.variant, predictor.choice and predictor.choice.engine) == (
            taken["variant"],
            taken["engine"],
        )
        assert predictor.predict(PICTURE)[0].label == "Ankle boot"
    status, out, _ = run("bench", bundle, "--variants", "tflite-int8", "--seconds", "0.1")
    assert status == 0
    assert "edgewright tune: fashion-mlp tuned for latency: " in out
