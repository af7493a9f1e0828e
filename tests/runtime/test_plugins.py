"""A plugin is found by the name of its file, and imported only when it is used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgewright.runtime import plugins
from edgewright.runtime.errors import UnknownNameError


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A plugin folder with one module that works and one that must not be imported."""
    name = f"plugins_of_{tmp_path.name}"
    folder = tmp_path / name
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "one_two.py").write_text("PASS = 12")
    (folder / "broken.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    return name


def test_plugin_names_are_those_of_the_files_and_listing_imports_none(package: str) -> None:
    assert plugins.names(package) == ("broken", "one-two")


def test_plugins_get_imports_no_other_plugin(package: str) -> None:
    assert plugins.get(package, "one-two", "PASS") == 12


def test_plugins_get_of_an_unknown_name_says_the_nearest(package: str) -> None:
    with pytest.raises(UnknownNameError, match="unknown pass 'one-tow'; did you mean 'one-two'"):
        plugins.get(package, "one-tow", "PASS")


def test_plugin_names_of_the_backends_load_none_of_them(fresh: Callable[..., Any]) -> None:
    code = """
from edgewright.runtime import plugins
print(plugins.names("edgewright.runtime.backends"))
print([m for m in sys.modules if m.startswith("edgewright.runtime.backends.")])
"""
    done = fresh(code=code)
    assert done.stdout.splitlines() == ["('litert', 'openvino', 'ort')", "[]"], done.stderr


@pytest.mark.parametrize(
    ("module", "there"),
    [("json", True), ("nowhere", False), ("nowhere.inside", False), ("json.nowhere", False)],
)
def test_plugins_installed_says_whether_a_module_can_be_imported(module: str, there: bool) -> None:
    assert plugins.installed(module) is there


def test_plugins_installed_counts_a_package_that_may_not_be_imported_as_missing(
    fresh: Callable[..., Any],
) -> None:
    code = "from edgewright.runtime import plugins; print(plugins.installed('onnx'))"
    assert fresh(code=code, blocked=["onnx"]).stdout == "False\n"
    assert fresh(code=code).stdout == "True\n"
