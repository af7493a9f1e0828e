"""A bundle on what stands for a phone: in turn, forwards and backwards, on its CPU and its GPU."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgewright.apps.web import assets
from edgewright.benchmarks.record.measurement import Measurement, Plan
from edgewright.benchmarks.record.record import read_records
from edgewright.benchmarks.targets.adb import target
from edgewright.benchmarks.targets.adb.phone import Phone, program
from edgewright.benchmarks.targets.adb.target import TARGET
from edgewright.benchmarks.targets.browser import TARGET as BROWSER
from edgewright.runtime import Bundle
from edgewright.runtime.errors import InputError, TargetError

Run = Callable[..., tuple[int, str, str]]
NAMES = ("tflite-float32", "tflite-int8")


def plan(phone: Any, **options: str) -> Plan:
    return Plan(processes=2, runs=50, seconds=0.5, options={"benchmark-model": str(phone.tool), **options})


def test_files_take_turns_on_cpu_and_gpu(phone: Any, bundle: Path) -> None:
    said: list[str] = []
    done: list[str] = []
    plans = (plan(phone, gpu="yes"),)
    found = TARGET.run_all(Bundle.open(bundle), NAMES, plans, done.append, said.append)
    order = [(m.variant, m.target) for m in found]
    once = [(name, place) for place in ("adb", "adb-gpu") for name in NAMES]
    assert order == [*once, *reversed(once)]
    assert sorted(done) == sorted([*NAMES, *NAMES])
    first = found[0]
    assert first.samples_ns == {
        "load": [12_345_000],
        "first_run": [2_125_000],
        "warm_up": [1_644_000],
        "warm_run": [1_524_600],
    }
    assert (first.calls_per_sample, first.kernels) == (1050, "benchmark_model-cpu")
    assert found[-1].kernels == "benchmark_model-cpu" and found[2].kernels == "benchmark_model-gpu"
    assert first.counts["run_p95_ms"] == [1.766]
    assert first.counts["footprint_bytes"] == [2.25 * 2**20]
    assert first.environment["cpu"] == "Fixture of a protocol"
    assert first.environment["machine"] == "arm64-v8a"
    words = phone.called()[0].split()
    assert {"--num_threads=1", "--num_runs=50", "--min_secs=0.5"} <= set(words)
    assert "--use_gpu=true" in phone.called()[2]
    assert said[-1].startswith("kept on X1 for the next time; to remove it: adb -s X1 shell rm -rf ")


def test_what_is_there_is_not_sent_again(phone: Any, bundle: Path) -> None:
    for _ in range(2):
        TARGET.run(Bundle.open(bundle), "tflite-int8", plan(phone))
    assert sum(" push " in line for line in phone.called("adb-called")) == 2


def test_file_that_arrives_otherwise_is_not_run(phone: Any, bundle: Path, programs: Any) -> None:
    script = (phone.folder / "tools/adb").read_text()
    programs("adb", script.replace('exec cp "$2" "$3"', 'head -c 10 "$2" > "$3"; exit 0'))
    with pytest.raises(TargetError, match="sending benchmark_model to X1 failed: other bytes arrived"):
        TARGET.run(Bundle.open(bundle), "tflite-int8", plan(phone))
    assert phone.called() == []


def test_file_that_a_gpu_does_not_take_has_no_rows_of_it(phone: Any, bundle: Path) -> None:
    phone.mood.write_text("no-gpu")
    said: list[str] = []
    found = TARGET.run_all(Bundle.open(bundle), NAMES, (plan(phone, gpu="yes"),), say=said.append)
    assert [m.target for m in found] == ["adb"] * 4
    told = [line for line in said if "does not run on the GPU" in line]
    assert told == [
        f"{name} does not run on the GPU of Fixture of a protocol: ERROR: Failed to apply GPU delegate."
        for name in NAMES
    ]
    assert len(phone.called()) == 6


def test_tool_that_fails_says_its_line(phone: Any, bundle: Path) -> None:
    phone.tool.write_text("#!/bin/sh\necho 'ERROR: no model'; exit 3\n")
    with pytest.raises(TargetError) as refused:
        TARGET.run(Bundle.open(bundle), "tflite-int8", plan(phone))
    assert str(refused.value) == "measuring tflite-int8 on X1 failed with status 3: ERROR: no model"


def test_file_that_it_does_not_run_or_that_nobody_vouched_for_is_refused(
    phone: Any, bundle: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    opened = Bundle.open(bundle)
    TARGET.check(opened, "tflite-int8", plan(phone))
    with pytest.raises(InputError, match=r"expected a \.tflite for target adb, got onnx-int8\.onnx"):
        TARGET.check(opened, "onnx-int8", plan(phone))
    monkeypatch.setenv("EDGEWRIGHT_CACHE", str(tmp_path / "nothing"))
    with pytest.raises(InputError, match=r"edgewright trust .*tflite-int8"):
        TARGET.check(opened, "tflite-int8", plan(phone))


@pytest.mark.slow
def test_phone_has_rows_of_its_own_in_the_file_and_the_report(phone: Any, bundle: Path, run: Run) -> None:
    words = ("--variants", "tflite-int8,tflite-float32", "--seconds", "0.5")
    assert run("bench", bundle, *words, "--variants", "tflite-int8")[0] == 0
    status, said, complaints = run(
        *("bench", bundle, *words, "--target", "adb:X1", "--benchmark-model", phone.tool, "--gpu")
    )
    assert (status, complaints) == (0, "")
    assert "target adb: Fixture of a protocol" in said
    assert "target adb-gpu: Fixture of a protocol" in said
    theirs, ours = read_records(bundle.with_name("bundle-bench.json"))
    assert {key[1] for key in theirs.by_key()} == {"adb", "adb-gpu"}
    assert {key[1] for key in ours.by_key()} == {"local"}
    assert run("report", bundle, "--out", bundle.with_name("report.html"))[0] == 0
    report = bundle.with_name("report.html").read_text()
    for place in ("adb, 1 thread, Fixture of a protocol", "adb-gpu, 1 thread, Fixture", "local, 1 thread"):
        assert place in report
    words = (*words, "--target", "adb", "--benchmark-model", phone.tool)
    baseline = bundle.with_name("bundle-bench.json")
    assert run("bench", bundle, *words, "--against", baseline)[0] == 0
    (phone.folder / "phone/getprop").write_text("#!/bin/sh\necho another\n")
    status, _, complaints = run("bench", bundle, *words, "--against", baseline)
    assert status == 1
    assert complaints.startswith("edgewright: expected a baseline of another another (another), got one of ")


def test_page_is_opened_over_the_cable_and_its_rows_are_of_the_same_phone(
    phone: Any, bundle: Path, made: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "http://127.0.0.1:1234/token/"

    def run_all(bundle: Bundle, names: Any, plans: Any, say: Any) -> list[Measurement]:
        assert plans[0].options == {}
        say("setting up")
        say(f"open {url}")
        return [Measurement(**{**vars(one), "target": "browser"}) for one in made.timed(processes=1)]

    monkeypatch.setattr(BROWSER, "run_all", run_all)
    said: list[str] = []
    found = target.page(
        Phone(serial="X1"),
        Bundle.open(bundle),
        NAMES,
        (plan(phone),),
        {"cpu": "P", "machine": "arm64-v8a", "isa": [], "cores": 8, "cores_allowed": 8},
        said.append,
    )
    assert found[0].environment["cpu"] == "P"
    assert said == ["setting up"]
    assert phone.called("opened") == [f"start -a android.intent.action.VIEW -d {url}"]
    assert [line for line in phone.called("adb-called") if "reverse" in line] == [
        "-s X1 reverse tcp:1234 tcp:1234",
        "-s X1 reverse --remove tcp:1234",
    ]


def test_page_that_a_phone_does_not_open_is_a_line(
    phone: Any, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines = assets.Assets(files={}, webgpu={}, versions={})
    monkeypatch.setattr(assets, "ready", lambda *unused: engines)
    (phone.folder / "phone/am").write_text("#!/bin/sh\necho 'Error: Activity not started'\n")
    said = r"expected X1 to open a page in its browser, got: Error: Activity not started; unlock its screen"
    with pytest.raises(TargetError, match=said):
        TARGET.run_all(Bundle.open(bundle), NAMES[:1], (plan(phone, page="yes"),))
    reversed_ = [line for line in phone.called("adb-called") if "reverse" in line]
    assert len(reversed_) == 2 and "--remove" in reversed_[1]


@pytest.mark.slow
def test_real_adbd_is_spoken_to_as_a_phone_is(adbd: Any, bundle: Path, run: Run) -> None:
    words = ("--variants", "tflite-int8,tflite-float32", "--seconds", "0.5", "--gpu")
    words = (*words, "--target", f"adb:{adbd.serial}", "--benchmark-model", adbd.tool)
    status, said, complaints = run("bench", bundle, *words)
    assert (status, complaints) == (0, "")
    assert "target adb: Fixture of a protocol" in said
    assert "target adb-gpu: Fixture of a protocol" in said
    assert len(adbd.called()) == 24
    sent = sorted((adbd.folder / "room").iterdir())
    assert len(sent) == 3
    before = [file.stat().st_mtime_ns for file in sent]
    assert run("bench", bundle, *words)[0] == 0
    assert [file.stat().st_mtime_ns for file in sent] == before  # they are there, by their hash
    theirs = read_records(bundle.with_name("bundle-bench.json"))[0]
    assert {key[1] for key in theirs.by_key()} == {"adb", "adb-gpu"}


@pytest.mark.slow
def test_adbd_that_is_killed_in_mid_run_leaves_nothing_and_says_how_to_go_on(
    adbd: Any, bundle: Path, run: Run
) -> None:
    adbd.mood.write_text("slow")

    def kill() -> None:
        while not (adbd.folder / "running").exists():
            time.sleep(0.02)
        os.kill(adbd.pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    words = ("--variants", "tflite-int8", "--target", "adb", "--benchmark-model", adbd.tool)
    status, _, complaints = run("bench", bundle, *words)
    killer.join()
    assert status == 1
    assert complaints.count("\n") == 1
    assert f"the line to {adbd.serial} broke while measuring tflite-int8" in complaints
    assert "Run it again" in complaints
    assert _ends(int((adbd.folder / "running").read_text()))
    assert not bundle.with_name("bundle-bench.json").exists()


@pytest.mark.slow
def test_program_on_the_phone_ends_with_its_line(adbd: Any) -> None:
    adbd.mood.write_text("slow")
    words = ["sh", str(adbd.tool), f"--graph={adbd.tool}"]
    with pytest.raises(TargetError, match="did not end within 2 s"):
        Phone(serial=adbd.serial).shell(program(words), "measuring x", seconds=-8)
    assert _ends(int((adbd.folder / "running").read_text()))


@pytest.mark.slow
def test_adb_without_a_phone_is_a_line(adbd: Any, bundle: Path, run: Run) -> None:
    subprocess.run(["adb", "disconnect"], check=True, capture_output=True)
    status, _, complaints = run("bench", bundle, "--target", "adb", "--variants", "tflite-int8")
    assert status == 1
    assert complaints.endswith(
        "expected a phone behind adb, got none; connect one and switch its USB debugging on\n"
    )


def _ends(pid: int) -> bool:
    """Whether a process is gone when it has had time to go."""
    end = time.monotonic() + 5
    while time.monotonic() < end:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.05)
    return False
