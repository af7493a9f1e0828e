"""One real model for all tests: the fashion-mlp recipe, trained and exported once a session."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import pytest

from edgewright.export import variants
from edgewright.export.exporter import Options as ExportOptions
from edgewright.export.exporter import Result, export
from edgewright.runtime import console
from edgewright.runtime.cli import main
from edgewright.train import datasets, recipe
from edgewright.train.datasets import Dataset
from edgewright.train.fitting.fit import Options as TrainOptions
from edgewright.train.fitting.fit import train

ROOT = Path(__file__).resolve().parent.parent
Run = Callable[..., tuple[int, str, str]]
Fresh = Callable[..., "subprocess.CompletedProcess[str]"]
Complaints = Callable[[str], str]

# A shell starts what it puts in the background deaf to Ctrl-C, which some of the tests press.
signal.signal(signal.SIGINT, signal.default_int_handler)
_PROGRESS = re.compile(r"^[a-z ]+: (?:.+, )?(?:\d+ min )?\d+ s\n", re.MULTILINE)
# Tests that run side by side are told the width of the terminal; what they read was piped.
os.environ.pop("COLUMNS", None)


@pytest.fixture(scope="session", autouse=True)
def _session_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGEWRIGHT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test finds what another one, or the user, has made."""
    monkeypatch.setenv("EDGEWRIGHT_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="session")
def fashion_mini() -> Dataset:
    return datasets.load("fashion-mini")


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, fashion_mini: Dataset) -> Path:
    """The recipe's own checkpoint, whole. Shared: copy it (`checkpoint`) before changing anything."""
    out = tmp_path_factory.mktemp("trained") / "checkpoint"
    train("fashion-mlp", recipe.get("fashion-mlp"), fashion_mini, TrainOptions(out=out))
    return out


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory, trained: Path) -> tuple[Path, Result]:
    """The six default variants and what the export said. Shared: copy it (`bundle`) before changing it."""
    out = tmp_path_factory.mktemp("exported") / "bundle"
    with pytest.MonkeyPatch.context() as patch:  # the test that happens to be first finds nothing done
        patch.setenv("EDGEWRIGHT_CACHE", str(tmp_path_factory.mktemp("cache")))
        return out, export(trained, ExportOptions(out=out, variants=variants.defaults()))


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
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            check=False,
        )
        done.stderr = complaints(done.stderr)
        return done

    return call
