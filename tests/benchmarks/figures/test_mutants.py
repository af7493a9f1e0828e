"""Deliberate faults: each can be planted, tests notice nearly all, and the copy is what they run in."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from edgewright.benchmarks.figures.mutants import __main__ as mutants
from edgewright.benchmarks.figures.mutants import project, table
from edgewright.benchmarks.figures.mutants.project import PACKAGES, Project
from edgewright.benchmarks.figures.mutants.table import Mutant
from edgewright.benchmarks.figures.render import RESULTS
from edgewright.runtime.errors import EdgewrightError, InputError

ROOT = Path(__file__).resolve().parents[3]
EVERY = table.read()
# Which a list of faults without them would not be one of this project.
WANTED = {
    *("output zero point added instead of subtracted", "a model that fails its trial listed as known"),
    *("int16x8 judged against other images' reference", "the bias threshold: any correction kept"),
    *("logits zero point off by one", "goldens the model is unsure of", "one 8-bit step counted as a tie"),
    *("the same batch order every epoch", "arm64 counts doubled", "arm64 classes compared with themselves"),
    *("validation published as test accuracy", "refused variants unpublished"),
    *("`--against` without its interval", "the lost-class warning removed"),
}


def test_faults_can_all_be_planted_and_their_killers_are_tests() -> None:
    for mutant in EVERY:
        assert mutant.changed(ROOT) != (ROOT / mutant.file).read_text(encoding="utf-8"), mutant.name
        for killer in mutant.killers:
            path, _, name = killer.partition("::")
            text = (ROOT / path).read_text(encoding="utf-8")
            assert f"\ndef {name.partition('[')[0]}(" in text, killer


def test_faults_are_many_in_every_folder_and_nearly_all_are_noticed() -> None:
    assert len(EVERY) >= 60
    assert {mutant.name for mutant in EVERY} >= WANTED
    by_folder = [sum(mutant.folder == folder for mutant in EVERY) for folder in PACKAGES]
    assert (sum(by_folder), min(by_folder) >= 10) == (len(EVERY), True)
    assert sum(bool(mutant.killers) for mutant in EVERY) >= 0.95 * len(EVERY)


def test_faults_published_are_those_of_the_table() -> None:
    rows = json.loads((RESULTS / mutants.FILE).read_text(encoding="utf-8"))["rows"]
    assert [(row["name"], row["folder"]) for row in rows] == [(m.name, m.folder) for m in EVERY]
    for row, mutant in zip(rows, EVERY, strict=True):
        assert bool(row["killed_by"]) == bool(mutant.killers)
        assert row["killed_by"].partition("[")[0] in (*mutant.killers, "")


def test_turns_take_every_fault_of_a_known_killer_once() -> None:
    dealt = [table.turn(EVERY, 10, number) for number in range(100)]
    turns = -(-sum(bool(mutant.killers) for mutant in EVERY) // 10)
    assert all(0 < len(some) <= 10 for some in dealt)
    assert sorted(m.name for some in dealt[:turns] for m in some) == sorted(
        m.name for m in EVERY if m.killers
    )
    assert dealt[turns] == dealt[0]
    assert len({mutant.folder for mutant in dealt[0]}) >= 4


def test_table_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "table.toml"
    entry = '[[mutant]]\nname = "a"\nfile = "b.py"\nold = "c"\nnew = "d"\nkillers = []\n'
    for text, says in (
        ("", "expected a table of faults"),
        ("[[mutant]]\nname = 'a'\n", "expected a table of faults"),
        (entry + "more = 1\n", "expected a table of faults"),
        (entry + entry, "expected faults of different names in .* got two 'a'"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=says):
            table.read(path)


TEST = """
from edgewright.runtime import double

def test_double_doubles():
    assert double(3) == 6

def test_double_of_nothing():
    assert double(0) == 0

def test_that_fails():
    assert False
"""


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of one function with tests, which import nothing else."""
    monkeypatch.setattr(project, "HEAVY", ())
    root = tmp_path / "root"
    for name in (*PACKAGES, "tests", ".hidden"):
        (root / name).mkdir(parents=True)
        (root / name / "__init__.py").touch()
    (root / "runtime" / "__init__.py").write_text("def double(x):\n    return 2 * x\n")
    (root / "tests" / "test_double.py").write_text(TEST)
    (root / "pyproject.toml").write_text("[tool.pytest.ini_options]\n")
    return root


def fault(new: str = "3 * x", killer: str = "test_double_doubles", old: str = "2 * x") -> Mutant:
    killers = (f"tests/test_double.py::{killer}",) if killer else ()
    return Mutant(name=f"{old} is {new}", file="runtime/__init__.py", old=old, new=new, killers=killers)


def test_faults_are_planted_in_a_copy_and_noticed_by_name(tiny: Path, tmp_path: Path) -> None:
    chosen = [fault(), fault("x * 2"), fault("4 * x", killer=""), fault("nonsense")]
    with Project(tiny, tmp_path / "scratch") as copy:
        assert not (copy.folder / ".hidden").exists()
        rows = mutants.plant(copy, chosen)
    found = ["tests/test_double.py::test_double_doubles", "", "", "tests/test_double.py::test_double_doubles"]
    assert [row["killed_by"] for row in rows] == found
    assert {row["folder"] for row in rows} == {"runtime"}
    assert "2 * x" in (copy.folder / "runtime" / "__init__.py").read_text()


@pytest.mark.parametrize(
    ("mutant", "says"),
    [
        (fault(old="5 * x"), "once in runtime/__init__.py, got it 0 times"),
        (fault(old="x"), "once in runtime/__init__.py, got it 2 times"),
        (fault(killer="test_that_fails"), "to pass without a fault, got failed"),
        (fault(killer="test_that_is_none"), "not found|no such test|pytest ended"),
    ],
    ids=["stale", "twice", "not green", "no test"],
)
def test_faults_that_say_nothing_are_refused(tiny: Path, tmp_path: Path, mutant: Mutant, says: str) -> None:
    with Project(tiny, tmp_path / "scratch") as copy, pytest.raises(EdgewrightError, match=says):
        mutants.plant(copy, [mutant])


def test_project_that_would_import_another_is_refused(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Project, "_environment", lambda self: {**os.environ, "PYTHONPATH": ""})
    with pytest.raises(EdgewrightError, match=r"expected to import the copy in .*scratch.*, got /"):
        Project(tiny, tmp_path / "scratch")


@pytest.mark.parametrize(
    "words", [["--count", "0"], ["--count", "3", "--out", "."]], ids=["none", "published in part"]
)
def test_options_that_cannot_be_are_refused(words: Sequence[str]) -> None:
    with pytest.raises(InputError, match="expected a --count of at least 1, and --out only with all faults"):
        mutants.main([*words])
