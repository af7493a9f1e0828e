"""`compare` tells a difference that is there, and none that is not: shown with noise that is drawn."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgewright.benchmarks.compare import comparison as compare
from edgewright.benchmarks.compare import measuring
from edgewright.benchmarks.figures.error_rates import comparisons
from edgewright.export.exporter import Result
from edgewright.runtime.errors import BundleError, EdgewrightError, InputError, UnknownNameError
from edgewright.runtime.machine.child import ChildProcess

Run = Callable[..., tuple[int, str, str]]
TINY = compare.Design(pairs=3, turns=2, block_seconds=0.001, warmup_seconds=0.01)


@pytest.mark.parametrize("machine", comparisons.MACHINES)
def test_compare_finds_a_model_as_fast_as_itself_95_times_in_100(machine: str) -> None:
    assert comparisons.simulated(machine, 0.0, 1000) < 0.02


@pytest.mark.parametrize("machine", comparisons.MACHINES)
def test_compare_finds_a_slow_down_of_5_percent_90_times_in_100(machine: str) -> None:
    assert comparisons.simulated(machine, 0.05, 1000) >= 0.9


def test_compare_interval_holds_the_true_ratio_99_times_in_100() -> None:
    random, plan = np.random.default_rng(1), compare.Design()
    noise = comparisons.MACHINES["drifting"]
    found = [compare.summarise(comparisons.simulate(noise, 0.05, plan, random)).ratio for _ in range(600)]
    assert np.mean([one.low <= 1.05 <= one.high for one in found]) >= 0.98


def test_summarise_drift_that_is_the_same_for_both_as_no_difference() -> None:
    level = np.linspace(1e5, 3e5, 12 * 12).reshape(12, 12, 1)
    found = compare.summarise(np.concatenate([level, level * 1.05], axis=2))
    assert found.ratio.value == pytest.approx(1.05)
    assert found.ratio.low == pytest.approx(found.ratio.high)
    assert found.verdict() == "B is 5.0% slower [5.0%, 5.0%]"


def test_summarise_makes_no_verdict_of_a_process_that_lies_badly_in_memory() -> None:
    """One pair of twelve in which B took twice the time, in all of its blocks."""
    blocks = np.full((12, 12, 2), 1e5) * np.random.default_rng(0).normal(1, 0.01, (12, 12, 2))
    blocks[3, :, 1] *= 2
    assert not compare.summarise(blocks).differs


@pytest.mark.parametrize(
    ("b_ns", "says"),
    [(2e5, "B is 100.0% slower ["), (0.5e5, "B is 50.0% faster ["), (1e5, "no difference: B takes ")],
)
def test_comparison_verdict_in_words(b_ns: float, says: str) -> None:
    blocks = np.full((12, 4, 2), [1e5, b_ns])
    blocks[:, :, 1] *= np.linspace(0.9999, 1.0001, 12)[:, None]
    assert compare.summarise(blocks).verdict().startswith(says)


def test_comparison_verdict_has_the_smaller_end_of_the_interval_first() -> None:
    blocks = np.full((12, 4, 2), [1e5, 0.9e5])
    blocks[:, :, 1] *= np.linspace(0.98, 1.02, 12)[:, None]
    low, high = compare.summarise(blocks).verdict().split("[")[1].rstrip("]").split(", ")
    assert float(low.rstrip("%")) < 10 < float(high.rstrip("%"))


def test_compare_side_is_a_variant_a_bundle_or_a_file(exported: tuple[Path, Result]) -> None:
    folder = exported[0]
    assert compare.side(f"{folder}:onnx-int8").path == folder / "onnx-int8.onnx"
    assert compare.side(str(folder)).name == "fashion-mlp:tflite-int8"
    lone = compare.side(str(folder / "tflite-int8.tflite"))
    assert (lone.name, lone.bundle) == ("tflite-int8.tflite", None)


@pytest.mark.parametrize(
    ("word", "error", "says"),
    [
        ("{0}:tflite-int88", UnknownNameError, "did you mean 'tflite-int8'"),
        ("{0}/absent.tflite", InputError, "expected BUNDLE:VARIANT, a bundle folder or a model file, got"),
        ("absent:tflite-int8", InputError, "got 'absent:tflite-int8'"),
        ("{0}/..", BundleError, "expected a bundle"),
    ],
)
def test_compare_side_of_a_word_that_means_nothing_is_refused(
    exported: tuple[Path, Result], word: str, error: type[EdgewrightError], says: str
) -> None:
    with pytest.raises(error) as refused:
        compare.side(word.format(exported[0]))
    assert says in str(refused.value)


def test_compare_runs_both_in_turn_in_processes_of_their_own(exported: tuple[Path, Result]) -> None:
    a = compare.side(f"{exported[0]}:tflite-int8")
    b = dataclasses.replace(compare.side(str(exported[0] / "onnx-float32.onnx")), slow_down=4.0)
    pairs = []
    found = compare.compare(a, b, TINY, done=lambda: pairs.append(1))
    assert len(pairs) == 3
    assert np.shape(found.blocks_ns) == (3, 2, 2)
    assert found.ratio.value > 2  # five times as long, and slower to begin with
    assert "a lone file has no images: it ran on noise (the most of 3)" in found.notes


def test_compare_with_the_same_side_twice_is_two_processes(exported: tuple[Path, Result]) -> None:
    same = compare.side(f"{exported[0]}:tflite-int8")
    assert np.shape(compare.compare(same, same, dataclasses.replace(TINY, pairs=1)).blocks_ns) == (1, 2, 2)


@pytest.mark.parametrize("file", ["tflite-int8.tflite", "onnx-float32.onnx"])
def test_compare_times_a_file_without_a_contract_too(bundle: Path, file: str) -> None:
    ours = bundle / file
    ours.write_bytes(ours.read_bytes().replace(b"edgewright", b"someoneels"))
    found = compare.compare(
        compare.side(str(ours)), compare.side(str(ours)), dataclasses.replace(TINY, pairs=1)
    )
    assert found.a_ns > 0


def test_compare_names_a_file_that_cannot_be_run(bundle: Path) -> None:
    broken = compare.side(str(bundle / "tflite-int8.tflite"))
    broken.path.write_bytes(broken.path.read_bytes()[:2000])
    with pytest.raises(EdgewrightError) as refused:
        compare.compare(broken, broken, TINY)
    assert "tflite-int8.tflite" in str(refused.value)
    assert not str(refused.value).startswith("edgewright: ")


def test_compare_command_prints_the_verdict_and_writes_the_blocks(
    run: Run, exported: tuple[Path, Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compare, "Design", lambda threads: dataclasses.replace(TINY, threads=threads))
    words = (f"{exported[0]}:tflite-int8", f"{exported[0]}:onnx-int8", "--out", tmp_path / "found.json")
    status, said, complaints = run("compare", *words)
    assert (status, complaints) == (0, "")
    assert said.startswith("A fashion-mlp:tflite-int8: ")
    assert "99% interval of 3 pairs of processes" in said
    record = json.loads((tmp_path / "found.json").read_text())
    assert record["verdict"] in said
    assert np.shape(record["blocks_ns"]) == (3, 2, 2)
    assert record["environment"]["cpu"]


@pytest.mark.parametrize(
    ("words", "says"),
    [(["--threads", "0"], "expected 1 to 1024 threads, got 0"), (["--out", "."], "got the folder .")],
)
def test_compare_options_that_cannot_be_used_get_one_line(
    run: Run, exported: tuple[Path, Result], words: list[str], says: str
) -> None:
    status, said, complaints = run("compare", exported[0], exported[0], *words)
    assert (status, said) == (1, "")
    assert complaints.count("\n") == 1
    assert says in complaints


def test_compare_runs_a_file_that_nobody_vouched_for_apart(
    exported: tuple[Path, Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEWRIGHT_CACHE", str(tmp_path))
    side = compare.side(f"{exported[0]}:tflite-int8")
    with measuring.Worker(side, TINY.threads) as worker:
        worker.warm(TINY.warmup_seconds)
        process = worker._child.pid
        assert b"sandbox.enter" in Path(f"/proc/{process}/cmdline").read_bytes()
        assert 0 < worker.block(TINY.block_seconds) < 1e9
        assert isinstance(worker.notes(), list)
        status = Path(f"/proc/{process}/status").read_text()
    assert "Seccomp:\t2" in status


def odd_worker(child: ChildProcess) -> measuring.Worker:
    found = object.__new__(measuring.Worker)
    found._child = child
    return found


@pytest.mark.parametrize(
    "said", ['{"answer": -1}', '{"answer": NaN}', '{"answer": "fast"}', "{}", "[]", "[" * 9999]
)
def test_compare_does_not_believe_what_a_process_says(said: str) -> None:
    command = [sys.executable, "-c", f"input(); print({said!r})"]
    with ChildProcess(command, log=True) as odd, pytest.raises(EdgewrightError):
        odd_worker(odd).block(0.01)
