"""One real model for all tests, the fashion-mlp recipe, trained and exported once; and a browser."""

from __future__ import annotations

import itertools
import json
import os
import pickle
import queue
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from filelock import FileLock

from edgewright.apps.web import assets
from edgewright.export import variants
from edgewright.export.exporter import Options as ExportOptions
from edgewright.export.exporter import Result, export
from edgewright.runtime import console
from edgewright.runtime.cli import main
from edgewright.runtime.machine import child
from edgewright.train import datasets, recipe
from edgewright.train.datasets import Dataset
from edgewright.train.fitting.fit import Options as TrainOptions
from edgewright.train.fitting.fit import train
from tests.warm import Starter

pytest_plugins = ["tests.required"]
ROOT = Path(__file__).resolve().parent.parent
Run = Callable[..., tuple[int, str, str]]
Fresh = Callable[..., "subprocess.CompletedProcess[str]"]
Complaints = Callable[[str], str]
MadeOnce = Callable[[str, Callable[[Path], Any]], Any]

# A shell starts what it puts in the background deaf to Ctrl-C, and nohup to SIGHUP: some tests send these.
signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
_SECONDS = 60
_ON_PIPES = """
import fcntl, os, sys
ends = [fcntl.fcntl(int(word), fcntl.F_DUPFD, 10) for word in sys.argv[1:3]]
os.dup2(ends[0], 3)
os.dup2(ends[1], 4)
os.execvp(sys.argv[3], sys.argv[3:])
"""
_PROGRESS = re.compile(r"^[a-z ]+: (?:.+, )?(?:\d+ min )?\d+ s\n", re.MULTILINE)
# Tests that run side by side are told the width of the terminal; what they read was piped.
os.environ.pop("COLUMNS", None)
# Some import TensorFlow before the product does, which silences it for all that run in that process after.
_SILENT = {"TF_CPP_MIN_LOG_LEVEL": "3"}
os.environ |= _SILENT


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What all processes of this run share."""
    root = tmp_path_factory.getbasetemp()
    return root.parent if "PYTEST_XDIST_WORKER" in os.environ else root


@pytest.fixture(scope="session", autouse=True)
def _warm(run_folder: Path) -> Iterator[Starter]:
    """The children of exports are forked from processes that have imported what they import."""
    starter = Starter(run_folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(child, "subprocess", SimpleNamespace(**vars(subprocess) | {"Popen": starter}))
        yield starter
    starter.close()


@pytest.fixture
def cold(_warm: Starter, monkeypatch: pytest.MonkeyPatch) -> None:
    """Children start as they do for a user."""
    monkeypatch.setattr(_warm, "forks", False)


@pytest.fixture(scope="session", autouse=True)
def _session_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("EDGEWRIGHT_CACHE", str(folder))
        yield folder


_count = itertools.count()


@pytest.fixture(autouse=True)
def _own_cache(_session_cache: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """No test finds what another one, or the user, has made. What was exported for all of them is trusted, as
    on any machine that has exported it."""
    folder = _session_cache / "own" / str(next(_count))  # `mktemp` would look at all that were before
    folder.mkdir(0o700, parents=True)
    if "exported" in request.fixturenames and (_session_cache / "known").exists():
        shutil.copytree(_session_cache / "known", folder / "known")
    monkeypatch.setenv("EDGEWRIGHT_CACHE", str(folder))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files whose tests take the shared model go first, no more of them than half: of two processes, which
    begin at the head and in the middle, one makes it and the other need not wait."""
    waiting = {item.path for item in items if {"trained", "exported"} & {*getattr(item, "fixturenames", ())}}
    items.sort(key=lambda item: item.path not in waiting)
    half, count = len(items) // 2, sum(item.path in waiting for item in items)
    if count > half:
        items[half:] = [*items[count:], *items[half:count]]


@pytest.fixture(scope="session")
def fashion_mini() -> Dataset:
    return datasets.load("fashion-mini")


@pytest.fixture(scope="session")
def made_once(run_folder: Path) -> MadeOnce:
    """What `make` gives in a folder `name` that all processes of this run share: the first one makes it."""

    def call(name: str, make: Callable[[Path], Any]) -> Any:
        folder, kept = run_folder / name, run_folder / f"{name}.pickle"
        with FileLock(run_folder / f"{name}.lock"):
            if not kept.exists():
                shutil.rmtree(folder, ignore_errors=True)  # of one that failed
                folder.mkdir()
                kept.write_bytes(pickle.dumps(make(folder)))
        return pickle.loads(kept.read_bytes())  # noqa: S301  # written just above

    return call


@pytest.fixture(scope="session")
def trained(made_once: MadeOnce, fashion_mini: Dataset) -> Path:
    """The recipe's own checkpoint, whole. Shared: copy it (`checkpoint`) before changing anything."""

    def make(folder: Path) -> Path:
        out = folder / "checkpoint"
        train("fashion-mlp", recipe.get("fashion-mlp"), fashion_mini, TrainOptions(out=out))
        return out

    found: Path = made_once("trained", make)
    return found


@pytest.fixture(scope="session")
def exported(made_once: MadeOnce, trained: Path, _session_cache: Path) -> tuple[Path, Result]:
    """The six default variants and what the export said. Shared: copy it (`bundle`) before changing it."""

    def make(folder: Path) -> tuple[Path, Result]:
        out = folder / "out" / "bundle"
        with pytest.MonkeyPatch.context() as patch:  # the test that happens to be first finds nothing done
            patch.setenv("EDGEWRIGHT_CACHE", str(folder / "cache"))
            return out, export(trained, ExportOptions(out=out, variants=variants.defaults()))

    found: tuple[Path, Result] = made_once("exported", make)
    vouched = found[0].parent.parent / "cache" / "known"
    shutil.copytree(vouched, _session_cache / "known", dirs_exist_ok=True)
    return found


@pytest.fixture(scope="session")
def engines_cache(made_once: MadeOnce) -> Path:
    """A cache folder with the browser's engines in it."""
    if not shutil.which("npm"):
        pytest.skip("npm, which brings the engines, is not here")

    def make(folder: Path) -> Path:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("EDGEWRIGHT_CACHE", str(folder))
            assets.ready(None, lambda line: None)
        return folder

    found: Path = made_once("engines-cache", make)
    return found


@pytest.fixture
def checkpoint(trained: Path, tmp_path: Path) -> Path:
    """A checkpoint of this test's own."""
    return Path(shutil.copytree(trained, tmp_path / "checkpoint"))


@pytest.fixture
def bundle(exported: tuple[Path, Result], tmp_path: Path) -> Path:
    """A bundle of this test's own."""
    return Path(shutil.copytree(exported[0], tmp_path / "bundle"))


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Run the command line in this process: exit status, standard output, standard error.

    Native code's output is captured too, so "one line on standard error" means one line; it does not say how
    far it is, however slow this machine.
    """
    monkeypatch.setattr(console, "EVERY", 3600.0)

    def call(*words: object) -> tuple[int, str, str]:
        capfd.readouterr()
        status = main([str(word) for word in words])
        out, err = capfd.readouterr()
        return status, out, err

    yield call


_BLOCK = """
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Block())
"""
_COMMAND = "from edgewright.runtime.cli import main; sys.exit(main(sys.argv[1:]))"


@pytest.fixture(scope="session")
def complaints() -> Complaints:
    """What a process has printed on standard error, without the lines that say how far a long one is."""
    return lambda stderr: _PROGRESS.sub("", stderr)


@pytest.fixture(scope="session")
def fresh(complaints: Complaints) -> Fresh:
    """Run the command line, or `code`, in a process of its own where importing `blocked` packages fails.

    Lines that say how far a long one is are left out of `stderr`.
    """

    def call(
        *words: object, code: str = _COMMAND, blocked: Collection[str] = (), **environment: str
    ) -> subprocess.CompletedProcess[str]:
        program = _BLOCK.format(blocked=sorted(blocked)) + code
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                program,
                *(os.fspath(w) if isinstance(w, Path) else str(w) for w in words),
            ],
            env={k: v for k, v in os.environ.items() if k not in _SILENT} | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            check=False,
        )
        done.stderr = complaints(done.stderr)
        return done

    return call


class Browser:
    """One page of one headless Chromium. `events` are what it reported, in its own words.

    It is spoken to by the DevTools protocol through two pipes: that takes no driver and no library.
    """

    def __init__(self, program: str, profile: Path) -> None:
        to_read, self._write = os.pipe()
        self._read, to_write = os.pipe()
        command = [
            *(sys.executable, "-c", _ON_PIPES, str(to_read), str(to_write), program),
            *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--remote-debugging-pipe"),
            *("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"),
            "--host-resolver-rules=MAP plain.example 127.0.0.1",  # no secure context
            *("--disable-dev-shm-usage", f"--user-data-dir={profile}", "about:blank"),
        ]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._process = subprocess.Popen(command, pass_fds=(to_read, to_write), **quiet)  # type: ignore[call-overload]
        os.close(to_read)
        os.close(to_write)
        self.events: list[dict[str, Any]] = []
        self._answers: queue.Queue[dict[str, Any]] = queue.Queue()
        self._count = 0
        self._session: dict[str, str] = {}
        self._loaded = threading.Event()
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()
        pages = self.do("Target.getTargets")["targetInfos"]
        target = next(page["targetId"] for page in pages if page["type"] == "page")
        attached = self.do("Target.attachToTarget", targetId=target, flatten=True)
        self._session = {"sessionId": attached["sessionId"]}
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.do(f"{domain}.enable")

    def do(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol and its result."""
        self._count += 1
        asked = {"id": self._count, "method": method, "params": parameters, **self._session}
        os.write(self._write, json.dumps(asked).encode() + b"\0")
        while True:
            answer = self._answers.get(timeout=_SECONDS)
            if answer["id"] == self._count:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result

    def open(self, page: Path | str) -> None:
        """Show a file, or what is at a URL, and wait until it is loaded."""
        self._loaded.clear()
        self.do("Page.navigate", url=page.resolve().as_uri() if isinstance(page, Path) else page)
        assert self._loaded.wait(_SECONDS)

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression."""
        found = self.do("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def reported(self, *methods: str) -> list[dict[str, Any]]:
        return [event["params"] for event in self.events if event["method"] in methods]

    def _listen(self) -> None:
        rest = b""
        while found := os.read(self._read, 2**20):
            *whole, rest = (rest + found).split(b"\0")
            for message in map(json.loads, whole):
                if "id" in message:
                    self._answers.put(message)
                else:
                    self.events.append(message)
                    if message["method"] == "Page.loadEventFired":
                        self._loaded.set()

    def close(self) -> None:
        with suppress(OSError):
            os.close(self._write)  # it ends when nobody can speak to it
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._listener.join(10)
        os.close(self._read)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        pytest.skip("there is no chromium on PATH")
    found = Browser(program, tmp_path_factory.mktemp("profile"))
    yield found
    found.close()
