"""A test that could not run where all must run is a failure; what is listed is not, as long as it happens."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.required import ALLOWED, REQUIRED, read_allowed

ROOT = Path(__file__).resolve().parent.parent
_TESTS = """
import pytest

@pytest.fixture(scope="module")
def absent():
    pytest.skip("no network here")

def test_in_a_fixture(absent): pass
@pytest.mark.skipif(True, reason="no clients")
def test_marked(): pass
def test_within(): pytest.skip("no data")
@pytest.mark.parametrize("x", [])
def test_of_nothing(x): pass
@pytest.mark.parametrize("x", [1, 2])
def test_listed(x): pytest.skip("only root can do that")
def test_listed_for_another_reason(): pytest.skip("no network here")
def test_listed_that_runs(): pass
def test_listed_elsewhere(): pass
def test_that_runs(): pass
"""
_LIST = """
[[allowed]]
test = "tests/test_some.py::test_listed"
reason = "only root"

[[allowed]]
test = "tests/test_some.py::test_listed_for_another_reason"
reason = "only root"

[[allowed]]
test = "tests/test_some.py::test_listed_that_runs"
reason = "only root"

[[allowed]]
test = "tests/test_some.py::test_listed_elsewhere"
reason = "only root"
where = "not root"
"""
_MODULE = 'import pytest\npytest.importorskip("no_such_package_anywhere")\ndef test_of_a_package(): pass\n'


@pytest.fixture
def inner(tmp_path: Path) -> Path:
    (tmp_path / "tests").mkdir()
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "tests" / "test_some.py").write_text(_TESTS)
    (tmp_path / ALLOWED).write_text(_LIST)
    return tmp_path


def _ran(folder: Path, *words: str, required: str = "") -> tuple[int, set[str], str]:
    """Exit status, what failed, and all that a run in `folder` said."""
    code = f"import sys; sys.path.append({str(ROOT)!r}); import os; os.geteuid = lambda: 0; import pytest; "
    code += "sys.exit(pytest.main(sys.argv[1:]))"
    words = ("-q", "-p", "tests.required", "-p", "no:cacheprovider", "-rfE", *words)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=folder,
        env=environment | {REQUIRED: required, "PYTEST_DEBUG_TEMPROOT": str(folder)},  # it tidies up its own
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    said = [
        line.split(" - ")[0] for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR "))
    ]
    return done.returncode, {line.rpartition("::")[2] for line in said}, done.stdout + done.stderr


def test_required_run_fails_for_each_skip_that_is_not_listed_and_each_listed_one_that_ran(
    inner: Path,
) -> None:
    status, failed, said = _ran(inner, "-n", "2", required="1")  # as `.ci/run` has it: two processes report
    assert status == 1, said
    assert failed == {
        "test_in_a_fixture",
        "test_marked",
        "test_within",
        "test_of_nothing[NOTSET]",
        "test_listed_for_another_reason",
        "test_listed_that_runs",
    }
    assert "expected to run, as EDGEWRIGHT_REQUIRED is set, got a skip: no clients;" in said
    assert "take it off" in said
    assert "    2 only root can do that\n" in said
    assert "2 passed, 2 skipped" in said


def test_run_that_requires_nothing_counts_its_skips_and_passes(inner: Path) -> None:
    status, failed, said = _ran(inner)
    assert (status, failed) == (0, set()), said
    assert "    2 no network here\n" in said
    assert "    1 no data\n" in said


def test_required_module_that_is_left_out_as_a_whole_fails_too(inner: Path) -> None:
    (inner / "tests" / "test_some.py").write_text(_MODULE)
    status, failed, said = _ran(inner, "-n", "1", required="1")
    assert status == 1, said
    assert failed == {"ERROR tests/test_some.py"}
    assert "got a skip: could not import 'no_such_package_anywhere'" in said


def test_list_of_skips_names_tests_that_there_are() -> None:
    for entry in read_allowed(ROOT / ALLOWED):
        file, _, name = entry.test.partition("::")
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, entry.test
