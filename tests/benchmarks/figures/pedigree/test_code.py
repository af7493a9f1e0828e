"""`code` changes with what can change a figure, and with nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgewright.benchmarks.figures.pedigree import code, kinds, stale
from edgewright.benchmarks.figures.pedigree.code import Part, Tree
from edgewright.runtime.errors import InputError, UnknownNameError

PART = Part(
    name="net",
    command="make results-net",
    roots=("benchmarks.net",),
    within=("benchmarks", "runtime.timed"),
    apart=("benchmarks.shown",),
)
SOURCES = {
    "benchmarks/__init__.py": '_HOME = {"edgewright.benchmarks.far": ("public",)}\n',
    "benchmarks/net.py": (
        '"""Measures."""\nfrom typing import TYPE_CHECKING\nfrom edgewright.benchmarks import near, shown\n'
        "if TYPE_CHECKING:\n    from edgewright.benchmarks import typed\n\ndef measure():\n"
        '    """Do it."""\n    return near.take(1)  # once\n'
    ),
    "benchmarks/near.py": "from edgewright.runtime.timed import run\nimport edgewright.runtime.told\n",
    "benchmarks/shown.py": "import edgewright.benchmarks.behind\n",
    "benchmarks/behind.py": "x = 1\n",
    "benchmarks/typed.py": "x = 1\n",
    "benchmarks/far.py": "public = 1\n",
    "benchmarks/child.py": "PAGE = 'page.js'\n",
    "benchmarks/page.js": "1;\n",
    "runtime/timed/__init__.py": "from edgewright.runtime.timed import deep\n",
    "runtime/timed/deep.py": (
        'from edgewright.benchmarks import public\nWORDS = ["-m", "edgewright.benchmarks.child"]\n'
        "def run(x: int) -> int:\n    return x + 1\n"
    ),
    "runtime/told.py": "x = 1\n",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in SOURCES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_code_closure_follows_imports_names_in_texts_and_public_names_within_bounds(root: Path) -> None:
    assert Tree(root).closure(PART) == [
        *("benchmarks.child", "benchmarks.far", "benchmarks.near", "benchmarks.net", "benchmarks/page.js"),
        *("runtime.timed", "runtime.timed.deep"),
    ]


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("benchmarks/net.py", "  # once", "  # each time"),
        ("benchmarks/net.py", '"""Measures."""\n', '"""Measures it,\n\nslowly."""\n'),
        ("benchmarks/net.py", '"""Do it."""', '"""Do that."""'),
        ("benchmarks/net.py", "near.take(1)", "(near.take(\n        1,\n    ))"),
        ("benchmarks/shown.py", "import", "y = 2\nimport"),
        ("benchmarks/behind.py", "x = 1", "x = 2"),
        ("benchmarks/typed.py", "x = 1", "x = 2"),
        ("runtime/told.py", "x = 1", "x = 2"),
    ],
)
def test_code_is_the_same_after_a_change_that_can_change_no_figure(
    root: Path, name: str, old: str, new: str
) -> None:
    before = Tree(root).code(PART)
    (root / name).write_text((root / name).read_text().replace(old, new))
    assert (root / name).read_text() != SOURCES[name]
    assert Tree(root).code(PART) == before


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("runtime/timed/deep.py", "x + 1", "x + 2"),  # three imports deep
        ("runtime/timed/deep.py", "x: int", "y: int"),
        ("benchmarks/net.py", "near.take(1)", "near.take(True)"),
        ("benchmarks/far.py", "public = 1", "public = '1'"),
        ("benchmarks/child.py", "PAGE", "OTHER"),
        ("benchmarks/page.js", "1;", "2;"),
    ],
)
def test_code_is_another_after_a_change_of_what_a_figure_is_made_by(
    root: Path, name: str, old: str, new: str
) -> None:
    before = Tree(root).code(PART)
    (root / name).write_text((root / name).read_text().replace(old, new))
    assert Tree(root).code(PART) != before


def test_code_of_a_module_that_only_moved_is_the_same(root: Path) -> None:
    before = Tree(root).code(PART)
    (root / "benchmarks/net.py").rename(root / "benchmarks/measuring.py")
    moved = Part(**{**vars(PART), "roots": ("benchmarks.measuring",)})
    assert Tree(root).code(moved) == before


def test_code_of_nothing_is_an_error(root: Path) -> None:
    with pytest.raises(InputError, match=r"expected sources of net, benchmarks\.net, got none"):
        Tree(root / "runtime").code(PART)


def test_code_of_what_changed_since_the_program_began_is_unknown(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(code, "_begun", Tree(root))
    monkeypatch.setattr(code, "Tree", lambda: Tree(root))
    assert code.now(PART) == Tree(root).code(PART)
    (root / "benchmarks/far.py").write_text("public = 2\n")
    assert code.now(PART) == code.CHANGED


def test_kinds_have_roots_that_are_there_and_bounds_that_hold_them() -> None:
    tree = Tree()
    for kind in kinds.KINDS:
        for part in kinds.all_parts(kind, tree):
            if kind != "mutants" or tree.modules("benchmarks.figures.mutants"):
                assert tree.closure(part)
                for root in part.roots:
                    assert {*tree._expanded(root)} & {*tree.closure(part)}, f"{part.name}: {root}"
    with pytest.raises(UnknownNameError, match="kind of results"):
        kinds.part("sizes", {})


def test_kinds_take_what_can_change_a_figure() -> None:
    tree = Tree()

    def closure(kind: str, **row: str) -> set[str]:
        return {*tree.closure(kinds.part(kind, row))}

    local = closure("bench", target="local")
    assert {"runtime.backends.litert.session", "runtime.preprocess", "benchmarks.measure.probe"} <= local
    assert not {"runtime.console", "runtime.verification", "benchmarks.targets.browser.target"} & local
    assert not {name for name in local if name.startswith(("export", "benchmarks.figures"))}
    assert "benchmarks/targets/browser/frame.js" in closure("bench", target="browser-webgpu")
    assert "benchmarks/targets/arm64/count.c" in closure("bench", target="arm64")
    exported = closure("export")
    assert {"export.proof.gate", "export.formats.onnx.quantizer", "export.work.convert"} <= exported
    assert {"train.bridge", "runtime.contract", "export.finetuning.child"} <= exported
    assert "train.recipes.mnist_cnn" in closure("train", recipe="mnist-cnn")
    assert "train.recipes.fashion_mlp" not in closure("train", recipe="mnist-cnn")
    assert "runtime.cli" in closure("runtime", name="cold start of predict")
    assert "runtime.cli" not in closure("runtime", name="Session.run, mnist-cnn")


def test_published_rows_all_know_their_makers() -> None:
    """Stale ones are told, on their pages and by this command; they are made again in one go."""
    assert stale.main([]) == 0
    for path in stale.RESULTS.glob("*.json"):
        for row in json.loads(path.read_text())["rows"]:
            assert len(row["code"]) == code.DIGITS or row["code"] == code.CHANGED, path


def test_stale_rows_are_counted_by_what_is_wrong_with_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = Tree()
    now = tree.code(kinds.part("bench", {"target": "local"}))
    one = {"recipe": "net", "variant": "tflite-int8", "target": "local", "code": now, "file_sha256": "a"}
    rows = [one, {**one, "code": "0" * 16}, {**one, "file_sha256": "b"}, {**one, "code": ""}]
    exported = {"recipe": "net", "variant": "tflite-int8", "file_sha256": "a"}
    exported["code"] = tree.code(kinds.part("export", exported))
    for kind, found in (("bench", rows), ("export", [exported])):
        told = {"schema_version": 1, "environment": {}, "rows": found}
        (tmp_path / f"{kind}.json").write_text(json.dumps(told))
    assert stale.main(["--results", str(tmp_path)]) == 1
    said = capsys.readouterr().out.splitlines()
    why = "1 without code, 1 by earlier code, 1 of files since replaced, of 4 rows"
    assert said[0] == f"bench.json: {why}; make results-bench"
    assert said[1] == "3 of 5 published rows are to be made again"
