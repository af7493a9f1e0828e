"""A bundle on a device: what is sent, what comes back, and that a line may break at any moment."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewright.benchmarks.measure import environment
from edgewright.benchmarks.record.measurement import Plan
from edgewright.benchmarks.record.record import read_records, same_machine
from edgewright.benchmarks.targets import AT
from edgewright.benchmarks.targets.ssh import packing
from edgewright.benchmarks.targets.ssh.target import TARGET
from edgewright.runtime import Bundle
from edgewright.runtime.errors import InputError, TargetError
from edgewright.train.datasets import Dataset

Run = Callable[..., tuple[int, str, str]]
SHORT = Plan(
    processes=1, runs=10, seconds=0.02, warmup_seconds=0.1, end_to_end_seconds=0.02, throughput_seconds=0.02,
    options={AT: "device"},
)  # fmt: skip


@pytest.fixture
def images(fashion_mini: Dataset, tmp_path: Path) -> Path:
    np.savez(tmp_path / "test.npz", x=fashion_mini.x_test[:50], y=fashion_mini.y_test[:50])
    return tmp_path / "test.npz"


def test_own_wheel_runs_and_measures_and_is_the_same_each_time() -> None:
    name, raw = packing.own()
    assert (name, raw) == packing.own()
    names = zipfile.ZipFile(BytesIO(raw)).namelist()
    assert {"edgewright/runtime/cli.py", "edgewright/benchmarks/measure/probe.py"} <= set(names)
    assert not any("figures" in name or "export" in name or "/ssh/" in name for name in names)


@pytest.mark.usefixtures("own_packages")
def test_device_proves_itself_and_is_measured(device: Any, bundle: Path, images: Path) -> None:
    plan = Plan(**{**vars(SHORT), "options": {AT: "device", "images": str(images)}})
    said: list[str] = []
    done: list[str] = []
    names = ("tflite-int8",)
    found = TARGET.run_all(Bundle.open(bundle), names, (plan,), done.append, said.append)
    assert [m.variant for m in found] == done == [*names]
    for m in found:
        assert m.target == "ssh"
        assert same_machine(
            m.environment, environment.describe()
        )  # by the start of its system it is this one
        assert len(m.samples_ns["warm_run"]) >= 5 and m.samples_ns["jpeg_to_label"]
        assert m.check is not None
        assert (m.check.images, m.check.verdict, m.check.agreement) == (16, "right", 1.0)
        assert m.counts["accuracy"][0] > 0.7
        assert m.peak_rss_bytes > 10**6
    assert said[1].startswith("sending 7 files to device, ")
    assert said[-1].endswith("to remove it: ssh device 'rm -rf ~/.cache/edgewright/ssh'")
    assert device.left() == []


@pytest.mark.slow
@pytest.mark.usefixtures("own_packages")
def test_file_that_gives_other_scores_there_is_told(
    device: Any, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Bundle.open(bundle)
    from edgewright.benchmarks.targets.ssh import device as devices

    real = devices.told.scores

    def other(*given: Any) -> Any:
        kernels, scores = real(*given)
        return kernels, scores[::-1].copy()

    monkeypatch.setattr(devices.told, "scores", other)
    found = TARGET.run(opened, "tflite-int8", SHORT)
    assert found.check is not None
    assert found.check.verdict == "wrong"
    assert any("tflite-int8 does not give what was recorded on device: " in note for note in found.notes)


@pytest.mark.usefixtures("own_packages", "device")
def test_full_disk_is_told_before_anything_is_sent(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgewright.benchmarks.targets.ssh import device as devices

    monkeypatch.setattr(devices, "_ROOM", 10**12)
    with pytest.raises(
        TargetError, match=r"expected [\d,]+ MB of free disk on device, got [\d,]+; make room"
    ):
        TARGET.run(Bundle.open(bundle), "tflite-int8", SHORT)


def test_what_is_wrong_with_a_host_or_images_is_told_before_connecting(
    run: Run, bundle: Path, tmp_path: Path
) -> None:
    status, _, complaints = run("bench", bundle, "--target", "ssh:-oProxyCommand=x")
    assert status == 1
    assert complaints.count("\n") == 1 and "expected --target ssh:USER@HOST" in complaints
    plan = Plan(**{**vars(SHORT), "options": {AT: "device", "images": str(tmp_path / "none.npz")}})
    with pytest.raises(InputError):
        TARGET.check(Bundle.open(bundle), "tflite-int8", plan)


@pytest.mark.slow
@pytest.mark.usefixtures("two_processes")
def test_device_behind_a_real_sshd_gets_wheels_of_its_own(
    sshd: Any, run: Run, bundle: Path, images: Path
) -> None:
    words = ("--target", "ssh:device", "--variants", "tflite-int8", "--seconds", "0.1")
    status, said, complaints = run("bench", bundle, *words, "--images", images)
    assert (status, complaints) == (0, "")
    assert "Latency in ms, batch 1, target ssh" in said
    assert "Scores of target ssh beside the CPU's" in said
    (record,) = read_records(bundle.with_name("bundle-bench.json"))
    assert {key[1:] for key in record.by_key()} == {("ssh", 1)}
    for group in record.by_key().values():
        assert len(group) == 2
        assert group[0].environment["versions"]["numpy"] == np.__version__
        assert group[0].check is not None and group[0].check.verdict == "right"
    assert sshd.left() == []
    status, _, _ = run("report", bundle, "--out", bundle.with_name("report.md"))
    assert status == 0
    assert "ssh, 1 thread" in bundle.with_name("report.md").read_text()


@pytest.mark.slow
@pytest.mark.usefixtures("own_packages")
@pytest.mark.parametrize("moment", ["sending", "measuring"])
def test_line_that_breaks_leaves_nothing_and_the_next_run_goes_on(
    sshd: Any, bundle: Path, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgewright.benchmarks.targets.ssh.line import Line

    real, sent = Line.ask, []

    def ask(self: Line, doing: str, told: Any, *given: Any, **more: Any) -> Any:
        if told["do"] == "put":
            sent.append(doing)
        if doing.startswith(moment) and len(sent) >= 2 and sshd.home.exists() and not broken.is_set():
            broken.set()
            threading.Timer(0.3 if moment == "measuring" else 0, _break_sessions, [sshd.pid]).start()
            if moment == "sending":
                time.sleep(0.3)
        return real(self, doing, told, *given, **more)

    broken = threading.Event()
    monkeypatch.setattr(Line, "ask", ask)
    plan = Plan(**{**vars(SHORT), "seconds": 5.0})
    with pytest.raises(
        TargetError, match=rf"the line to device broke while {moment} .*Run it again"
    ) as refused:
        TARGET.run(Bundle.open(bundle), "tflite-int8", plan)
    assert "\n" not in str(refused.value)
    assert sshd.left() == []
    assert _programs_of(sshd.home) == []
    before = list(sent)
    sent.clear()
    assert TARGET.run(Bundle.open(bundle), "tflite-int8", SHORT).samples_ns["warm_run"]
    assert set(sent) & set(before[:-1]) == set()  # what had arrived is not sent again


@pytest.mark.slow
def test_ctrl_c_ends_the_program_there_and_writes_nothing(
    sshd: Any, bundle: Path, own_packages: Path
) -> None:
    code = f"""
import sys
from pathlib import Path
from edgewright.benchmarks.targets.ssh import packing
from edgewright.runtime.cli import main
packing.fetched = lambda *unused: {{"packages.zip": Path({str(own_packages)!r})}}
sys.exit(main(sys.argv[1:]))
"""
    words = [sys.executable, "-c", code, "bench", str(bundle), "--target", "ssh:device", "--seconds", "60"]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(words, stdout=quiet, stderr=quiet, start_new_session=True) as child:
        end = time.monotonic() + 60
        while not any((run / "bundle").exists() for run in sshd.runs()) and time.monotonic() < end:
            time.sleep(0.05)
        assert sshd.runs()
        os.killpg(child.pid, signal.SIGINT)
        assert child.wait(30) == 130
    assert sshd.left() == []
    assert _programs_of(sshd.home) == []
    assert not bundle.with_name("bundle-bench.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("stranger", "Host key verification failed.; connect once by hand and compare its key: ssh stranger"),
        ("guest", "nobody is asked for a password here; set up a key: ssh-copy-id guest"),
        ("nobody", "Connection refused; try: ssh nobody"),
    ],
)
def test_sshd_that_does_not_let_in_is_a_line(sshd: Any, run: Run, bundle: Path, host: str, said: str) -> None:
    status, _, complaints = run("bench", bundle, "--target", f"ssh:{host}", "--variants", "tflite-int8")
    assert status == 1
    assert complaints.count("\n") == 1
    assert f"ssh cannot reach {host}: " in complaints and complaints.endswith(f"{said}\n")


def _break_sessions(pid: int) -> None:
    """Kill the processes that hold the server's sessions, as if the line were cut."""
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        os.kill(int(child), signal.SIGKILL)


def _programs_of(home: Path) -> list[str]:
    """What runs out of the device's home, when it has had time to end."""
    end = time.monotonic() + 5
    while True:
        found = []
        for entry in Path("/proc").iterdir():
            try:
                words = (entry / "cmdline").read_bytes() if entry.name.isdecimal() else b""
            except OSError:
                continue
            if str(home).encode() in words:
                found.append(words.decode())
        if not found or time.monotonic() > end:
            return found
        time.sleep(0.05)
