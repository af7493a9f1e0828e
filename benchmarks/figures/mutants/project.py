"""A copy of the project, whose tests run with a fault in it; the project itself is never changed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from edgewright.benchmarks.figures.mutants.table import Mutant
from edgewright.runtime.errors import EdgewrightError
from edgewright.runtime.machine.child import call

PACKAGES = ("runtime", "train", "apps", "export", "benchmarks")
# Which notes of what tests share hold with a fault in such a folder: an export makes no checkpoint.
_MAKES = {"train": "nothing", "export": "trained.pickle"}
_LEFT = shutil.ignore_patterns("__pycache__", "*.egg-info")
_OUTCOME = re.compile(r"^(tests/.+?) (PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS)\b", re.MULTILINE)
# What tests import and forks well: no TensorFlow, and no plugin of pytest, which has to see it imported.
HEAVY = (
    *("numpy", "PIL.Image", "PIL.ImageOps", "pytest", "filelock", "rich.table", "scipy.stats"),
    *("sklearn.model_selection", "sklearn.metrics", "matplotlib.figure", "onnx", "onnxruntime"),
    *("ai_edge_litert.interpreter", "cryptography.hazmat.primitives.asymmetric.ec"),
)
_RUNNER = Path(__file__).with_name("forking.py")
_WHERE = """
from importlib import import_module
print(*(import_module("edgewright." + name).__file__ for name in {names}), sep="\\n")
"""


class Project:
    """The copy in `folder`, and a process that runs tests in it. Close it, or use it in `with`."""

    def __init__(self, root: Path, folder: Path) -> None:
        """Copy what lies at `root`, but for what begins with a dot.

        Raises:
            EdgewrightError: with the copy's environment, Python would import another project than it.
        """
        self.folder = folder / "project"
        self.folder.mkdir(parents=True)
        for each in sorted(root.iterdir()):
            if each.is_dir() and (each.name in PACKAGES or each.name in ("tests", "docs")):
                shutil.copytree(each, self.folder / each.name, symlinks=True, ignore=_LEFT)
            elif each.is_file() and not each.name.startswith("."):
                shutil.copy2(each, self.folder / each.name)
        links = self.folder / ".types" / "edgewright"
        links.mkdir(parents=True)
        for name in PACKAGES:
            (links / name).symlink_to(self.folder / name, target_is_directory=True)
        self._made = folder / "made"  # what tests share, such as a trained model
        self._made.mkdir()
        self._shared = self._made
        self._clock = 0
        self._check()
        self._runner = subprocess.Popen(
            [sys.executable, str(_RUNNER), *HEAVY],
            cwd=self.folder,
            env=self._environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )

    def _environment(self) -> Mapping[str, str]:
        """Of processes that import the copy: an editable install comes behind what PYTHONPATH has. As in a
        worker of xdist, what tests make once is made for all runs."""
        path = os.pathsep.join((str(self.folder / ".types"), str(self.folder)))
        return {**os.environ, "PYTHONPATH": path, "PYTHONSAFEPATH": "1", "PYTEST_XDIST_WORKER": "gw0"}

    def _check(self) -> None:
        command = [sys.executable, "-c", _WHERE.format(names=PACKAGES)]
        done = call(command, self.folder, self._environment())
        places = [Path(line).resolve() for line in done.stdout.splitlines()]
        if done.returncode or len(places) != len(PACKAGES):
            raise EdgewrightError(f"the copy cannot be imported: {done.stderr.strip().splitlines()[-1:]}")
        ours = self.folder.resolve()
        if other := next((place for place in places if not place.is_relative_to(ours)), None):
            raise EdgewrightError(f"expected to import the copy in {self.folder}, got {other}")

    def close(self) -> None:
        """End the process that runs tests."""
        with self._runner:  # which closes its pipes, and waits
            pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()

    @contextmanager
    def with_fault(self, mutant: Mutant) -> Iterator[None]:
        """The fault is there as long as the block lasts; what tests share, and it could spoil, is made with
        it. Raises `InputError`."""
        path = self.folder / mutant.file
        before, times = path.read_bytes(), path.stat()
        text = mutant.changed(self.folder)
        self._clock += 10  # compiled files are told apart by whole seconds and size
        try:
            path.write_text(text, encoding="utf-8")
            os.utime(path, (times.st_atime, times.st_mtime + self._clock))
            with self._sharing(_MAKES.get(mutant.folder)):
                yield
        finally:
            path.write_bytes(before)
            os.utime(path, (times.st_atime, times.st_mtime))

    @contextmanager
    def _sharing(self, kept: str | None) -> Iterator[None]:
        """Tests share what was made before only as far as its name matches; all of it if that is None."""
        if kept is None:
            yield
            return
        with tempfile.TemporaryDirectory(dir=self._made.parent) as folder:
            for each in self._made.glob(kept):  # a note of where it lies
                shutil.copy2(each, folder)
            self._shared = Path(folder)
            try:
                yield
            finally:
                self._shared = self._made

    def outcomes(self, tests: Sequence[str], seconds: float | None = None) -> Mapping[str, str]:
        """What became of each test that ran, as pytest says it; with `seconds`, until one fails, as one does
        that takes longer.

        Raises:
            EdgewrightError: pytest could not run them, such as for a name that is none.
        """
        words = ["-v", "--tb=line", "--color=no", "-p", "no:cacheprovider", "-m", ""]
        words += [f"--basetemp={self._shared / 'run'}", *(["-x"] if seconds else []), *tests]
        log = self._made.parent / "log.txt"
        assert self._runner.stdin is not None and self._runner.stdout is not None
        self._runner.stdin.write(json.dumps({"words": words, "log": str(log), "seconds": seconds}) + "\n")
        self._runner.stdin.flush()
        answer = self._runner.stdout.readline()
        if not answer:
            raise EdgewrightError(f"what runs the tests ended with {self._runner.wait()}")
        status, said = json.loads(answer)["status"], log.read_text(encoding="utf-8", errors="replace")
        found = dict(_OUTCOME.findall(said))
        if status is None:
            return found | {next((test for test in tests if test not in found), tests[0]): "FAILED"}
        if status not in (0, 1) or not found:
            lines = [line for line in said.splitlines() if line.strip()] or ["no word"]
            why = next((line for line in lines if line.startswith(("ERROR", "E  "))), lines[-1])
            raise EdgewrightError(f"pytest ended with {status}: {why}")
        return found
