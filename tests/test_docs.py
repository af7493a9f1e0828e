"""README is short, every command has its line, Python in the pages compiles, and what can be run is run."""

from __future__ import annotations

import contextlib
import importlib
import io
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import edgewright.runtime
from edgewright.runtime import plugins
from edgewright.runtime.cli import main

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
PAGES = [README, CONTRIBUTING, ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
SEAMS = {
    "train/recipes/": ("edgewright.train.recipe", "Recipe", "RECIPE"),
    "export/passes/": ("edgewright.export.passes", "Pass", "PASS"),
    "export/formats/": ("edgewright.export.formats", "Format", "FORMAT"),
    "runtime/backends/": ("edgewright.runtime.backends", "Backend", "BACKEND"),
    "benchmarks/targets/": ("edgewright.benchmarks.targets", "Target", "TARGET"),
    "benchmarks/figures/peers/": ("edgewright.benchmarks.figures.peers", "Peer", "PEER"),
}


def snippets(page: Path, language: str) -> list[str]:
    blocks = re.findall(r"^```(\S*)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return [code for of, code in blocks if of == language]


def commands() -> Iterator[str]:
    said = io.StringIO()
    with contextlib.redirect_stdout(said), pytest.raises(SystemExit):
        main(["--help"])
    yield from re.findall(r"^    ([a-z-]+)  ", said.getvalue(), re.MULTILINE)


def test_readme_is_read_in_one_sitting() -> None:
    lines = README.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 150
    prose = [line for line in lines if not line.startswith(("|", "Milliseconds, "))]
    assert max(map(len, prose)) <= 120


@pytest.mark.parametrize("page", [README, ROOT / "docs" / "commands.md"], ids=lambda page: page.name)
def test_docs_have_a_line_for_every_command(page: Path) -> None:
    (lines,) = [block for block in snippets(page, "") if "edgewright train" in block]
    assert {*re.findall(r"^edgewright ([a-z-]+) ", lines, re.MULTILINE)} == {*commands()}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_docs_python_compiles_its_names_are_there_and_links_lead_to_files(page: Path) -> None:
    for code in snippets(page, "python"):
        compile(code, str(page), "exec")
        exec("\n".join(re.findall(r"^from edgewright.*$", code, re.MULTILINE)), {})
    for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
        assert "://" in link or (page.parent / link).exists(), link


def test_readme_example_of_six_lines_names_a_boot(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (code,) = snippets(README, "python")
    monkeypatch.chdir(ROOT)
    exec(code.replace('"demo/bundle"', repr(str(bundle))), {})
    assert capsys.readouterr().out.startswith("Ankle boot ")


def test_contributing_shows_plugin_files_that_are_what_their_folder_takes() -> None:
    shown = {}
    for code in snippets(CONTRIBUTING, "python"):
        folder = re.fullmatch(r"# (.+/)\w+\.py", code.splitlines()[0])
        assert folder, "a snippet begins with the path of its file"
        names: dict[str, Any] = {}
        exec(code, names)
        module, protocol, constant = SEAMS[folder[1]]
        wanted = getattr(importlib.import_module(module), protocol)
        fields = {*vars(wanted), *wanted.__annotations__}
        shown[folder[1]] = {name for name in fields if name[0] != "_" and not hasattr(names[constant], name)}
    assert shown == {folder: set() for folder in SEAMS}


def test_api_page_of_the_runtime_has_every_public_name() -> None:
    page = (ROOT / "docs" / "api" / "runtime.md").read_text(encoding="utf-8")
    assert set(edgewright.runtime.__all__) <= set(re.findall(r":: edgewright\.runtime\.(\w+)$", page, re.M))


@pytest.mark.parametrize(
    ("package", "page"),
    [
        ("edgewright.train.recipes", "training.md"),
        ("edgewright.export.passes", "passes.md"),
        ("edgewright.benchmarks.targets", "targets.md"),
    ],
)
def test_docs_have_a_row_for_every_plugin(package: str, page: str) -> None:
    rows = re.findall(r"^\| `([a-z0-9-]+)", (ROOT / "docs" / page).read_text(encoding="utf-8"), re.MULTILINE)
    assert set(plugins.names(package)) <= set(rows)


def test_architecture_names_every_room() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    for contract in contracts["contracts"]:
        folder = contract["name"].removeprefix("rooms of ")
        if folder != contract["name"]:
            table = page.partition(f"\n**{folder}**\n")[2].partition("\n**")[0]
            rooms = {room for floor in contract["layers"] for room in floor.split(" | ")}
            assert rooms <= set(re.findall(r"`(\w+)/?`", table)), folder


def test_variants_and_proof_page_has_a_row_for_every_variant() -> None:
    from edgewright.export import variants

    page = (ROOT / "docs" / "variants-and-proof.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    assert set(variants.known()) <= set(re.findall(r"`([a-z0-9-]+)`", "".join(rows)))
