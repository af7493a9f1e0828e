"""Killed at any moment, an export leaves the old bundle, none, or the new one whole, and no process."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from edgewright.export.exporter import Options, export
from edgewright.runtime import Bundle

pytestmark = pytest.mark.slow

NEW, OLD = ["tflite-float32"], 6
SECONDS = 60  # in which every export ends, one way or the other
COMMAND = """
from edgewright.runtime import cli, console

console.EVERY = 3600.0  # what is read here is complaints, not how far it is
sys.exit(cli.main(sys.argv[1:]))
"""
KILL = """
import os, signal, sys

seen = 0

def watch(event, arguments):
    global seen
    if event == {event!r} and {part!r} in str(arguments):
        seen += 1
        if seen == {nth}:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(watch)
"""

# What Python is about to do when the process kills itself: event, part of its arguments, which time
MOMENTS = {
    "calibration written": ("open", "calibration.npy", 1),
    "reference read": ("open", "reference.npy", 1),
    "file copied": ("shutil.copyfile", "tflite-float32", 1),
    "golden written": ("open", "golden.npz", 1),
    "evidence written": ("open", "evidence.npz", 1),
    "manifest written": ("open", "manifest.json", 1),
    "the only rename": ("os.rename", "new', '", 1),
    "exchange": ("ctypes.dlsym", "renameat2", 1),
    "removal": ("shutil.rmtree", "bundle", 1),
}
BESIDE = 5  # of these happen beside the bundle, be there an old one or none
ONLY_ANEW = ("calibration written",)  # not if it is found in the cache
ONLY_WITH_OLD, ONLY_WITHOUT = ("exchange",), ("the only rename",)


Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start an export in a session of its own, by which its children are found again and ended."""
    started = []

    def call(
        checkpoint: Path, out: Path, preamble: str = "import sys", cache: Path | None = None
    ) -> subprocess.Popen[str]:
        words = ("export", checkpoint, "--out", out, "--variants", "tflite-float32", "--overwrite")
        child = subprocess.Popen(
            [sys.executable, "-c", f"{preamble}\n{COMMAND}", *map(str, words)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | ({"EDGEWRIGHT_CACHE": str(cache)} if cache else {}),
            start_new_session=True,
        )
        started.append(child)
        return child

    yield call
    for child in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.communicate()


def alive(session: int) -> list[psutil.Process]:
    """The processes of a session that still run."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.Error, ProcessLookupError):
            continue
    return found


def member(session: int, words: str) -> psutil.Process | None:
    for process in alive(session):
        try:
            if words in " ".join(process.cmdline()):
                return process
        except psutil.Error:
            continue
    return None


def wait_until(holds: Callable[[], object], seconds: float = SECONDS) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)


def whole(out: Path) -> list[str]:
    """The variants of a bundle all of whose files are what the manifest says."""
    bundle = Bundle.open(out)
    for entry in (bundle.manifest.golden, *(variant.file for variant in bundle.manifest.variants)):
        bundle.path(entry)
    return [variant.name for variant in bundle.manifest.variants]


def check_after_death(session: int, out: Path, *, had_old: bool) -> None:
    """No orphan; the old bundle or the new one whole (or none, if there was none)."""
    wait_until(lambda: not alive(session), seconds=10)
    if had_old or out.exists():
        found = whole(out)
        assert found == NEW or (had_old and len(found) == OLD)
    else:
        assert not out.exists()


@pytest.fixture(scope="module")
def done_before(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache in which all steps of the export are found, so that it takes seconds less."""
    folder = tmp_path_factory.mktemp("done")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGEWRIGHT_CACHE", str(folder / "cache"))
        export(trained, Options(out=folder / "bundle", variants=NEW))
    return folder / "cache"


def check_next_export(start: Start, checkpoint: Path, out: Path, cache: Path) -> None:
    """It succeeds and clears away what the killed one left."""
    child = start(checkpoint, out, cache=cache)
    _, complaints = child.communicate(timeout=SECONDS)
    assert (child.returncode, complaints) == (0, "")
    assert whole(out) == NEW
    assert sorted(path.name for path in out.parent.iterdir()) == ["bundle"]


def old_or_not(names: str, **cases: Any) -> pytest.MarkDecorator:
    """Each case without an old bundle and with one: in turn, and the other half, which is `long`."""
    found = []
    for place, (name, case) in enumerate(cases.items()):
        for old in (False, True):
            marks = [pytest.mark.long] * (old != bool(place % 2))
            words = f"{name.replace('_', ' ')}, {'old' if old else 'no old'} bundle"
            found.append(pytest.param(case, old, marks=marks, id=words))
    return pytest.mark.parametrize((names, "had_old"), found)


@pytest.fixture
def out(had_old: bool, request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if had_old:
        request.getfixturevalue("bundle")
    return tmp_path / "bundle"


@pytest.mark.parametrize(
    ("moment", "had_old"),
    [
        pytest.param(moment, old, marks=[pytest.mark.long] * (not old and place < BESIDE))
        for old in (False, True)
        for place, moment in enumerate(MOMENTS)
        if moment not in (ONLY_WITHOUT if old else ONLY_WITH_OLD)
    ],
)
def test_export_killed_just_before_a_moment(
    moment: str, had_old: bool, start: Start, trained: Path, out: Path, done_before: Path
) -> None:
    event, part, nth = MOMENTS[moment]
    cache = None if moment in ONLY_ANEW else done_before
    child = start(trained, out, KILL.format(event=event, part=part, nth=nth), cache)
    child.communicate(timeout=SECONDS)
    assert child.returncode == -signal.SIGKILL
    check_after_death(child.pid, out, had_old=had_old)
    check_next_export(start, trained, out, done_before)


def converting(child: subprocess.Popen[str], out: Path) -> bool:
    """The child with TensorFlow has judged the test images and is at work on the file."""
    return any(out.parent.glob(".bundle.new-*/scratch/reference.npy"))


def tensorflow(child: subprocess.Popen[str], out: Path) -> bool:
    """The child has been started and imports TensorFlow."""
    return member(child.pid, "edgewright.export.work.convert") is not None


def scoring(child: subprocess.Popen[str], out: Path) -> bool:
    """A worker has been started and runs test images."""
    return member(child.pid, "edgewright.export.work.score") is not None


@old_or_not("stage", tensorflow=tensorflow, converting=converting, scoring=scoring)
def test_export_killed_while_a_child_is_at_work(
    stage: Callable[..., bool], start: Start, trained: Path, out: Path, had_old: bool, done_before: Path
) -> None:
    child = start(trained, out)
    wait_until(lambda: stage(child, out))
    child.kill()
    child.communicate(timeout=SECONDS)
    check_after_death(child.pid, out, had_old=had_old)
    check_next_export(start, trained, out, done_before)


@old_or_not("stage", tensorflow=tensorflow, scoring=scoring, converting=converting)
def test_export_whose_child_is_killed_ends_with_a_clear_line(
    stage: Callable[..., bool], start: Start, trained: Path, out: Path, had_old: bool
) -> None:
    victim = f"edgewright.export.work.{'score' if stage is scoring else 'convert'}"
    child = start(trained, out)
    wait_until(lambda: stage(child, out))
    process = member(child.pid, victim)
    assert process is not None
    process.kill()
    _, complaints = child.communicate(timeout=SECONDS)
    assert child.returncode == 1
    lines = complaints.splitlines()
    assert "process" in lines[0]
    assert lines[1:] in ([], [f"edgewright: no variant passed; {out} was not written"])
    assert all(line.startswith("edgewright: ") for line in lines)
    assert out.exists() == had_old
    if had_old:
        assert len(whole(out)) == OLD
    assert [path.name for path in out.parent.iterdir()] == ["bundle"] * had_old
    wait_until(lambda: not alive(child.pid), seconds=10)


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGTERM, 143), pytest.param(signal.SIGHUP, 129, marks=pytest.mark.long)],
)
def test_export_told_to_end_does_so_in_one_line_and_tidies_up(
    number: signal.Signals, status: int, start: Start, trained: Path, bundle: Path
) -> None:
    child = start(trained, bundle)
    wait_until(lambda: converting(child, bundle))
    child.send_signal(number)  # to it alone, as Docker and systemd do
    _, complaints = child.communicate(timeout=SECONDS)
    assert (child.returncode, complaints) == (status, f"edgewright: ended by {number.name}\n")
    assert len(whole(bundle)) == OLD
    assert [path.name for path in bundle.parent.iterdir()] == ["bundle"]
    wait_until(lambda: not alive(child.pid), seconds=10)


@pytest.mark.parametrize("stage", [tensorflow, pytest.param(converting, marks=pytest.mark.long), scoring])
def test_export_ctrl_c_ends_it_in_one_line_and_tidies_up(
    stage: Callable[..., bool], start: Start, trained: Path, bundle: Path
) -> None:
    child = start(trained, bundle)
    wait_until(lambda: stage(child, bundle))
    os.killpg(child.pid, signal.SIGINT)
    _, complaints = child.communicate(timeout=SECONDS)
    assert (child.returncode, complaints) == (130, "edgewright: interrupted\n")
    assert len(whole(bundle)) == OLD
    assert [path.name for path in bundle.parent.iterdir()] == ["bundle"]
    wait_until(lambda: not alive(child.pid), seconds=10)


FULL = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, ({0}, {0}))"


@old_or_not("most", before_any_file=1_000, in_the_midst_of_one=600_000)
def test_export_to_a_disk_that_takes_no_more_ends_in_one_line(
    most: int, had_old: bool, start: Start, trained: Path, out: Path
) -> None:
    child = start(trained, out, FULL.format(most))
    _, complaints = child.communicate(timeout=SECONDS)
    assert child.returncode == 1
    assert complaints.startswith("edgewright: ")
    assert "too large" in complaints or "disk full" in complaints
    assert complaints.count("\n") == 1
    assert out.exists() == had_old
    if had_old:
        assert len(whole(out)) == OLD
    assert [path.name for path in out.parent.iterdir()] == ["bundle"] * had_old
