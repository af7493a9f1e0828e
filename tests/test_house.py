"""The house keeps its shape: packages match the tree, plugins import anywhere, cold start stays light."""

from __future__ import annotations

import ast
import json
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import edgewright.runtime

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("runtime", "train", "apps", "export", "benchmarks")
FIGURES = ROOT / "benchmarks" / "figures"  # the project's own experiments, no part of an installation
HEAVY = (
    *("tensorflow", "keras", "tf_keras", "onnx", "onnxruntime", "ai_edge_litert"),
    *("matplotlib", "sklearn", "tf2onnx", "ai_edge_quantizer", "flatbuffers", "rich", "psutil"),
    *("tensorflow_model_optimization", "jinja2", "markupsafe", "openvino", "mediapipe", "cv2"),
    *("cryptography", "model_signing", "sigstore", "OpenSSL"),
)


@pytest.fixture(scope="module")
def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_pyproject_packages_are_the_folders_that_hold_code(pyproject: dict[str, Any]) -> None:
    found = {
        ".".join(("edgewright", *file.parent.relative_to(ROOT).parts))
        for folder in FOLDERS
        for file in (ROOT / folder).rglob("*.py")
        if FIGURES not in file.parents
    }
    settings = pyproject["tool"]["setuptools"]
    assert sorted(settings["packages"]) == sorted(found)
    assert settings["package-dir"] == {f"edgewright.{folder}": folder for folder in FOLDERS}


def test_package_data_brings_the_files_that_are_no_code(pyproject: dict[str, Any]) -> None:
    data = pyproject["tool"]["setuptools"]["package-data"]
    for name in pyproject["tool"]["setuptools"]["packages"]:
        folder = ROOT.joinpath(*name.split(".")[1:])
        beside = {f.name for f in folder.iterdir() if f.is_file() and f.suffix not in (".py", ".pyc")}
        assert beside == {f.name for glob in data.get(name, []) for f in folder.glob(glob)}, name


def test_no_room_has_more_than_13_files() -> None:
    rooms = {file.parent for folder in FOLDERS for file in (ROOT / folder).rglob("*.py")}
    counted = {room: len([f for f in room.glob("*.py") if f.name != "__init__.py"]) for room in rooms}
    assert {str(room): count for room, count in counted.items() if count > 13} == {}


def test_print_and_console_are_used_by_commands_and_figures_only() -> None:
    allowed = {"Progress", "silent"}  # how the library tells who called it
    for folder in FOLDERS:
        for file in (ROOT / folder).rglob("*.py"):
            if {"commands", "figures"} & set(file.parts) or file in (
                ROOT / "runtime" / "cli.py",
                ROOT / "runtime" / "console.py",
            ):
                continue
            source = file.read_text(encoding="utf-8")
            if "console" not in source:
                continue
            tree = ast.parse(source)
            used = {
                node.attr
                for node in ast.walk(tree)
                if isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name)
                and node.value.id == "console"
            }
            assert used <= allowed, f"{file} prints"


def test_base_install_dependencies_are_numpy_and_pillow(pyproject: dict[str, Any]) -> None:
    names = [re.split(r"[<>=!~;\[ ]", entry)[0] for entry in pyproject["project"]["dependencies"]]
    assert sorted(names) == ["numpy", "pillow"]


@pytest.mark.parametrize(
    ("package", "constant", "least"),
    [
        ("runtime.backends", "BACKEND", {"litert", "openvino", "ort"}),
        ("runtime.commands", "HELP", {"predict", "verify", "inspect"}),
        ("train.recipes", "RECIPE", {"fashion-mlp"}),
        ("export.formats", "FORMAT", {"tflite", "onnx"}),
        ("export.passes", "PASS", {"prune", "cluster", "qat", "finetune"}),
        ("benchmarks.targets", "TARGET", {"local", "arm64", "browser", "ethos-u", "micro", "ssh", "adb"}),
        ("benchmarks.linting", "LINTER", {"xnnpack", "ethos-u", "micro", "coreml"}),
        ("benchmarks.report.writers", "WRITER", {"html", "md", "json"}),
        ("benchmarks.figures.peers", "PEER", {"edgewright-runtime", "keras-predict", "opencv-dnn"}),
    ],
)
def test_plugins_import_without_the_heavy_packages(
    package: str, constant: str, least: set[str], fresh: Callable[..., Any]
) -> None:
    code = """
from edgewright.runtime import plugins
package, constant = sys.argv[1:]
for name in plugins.names(package):
    plugins.get(package, name, constant)
    print(name)
"""
    done = fresh(f"edgewright.{package}", constant, code=code, blocked=HEAVY)
    assert done.returncode == 0, done.stderr
    assert least <= set(done.stdout.split())


def test_help_lists_every_command_and_imports_no_numpy(fresh: Callable[..., Any]) -> None:
    code = """
import json
from edgewright.runtime.cli import main
try:
    main(["--help"])
except SystemExit as end:
    print(json.dumps([end.code, sorted(sys.modules)]))
"""
    done = fresh(code=code, blocked=HEAVY)
    *text, last = done.stdout.splitlines()
    status, modules = json.loads(last)
    assert status == 0, done.stderr
    assert not {"numpy", "PIL"} & set(modules)
    for command in ("train", "export", "predict", "verify", "inspect", "bench", "compare", "report"):
        assert any(line.startswith(f"    {command} ") for line in text)


def test_runtime_lazy_imports_bring_names_when_they_are_asked_for(fresh: Callable[..., Any]) -> None:
    code = """
import edgewright.runtime
assert "numpy" not in sys.modules
from edgewright.runtime import load
assert "numpy" in sys.modules and callable(load)
"""
    done = fresh(code=code, blocked=HEAVY)
    assert done.returncode == 0, done.stderr


def test_runtime_all_public_names_are_there() -> None:
    for name in edgewright.runtime.__all__:
        assert getattr(edgewright.runtime, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        _ = edgewright.runtime.lode
