"""`edgewright bench` on the command line: a table to read, raw samples to keep."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edgewright.benchmarks import targets
from edgewright.benchmarks.measure import cost, environment
from edgewright.benchmarks.record import measurement
from edgewright.runtime.machine import threads

Run = Callable[..., tuple[int, str, str]]


SHORT = ("--seconds", 0.06)


@pytest.fixture(autouse=True)
def _two_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measurement, "PROCESSES", 2)


@pytest.fixture
def made_up(made: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Measure no more, but say that runs take so many nanoseconds, in six processes."""

    def say(middle_ns: float) -> None:
        monkeypatch.setattr(measurement, "PROCESSES", 6)
        monkeypatch.setattr(targets, "get", lambda _: made.Target(middle_ns))
        monkeypatch.setattr(cost, "peaks", lambda _: {"float32": 100e9, "int8": 400e9})
        monkeypatch.setattr(environment, "describe", lambda: made.MACHINE)

    return say


def test_bench_prints_a_row_a_variant_and_keeps_every_sample(run: Run, bundle: Path) -> None:
    words = ("--variants", "tflite-int8, onnx-int8", "--threads", "2", "--profile", *SHORT)
    status, said, complaints = run("bench", bundle, *words)
    assert (status, complaints) == (0, "")
    out = bundle.with_name("bundle-bench.json")
    assert said.splitlines()[-1] == f"wrote {out}"
    for word in ("tflite-int8", "onnx-int8", "p50", "p90", "p99", "load", "first run", "peak RSS", "xnnpack"):
        assert word in said
    for word in ("decode", "preprocess", "invoke", "postprocess", "MACs", "of peak", "runs/s", "203,264"):
        assert word in said
    assert "operators of tflite-int8: its interpreter's Python API does not tell their times" in said
    assert re.search(r"operators of onnx-int8: Q\w+ \d+%, ", said)
    record = json.loads(out.read_bytes())
    (plan,) = record["plans"]
    assert (plan["threads"], plan["processes"], plan["runs"], plan["seconds"]) == (2, 2, 64, 0.03)
    assert record["schema_version"] == 1
    assert record["bundle"] == "fashion-mlp"
    assert record["environment"]["cpu"] in said
    assert record["models"]["tflite-int8"]["bytes"] == (bundle / "tflite-int8.tflite").stat().st_size
    assert record["peaks"]["2"]["int8"] > 10**8
    assert list(record["profiles"]) == ["onnx-int8"]
    measurements = record["measurements"]
    assert [m["variant"] for m in measurements] == ["tflite-int8", "onnx-int8"] * 2
    for measured in measurements:
        assert measured["threads"] == 2
        assert measured["queries"] >= 64
        assert measured["environment"]["load_1min"] >= 0
    assert not list(bundle.glob("*bench*"))


@pytest.mark.parametrize(
    ("words", "queries", "seconds"),
    [((), 128, 10), (("--mode", "single-stream"), 1024, 60), (("--seconds", 2), 128, 2)],
)
def test_bench_mode_queries_and_seconds_are_split_over_the_processes(
    run: Run,
    bundle: Path,
    made_up: Callable[[float], None],
    words: tuple[object, ...],
    queries: int,
    seconds: float,
) -> None:
    made_up(10_000)
    status, said, _ = run("bench", bundle, "--variants", "tflite-int8", *words)
    (plan,) = json.loads(bundle.with_name("bundle-bench.json").read_bytes())["plans"]
    assert status == 0
    assert queries <= plan["runs"] * plan["processes"] < queries + 6
    assert plan["seconds"] * plan["processes"] == pytest.approx(seconds)
    assert f"{seconds} s and {plan['runs'] * 6} runs at least" in said


def test_bench_threads_of_several_counts_get_a_row_each(
    run: Run, bundle: Path, made_up: Callable[[float], None]
) -> None:
    made_up(10_000)
    status, _, _ = run("bench", bundle, "--variants", "tflite-int8", "--threads", "2,1,2")
    record = json.loads(bundle.with_name("bundle-bench.json").read_bytes())
    assert status == 0
    assert [m["threads"] for m in record["measurements"]] == [1, 2] * 6
    assert set(record["peaks"]) == {"1", "2"}
    run("bench", bundle, "--variants", "tflite-int8", "--threads", "all")
    record = json.loads(bundle.with_name("bundle-bench.json").read_bytes())
    assert {m["threads"] for m in record["measurements"]} == set(range(1, threads.cores() + 1))


def test_bench_against_a_baseline_slower_is_an_exit_status_and_a_line(
    run: Run, bundle: Path, tmp_path: Path, made_up: Callable[[float], None]
) -> None:
    words = ("bench", bundle, "--variants", "tflite-int8,onnx-int8", "--against", tmp_path / "before.json")
    made_up(10_000)
    assert run(*words[:4], "--out", words[-1])[0] == 0
    assert run(*words)[::2] == (0, "")
    made_up(11_500)
    status, said, complaints = run(*words)
    assert status == 1
    assert [line.split(" is ")[0] for line in complaints.splitlines()] == [
        "edgewright: tflite-int8 (local, 1 thread)",
        "edgewright: onnx-int8 (local, 1 thread)",
    ]
    assert f"wrote {tmp_path}/bundle-bench.json" in said  # what was measured is kept
    assert run(*words, "--max-slowdown", "20%")[0] == 0


def test_bench_adds_to_what_was_measured_before(
    run: Run, bundle: Path, made_up: Callable[[float], None], made: SimpleNamespace, monkeypatch: Any
) -> None:
    out = bundle.with_name("bundle-bench.json")
    made_up(10_000)
    assert run("bench", bundle)[0] == 0
    made_up(20_000)
    status, said, complaints = run("bench", bundle, "--variants", "tflite-int8")
    assert (status, complaints) == (0, "")
    assert "kept: tflite-float32 (local, 1 thread), tflite-float16 (local, 1 thread), " in said
    assert len({m["variant"] for m in json.loads(out.read_bytes())["measurements"]}) == 6
    monkeypatch.setattr(environment, "describe", lambda: made.MACHINE | {"cpu": "B CPU"})
    status, said, _ = run("bench", bundle, "--variants", "tflite-int8", "--against", out)
    assert status == 1  # a baseline of this machine there is not, and it says so before measuring
    status, said, _ = run("bench", bundle, "--variants", "tflite-int8")
    assert "measured on other machines and kept: 6\n" in said
    assert run("bench", bundle, "--variants", "tflite-int8", "--against", out)[::2] == (0, "")
    monkeypatch.setattr(environment, "describe", lambda: made.MACHINE)
    assert run("bench", bundle, "--variants", "tflite-int8", "--against", out)[::2] == (0, "")


def test_bench_drops_measurements_of_a_file_that_has_changed_with_a_line(
    run: Run, bundle: Path, made_up: Callable[[float], None]
) -> None:
    made_up(10_000)
    assert run("bench", bundle)[0] == 0
    out = bundle.with_name("bundle-bench.json")
    data = json.loads(out.read_bytes())
    data["models"]["onnx-int8"]["sha256"] = "0" * 64
    out.write_text(json.dumps(data))
    _, said, _ = run("bench", bundle, "--variants", "tflite-int8")
    assert "dropped what was measured of onnx-int8 before: it was another file then\n" in said
    assert "onnx-int8" not in {m["variant"] for m in json.loads(out.read_bytes())["measurements"]}


@pytest.mark.parametrize("raw", [b"", b"my notes", b'{"schema_version": 1, "bundle": "other"}'])
def test_bench_refuses_a_file_that_is_not_its_own_before_measuring(
    run: Run, bundle: Path, tmp_path: Path, raw: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(targets.get("local"), "run", None)
    for out in (tmp_path / "bundle-bench.json", tmp_path / "other.json"):
        out.write_bytes(raw)
        words = () if out.name == "bundle-bench.json" else ("--out", out)
        status, said, complaints = run("bench", bundle, "--variants", "tflite-int8", *words)
        assert (status, said, complaints.count("\n")) == (1, "", 1)
        assert out.name in complaints
        assert out.read_bytes() == raw


def test_bench_budget_is_an_exit_status_and_a_line(
    run: Run, bundle: Path, made_up: Callable[[float], None]
) -> None:
    made_up(10_000)
    words = ("bench", bundle, "--variants", "tflite-int8", "--budget")
    assert run(*words, "p90=5ms,bytes=300k,rss=60M")[0] == 0
    status, _, complaints = run(*words, "p90=5us,bytes=100k,rss=60M")
    assert status == 1
    assert [line.partition("budget ")[2].partition(":")[0] for line in complaints.splitlines()] == [
        "p90=5us",
        "bytes=100k",
    ]


def test_bench_against_a_baseline_that_cannot_be_compared_is_refused_before_measuring(
    run: Run, bundle: Path, tmp_path: Path, made_up: Callable[[float], None], made: SimpleNamespace
) -> None:
    made_up(10_000)
    before = tmp_path / "before.json"
    assert run("bench", bundle, "--variants", "tflite-int8", "--out", before)[0] == 0
    words = ("bench", bundle, "--variants", "tflite-int8,onnx-int8", "--against")
    status, said, complaints = run(*words, before)
    assert (status, said) == (1, "")
    assert "expected the baseline to hold onnx-int8 (local, 1 thread), got tflite-int8" in complaints
    before.write_text(before.read_text().replace("A CPU", "B CPU"))
    status, said, complaints = run("bench", bundle, "--variants", "tflite-int8", "--against", before)
    assert (status, said) == (1, "")
    assert "(cpu A CPU), got one of another (cpu B CPU)" in complaints
    for broken in (tmp_path / "absent.json", bundle / "manifest.json"):
        status, said, complaints = run(*words, broken)
        assert (status, said, complaints.count("\n")) == (1, "", 1)
    assert not bundle.with_name("bundle-bench.json").exists()


@pytest.mark.slow
def test_bench_names_a_variant_without_an_interpreter_and_measures_the_others(
    run: Run, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    out = tmp_path / "deep/figures.json"
    status, _, complaints = run("bench", bundle, "--variants", "onnx-int8,tflite-int8", *SHORT, "--out", out)
    assert status == 0
    assert complaints.startswith("edgewright: onnx-int8 is not measured: ")
    assert "pip install 'edgewright[onnx]'" in complaints
    assert {m["variant"] for m in json.loads(out.read_bytes())["measurements"]} == {"tflite-int8"}
    status, _, complaints = run("bench", bundle, "--variants", "onnx-int8", "--out", tmp_path / "none.json")
    assert status == 1
    assert not (tmp_path / "none.json").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--variants", "tflite-int88"], "did you mean 'tflite-int8'"),
        (["--target", "locl"], "did you mean 'local'"),
        (["--threads", "0"], "expected 1 to 1024 threads, several with commas, or 'all', got 0"),
        (["--threads", "1,two"], "or 'all', got 1,two"),
        (["--mode", "offline"], "unknown mode 'offline'"),
        (["--seconds", "0"], "expected --seconds above 0 and up to 3600, got 0"),
        (["--seconds", "nan"], "got nan"),
        (["--budget", "p95=5ms"], "unknown metric of --budget 'p95'; did you mean 'p9"),
        (["--budget", "p90=5"], "such as p90=5ms, got '5'"),
        (["--max-slowdown", "5%"], "expected --against FILE.json with --max-slowdown"),
        (["--max-slowdown", "much"], "expected --max-slowdown to be a share such as 5%, got 'much'"),
        (["--against", "absent.json"], "absent.json"),
        (["--out", "."], "expected --out to be a file, got the folder ."),
        (
            ["--images", "test.npz"],
            "expected --images with a target that takes it (arm64, gpu, micro, ssh), got local",
        ),
        (["--target", "arm64", "--variants", "tflite-int8", "--threads", "2"], "expected 1 thread"),
        (["--target", "arm64", "--variants", "tflite-int8", "--images", "none.npz"], "cannot read none.npz"),
        (["--threads", "-3"], "threads, several with commas, or 'all', got -3"),
    ],
)
def test_bench_options_that_cannot_be_used_get_one_line(
    run: Run, bundle: Path, words: list[str], says: str
) -> None:
    status, said, complaints = run("bench", bundle, *words)
    assert (status, said) == (1, "")
    assert complaints.startswith("edgewright: ")
    assert complaints.count("\n") == 1
    assert says in complaints
    assert list(bundle.parent.iterdir()) == [bundle]


@pytest.mark.parametrize("file", ["manifest.json", "golden.npz", "tflite-int8.tflite"])
def test_bench_damaged_bundle_gets_one_line_that_names_the_file(run: Run, bundle: Path, file: str) -> None:
    raw = bytearray((bundle / file).read_bytes())
    raw[len(raw) // 2] ^= 1
    (bundle / file).write_bytes(raw)
    status, said, complaints = run("bench", bundle, "--variants", "tflite-int8")
    assert (status, said) == (1, "")
    assert complaints.count("\n") == 1
    assert complaints.count("edgewright: ") == 1
    assert file in complaints
    assert list(bundle.parent.iterdir()) == [bundle]


def test_bench_what_is_no_bundle_gets_one_line(run: Run, tmp_path: Path) -> None:
    status, _, complaints = run("bench", tmp_path)
    assert status == 1
    assert complaints == (
        f"edgewright: expected a bundle, got {tmp_path} without manifest.json; "
        "make one with edgewright export\n"
    )
