"""A model apart gives what it gives here; what ends its interpreter ends no other, and is not believed."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgewright.export.exporter import Result
from edgewright.runtime import backends, load, trust
from edgewright.runtime.backends import Session
from edgewright.runtime.errors import InputError, ModelFileError
from edgewright.runtime.trust import channel, isolation
from edgewright.runtime.trust.isolation import IsolatedSession

Refused = Callable[..., str]
Impostor = Callable[[str], None]

PIXELS = np.array([1, 2, 4, 8], np.uint8).reshape(1, 2, 2, 1)
each_file = pytest.mark.parametrize("file", ["tflite-int8.tflite", "onnx-int8.onnx"])
# What an impostor says first: a frame's head is 16 bytes, and its answer repeats the number in it.
LISTEN = """
import os, struct, sys, time
def heard():
    head = sys.stdin.buffer.read(16)
    kind, number, size = struct.unpack("<4sIQ", head)
    sys.stdin.buffer.read(size)
    return number
def say(kind, number, size, raw=b""):
    os.write(1, struct.pack("<4sIQ", kind, number, size) + raw)
"""


def open_apart(path: Path, threads: int = 1) -> IsolatedSession:
    return IsolatedSession(backends.for_path(path).read(path), threads)


def open_here(path: Path, threads: int = 1) -> Session:
    backend = backends.for_path(path)
    return backend.open(backend.read(path), threads)


@pytest.mark.parametrize("threads", [1, 2])
@each_file
def test_isolated_session_kernels_and_bits_are_those_of_a_session_here(
    exported: tuple[Path, Result], file: str, threads: int
) -> None:
    path = exported[0] / file
    random = np.random.default_rng(0)
    here, there = open_here(path, threads), open_apart(path, threads)
    try:
        assert there.kernels == here.kernels  # LiteRT that cannot read /proc/cpuinfo loses XNNPACK
        assert (there.input, there.output) == (here.input, here.output)
        for _ in range(20):
            pixels = random.integers(0, 256, (1, 28, 28, 1), np.uint8)
            assert there.run(pixels).tobytes() == here.run(pixels).tobytes()
    finally:
        there.close()


@each_file
def test_isolated_session_knows_which_operators_are_left_to_plain_kernels(
    exported: tuple[Path, Result], file: str
) -> None:
    path = exported[0] / file
    backend = backends.for_path(path)
    there = open_apart(path)
    try:
        left = backend.undelegated(backend.read(path))
        assert there.undelegated(1000) == (None if left is None else list(left))
        if left:
            with pytest.raises(ModelFileError, match=r"says? what none says|names operators"):
                there.undelegated(0)
    finally:
        there.close()


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2])
def test_isolated_session_costs_little_more_than_a_session_here(stranger: Path, threads: int) -> None:
    here, there = open_here(stranger, threads), open_apart(stranger, threads)
    more = []
    try:
        for _ in range(1000):
            times = [time.perf_counter()]
            for session in (here, there):
                session.run(PIXELS)
                times.append(time.perf_counter())
            more.append((times[2] - times[1]) - (times[1] - times[0]))
    finally:
        there.close()
    assert np.percentile(more, 25) < 3e-4  # 60 to 80 us on two quiet cores


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux alone")
@pytest.mark.parametrize("threads", [1, 2])
def test_isolated_session_of_one_thread_works_on_the_core_of_its_caller(stranger: Path, threads: int) -> None:
    mine = os.sched_getaffinity(0)
    there = open_apart(stranger, threads)
    pid = there._child.pid
    try:
        for core in mine:
            os.sched_setaffinity(0, {core})
            there.run(PIXELS)
            assert os.sched_getaffinity(pid) == ({core} if threads == 1 else mine)
    finally:
        os.sched_setaffinity(0, mine)
        there.close()


def test_isolated_session_takes_pixels_that_fit_no_shared_memory(
    stranger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "memfd_create")
    there = open_apart(stranger)
    try:
        for _ in range(3):
            assert there.run(PIXELS).tolist() == [[5, 10]]
    finally:
        there.close()


def test_isolated_session_does_without_poll(stranger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(select, "poll")
    there = open_apart(stranger)
    try:
        assert there.run(PIXELS).tolist() == [[5, 10]]
    finally:
        there.close()


@each_file
def test_load_isolate_predicts_the_same(exported: tuple[Path, Result], picture: Path, file: str) -> None:
    trust.remember(exported[0] / file)
    with load(exported[0] / file) as here, load(exported[0] / file, isolate=True) as there:
        assert not isinstance(here.session, IsolatedSession)
        assert there.predict(picture) == here.predict(picture)
        assert list(there.predict_many([picture] * 6, workers=2)) == [here.predict(picture)] * 6
        for wrong in (
            np.zeros((1, 2, 2, 1), np.uint8),
            np.zeros((1, 28, 28, 1), ">u2"),
            np.zeros(3, np.uint8),
        ):
            with pytest.raises(InputError, match="expected uint8 pixels"):
                there.scores(wrong)
        assert there.predict(picture) == here.predict(picture)
        (worker, *_) = there._workers
        ended = there.session._child._process  # type: ignore[attr-defined]
    assert ended.poll() is not None
    with pytest.raises(InputError, match="is closed"):
        worker.run(np.zeros((1, 28, 28, 1), np.uint8))


def test_isolated_session_that_crashes_is_one_line(
    stranger: Path, picture: Path, refused: Refused, impostor: Impostor, tmp_path: Path
) -> None:
    impostor("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    labels = tmp_path / "labels.txt"
    labels.write_text("left\nright\n")
    line = refused("predict", stranger, picture, "--labels", labels)
    assert f"{stranger.name} crashes its interpreter (SIGSEGV); it was not opened here" in line


HOSTILE = {
    "nothing": "pass",
    "a short head": "os.write(1, b'done')",
    "no frame": "os.write(1, b'x' * 4096)",
    "another kind": "say(b'odd!', number, 0)",
    "another number": "say(b'done', number + 1, 7, b'xnnpack')",
    "less than it says": "say(b'done', number, 7, b'xnn')",
    "more than may come": "say(b'done', number, 2**62, b'xnnpack')",
    "kernels that are none": "say(b'done', number, 7, b'\\x1b[2Jxyz')",
    "no kernels": "say(b'done', number, 0)",
    "nested JSON": "os.write(1, b'[' * 10**6)",
    "an endless error": "say(b'fail', number, 2**40, b'x' * 2**20)",
    "an error that clears the screen": "say(b'fail', number, 9, b'a\\n\\x1b[2J\\x00\\xff\\xfe')",
}


@pytest.mark.parametrize("answer", HOSTILE.values(), ids=list(HOSTILE))
def test_isolated_session_does_not_believe_a_process_that_was_taken_over(
    stranger: Path, impostor: Impostor, answer: str
) -> None:
    impostor(f"{LISTEN}\nnumber = heard()\n{answer}")
    with pytest.raises(ModelFileError) as refused:
        open_apart(stranger)
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 1200


HOSTILE_SCORES = {
    "too few": "say(b'scor', number, 4, b'1234')",
    "too many": "say(b'scor', number, 12, b'123412341234')",
    "no whole numbers": "say(b'scor', number, 7, b'1234567')",
    "none": "say(b'scor', number, 0)",
    "the answer to another question": "say(b'none', number, 0)",
    "an answer too early": "say(b'scor', number - 1, 8, b'12345678')",
}


@pytest.mark.parametrize("answer", HOSTILE_SCORES.values(), ids=list(HOSTILE_SCORES))
@pytest.mark.parametrize("shared", [False, True], ids=["in the frame", "shared"])
def test_isolated_session_takes_no_scores_of_another_shape(
    stranger: Path, impostor: Impostor, monkeypatch: pytest.MonkeyPatch, answer: str, shared: bool
) -> None:
    if not shared:
        monkeypatch.delattr(os, "memfd_create")
    impostor(f"{LISTEN}\nsay(b'done', heard(), 7, b'xnnpack')\nnumber = heard()\n{answer}\ntime.sleep(60)")
    session = open_apart(stranger)
    with pytest.raises(ModelFileError, match=r"gives|says? what none says"):
        session.run(PIXELS)
    with pytest.raises(ModelFileError):
        session.run(PIXELS)


def test_isolated_session_that_does_not_read_does_not_stop_this_process(
    stranger: Path, impostor: Impostor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isolation, "SECONDS", 0.3)
    impostor("import time; time.sleep(60)")
    file = backends.for_path(stranger).read(stranger)
    object.__setattr__(file, "raw", file.raw + bytes(2**20))  # more than a pipe takes
    start = time.monotonic()
    with pytest.raises(ModelFileError, match="keeps its interpreter busy for more than"):
        IsolatedSession(file, 1)
    assert time.monotonic() - start < 10


@pytest.mark.parametrize("polls", [True, False])
def test_isolated_session_that_takes_too_long_is_ended(
    stranger: Path, impostor: Impostor, monkeypatch: pytest.MonkeyPatch, polls: bool
) -> None:
    if not polls:
        monkeypatch.delattr(select, "poll")
    monkeypatch.setattr(isolation, "SECONDS", 0.3)
    impostor("import time; time.sleep(60)")
    start = time.monotonic()
    with pytest.raises(ModelFileError, match="keeps its interpreter busy for more than"):
        open_apart(stranger)
    assert time.monotonic() - start < 10


@pytest.mark.slow
def test_isolated_session_opening_and_the_first_run_share_their_time(
    stranger: Path, impostor: Impostor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isolation, "SECONDS", 3.0)
    impostor(f"{LISTEN}\nnumber = heard()\ntime.sleep(2)\nsay(b'done', number, 4, b'none')\ntime.sleep(60)")
    start = time.monotonic()
    session = open_apart(stranger)
    with pytest.raises(ModelFileError, match="keeps its interpreter busy for more than 3 s"):
        session.run(PIXELS)
    assert time.monotonic() - start < 5


def test_isolated_session_a_file_that_loops_on_any_picture_but_a_grey_one_is_ended(
    endless: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = open_apart(endless)
    assert there.run(np.full((1, 1, 1, 1), 100, np.uint8)).tolist() == [[100.0]]
    there._left = there._patience = 1.0
    start = time.monotonic()
    with pytest.raises(ModelFileError, match=r"endless.onnx keeps its interpreter busy for more than 1 s"):
        there.run(np.full((1, 1, 1, 1), 101, np.uint8))
    assert time.monotonic() - start < 10
    assert there._child.status() == -signal.SIGKILL


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux only")
def test_isolated_session_a_file_that_asks_for_16_gb_but_for_a_grey_picture_is_refused(huge: Path) -> None:
    there = open_apart(huge)
    try:
        assert there.run(np.full((1, 1, 1, 1), 100, np.uint8)).tolist() == [[100.0]]
        with pytest.raises(ModelFileError) as refused:
            there.run(np.full((1, 1, 1, 1), 101, np.uint8))
        assert str(refused.value).isprintable()
        assert "huge.onnx" in str(refused.value)
    finally:
        there.close()


@pytest.mark.skipif(sys.platform != "linux", reason="Linux's RLIMIT_CPU")
def test_isolated_session_that_works_when_it_should_wait_is_ended(
    stranger: Path, impostor: Impostor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        isolation._ProcessorTime, "__init__", lambda self, *_: self.__dict__.update(_call=0.1, _spent=0.0)
    )
    impostor(f"{LISTEN}\nsay(b'done', heard(), 4, b'none')\nwhile True: pass")
    there = open_apart(stranger)
    try:
        assert there._child.status() in (-signal.SIGXCPU, -signal.SIGKILL)
    finally:
        there.close()


def test_isolated_session_an_interrupted_run_does_not_answer_the_next_one(
    stranger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*unused: object) -> None:
        raise KeyboardInterrupt

    there = open_apart(stranger)
    there.run(PIXELS)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(channel.Channel, "_answer", interrupt)
        there.run(PIXELS)
    with pytest.raises(ModelFileError, match=r"(ends|crashes) its interpreter"):
        there.run(PIXELS)


def test_isolated_session_says_what_to_do_where_no_process_can_be_started(
    stranger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    with pytest.raises(ModelFileError, match=r"cannot start a process .*edgewright trust"):
        open_apart(stranger)
    trust.remember(stranger)
    load(stranger, labels=["left", "right"]).close()


def test_isolated_session_leaves_no_descriptor_open(stranger: Path) -> None:
    open_apart(stranger).close()
    before = len(os.listdir("/dev/fd"))  # noqa: PTH208
    there = open_apart(stranger)
    there.run(PIXELS)
    there.close()
    assert len(os.listdir("/dev/fd")) == before  # noqa: PTH208


def test_isolated_session_shared_memory_cannot_be_made_smaller() -> None:
    area = isolation._Area.of((1, 2, 2, 1), "uint8", (1, 2))
    if area is None:
        pytest.skip("no memfd on this system")
    with pytest.raises(PermissionError):
        os.ftruncate(area.handle, 0)
    area.close_handle()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_isolated_session_in_a_fork_is_refused_and_ends_nothing(stranger: Path) -> None:
    there = open_apart(stranger)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            there.run(PIXELS)
        except ModelFileError as failure:
            status = 0 if "load it again" in str(failure) else 2
        there.close()
        os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert there.run(PIXELS).tolist() == [[5, 10]]
    there.close()


@pytest.mark.slow
@pytest.mark.parametrize("busy", [False, True], ids=["waiting", "looping"])
@pytest.mark.parametrize("thread", [False, True], ids=["main thread", "another thread"])
def test_isolated_session_process_is_gone_when_the_one_that_started_it_is_killed(
    endless: Path, busy: bool, thread: bool
) -> None:
    code = f"""
import sys, threading, time
import numpy as np
from pathlib import Path
from edgewright.runtime import backends
from edgewright.runtime.trust.isolation import IsolatedSession
path = Path(sys.argv[1])
found = []
start = lambda: found.append(IsolatedSession(backends.for_path(path).read(path), 1))
if {thread}:
    one = threading.Thread(target=start)
    one.start()
    one.join()
else:
    start()
print(found[0]._child.pid, flush=True)
if {busy}:
    found[0].run(np.full((1, 1, 1, 1), 101, np.uint8))
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code, endless], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        time.sleep(0.3)
        os.kill(pid, 0)  # still there: a thread that ended is not its parent
        parent.kill()
    for _ in range(200):
        if not _is_alive(pid):
            return
        time.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
    pytest.fail("the process apart outlived its parent")


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"  # which waits for whoever adopted it


def test_process_apart_has_no_secrets_of_the_environment(
    stranger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_PASSWORD", "hunter2")
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")
    there = open_apart(stranger)
    try:
        raw = Path(f"/proc/{there._child.pid}/environ").read_bytes()
    finally:
        there.close()
    assert b"hunter2" not in raw
    assert b"OMP_WAIT_POLICY=passive" in raw
