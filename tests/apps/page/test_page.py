"""What is written: the right files, nothing of the bundle's as markup; and one line where nothing is."""

from __future__ import annotations

import base64
import hashlib
import html.parser
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgewright.apps import page
from edgewright.apps.web import assets
from edgewright.runtime import Bundle

Run = Callable[..., tuple[int, str, str]]
Change = Callable[[dict[str, Any]], None]
Changed = Callable[[Path, Change], None]
HOSTILE = "</title><script>alert(1)</script>\"&'\u202e\x1b[31m"


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A node_modules with every file that is vendored, all but empty."""
    folder = tmp_path_factory.mktemp("node_modules")
    for package in assets.PACKAGES:
        for name in (*package.files, *package.webgpu):
            (folder / package.name / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / package.name / name).write_text(f"// {name}\n")
        (folder / package.name / "package.json").write_text(json.dumps({"version": package.version}))
    return folder


def _found(out: Path) -> set[str]:
    return {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}


def test_page_has_its_files_and_the_engines_of_its_formats(
    run: Run, bundle: Path, stand_ins: Path, tmp_path: Path
) -> None:
    out = tmp_path / "page"
    status, said, complaints = run("demo-page", bundle, "--out", out, "--assets", stand_ins)
    assert (status, complaints) == (0, "")
    assert f"wrote {out / 'index.html'}" in said
    found = _found(out)
    assert {"index.html", "page.js", "preprocess.js", "worker.js", "icon-192.png", "icon-512.png"} <= found
    told = json.loads((out / "page.json").read_bytes())
    assert told["files"][0]["name"].endswith("int8")  # the recommended first
    assert len(told["files"]) == len(Bundle.open(bundle).manifest.variants)
    for file in told["files"]:
        assert hashlib.sha256((out / file["path"]).read_bytes()).hexdigest() == file["sha256"]
    assert not any("threaded_internal" in name for name in found)  # plain hosts give pages one thread
    worker = (out / "worker.js").read_text()
    kept = set(json.loads(re.search(r"FILES = (\[.*?\])", worker)[1]))  # type: ignore[index]
    assert kept == found - {"worker.js", "edgewright-app.json"}
    assert json.loads((out / "page.webmanifest").read_bytes())["start_url"] == "./"


def test_variants_are_those_that_were_named_with_their_engine_alone(
    run: Run, bundle: Path, stand_ins: Path, tmp_path: Path
) -> None:
    out = tmp_path / "page"
    words = ("--assets", stand_ins, "--variants", "tflite-float32,tflite-int8")
    assert run("demo-page", bundle, "--out", out, *words)[0] == 0
    assert not any("onnx" in name for name in _found(out))
    told = json.loads((out / "page.json").read_bytes())
    assert [file["name"] for file in told["files"]] == ["tflite-float32", "tflite-int8"]
    status, _, complaints = run("demo-page", bundle, "--out", tmp_path / "b", "--variants", "tflite-int9")
    assert (status, complaints.count("\n")) == (1, 1)
    assert "did you mean 'tflite-int8'" in complaints


def test_what_a_bundle_says_is_never_markup(
    run: Run, bundle: Path, changed: Changed, stand_ins: Path, tmp_path: Path
) -> None:
    def hostile(data: dict[str, Any]) -> None:
        data["name"] = HOSTILE
        data["labels"][0] = HOSTILE
        data["variants"][0]["name"] = HOSTILE
        file = data["variants"][0]["file"]
        data["variants"][0]["file"] = f"a%2e#?<b> {'x' * 100}.tflite"
        (bundle / file).rename(bundle / data["variants"][0]["file"])

    changed(bundle, hostile)
    out = tmp_path / "page"
    status, said, complaints = run("demo-page", bundle, "--out", out, "--assets", stand_ins)
    assert (status, complaints) == (0, "")
    assert "\x1b" not in said
    tags: list[str] = []

    class Parser(html.parser.HTMLParser):
        def handle_starttag(self, tag: str, attrs: Any) -> None:
            tags.append(tag)

    markup = (out / "index.html").read_text()
    Parser().feed(markup)
    assert tags.count("script") == 2
    assert "alert(1)" in markup and "<script>alert" not in markup
    told = json.loads((out / "page.json").read_bytes())
    assert told["labels"][0] == HOSTILE
    for path in _found(out):
        assert re.fullmatch(r"[A-Za-z0-9._@/-]+", path), path
    imports = re.search(r'<script type="importmap">(.*?)</script>', markup)
    assert imports is not None
    digest = base64.b64encode(hashlib.sha256(imports[1].encode()).digest()).decode()
    assert f"&#x27;sha256-{digest}&#x27;" in markup
    assert "unsafe-inline" not in markup and "unsafe-eval&" not in markup.replace("wasm-unsafe-eval", "")


def _io(dtype: str) -> Change:
    return lambda data: [v["input"].update(dtype=dtype) for v in data["variants"]] and None


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (_io("int8"), "expected a file of uint8 or float32 edges, got"),
        (
            lambda data: [v["input"].update(shape=[8, 28, 28, 1]) for v in data["variants"]],
            "expected a file that takes one image at a time, got",
        ),
        (
            lambda data: data.update(head="embedding", labels=[]),
            "expected a bundle that names what it sees, got",
        ),
    ],
)
def test_bundle_that_no_browser_runs_gets_one_line_and_no_page(
    run: Run, bundle: Path, changed: Changed, stand_ins: Path, tmp_path: Path, change: Change, says: str
) -> None:
    changed(bundle, change)
    status, said, complaints = run("demo-page", bundle, "--out", tmp_path / "page", "--assets", stand_ins)
    assert (status, said, complaints.count("\n")) == (1, "", 1)
    assert says in complaints
    assert not (tmp_path / "page").exists()


def test_file_that_browsers_do_not_run_is_left_out_and_said_unless_it_was_named(
    run: Run, bundle: Path, changed: Changed, stand_ins: Path, tmp_path: Path
) -> None:
    changed(bundle, lambda data: data["variants"][0]["output"].update(dtype="int8"))
    name = Bundle.open(bundle).manifest.variants[0].name
    status, said, _ = run("demo-page", bundle, "--out", tmp_path / "page", "--assets", stand_ins)
    assert status == 0
    assert f"{name} is left out: expected a file of uint8 or float32 edges" in said
    words = ("--assets", stand_ins, "--variants", f"tflite-int8,{name}")
    status, _, complaints = run("demo-page", bundle, "--out", tmp_path / "other", *words)
    assert (status, complaints.count("\n")) == (1, 1)
    assert not (tmp_path / "other").exists()


def test_damaged_bundle_and_taken_place_are_refused_before_any_work(
    run: Run, bundle: Path, stand_ins: Path, tmp_path: Path
) -> None:
    out = tmp_path / "page"
    words = ("--out", out, "--assets", stand_ins)
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    status, _, complaints = run("demo-page", tmp_path / "nowhere", *words)
    assert (status, complaints.count("\n")) == (1, 1)
    assert "already holds mine.txt" in complaints  # before it is seen that there is no bundle
    assert run("demo-page", bundle, *words, "--overwrite")[0] == 1
    assert (out / "mine.txt").read_text() == "mine"
    (out / "mine.txt").unlink()
    assert run("demo-page", bundle, *words)[0] == 0
    before = (out / "index.html").read_bytes()
    assert run("demo-page", bundle, *words)[0] == 1
    assert run("demo-page", bundle, *words, "--overwrite")[0] == 0
    assert (out / "index.html").read_bytes() == before
    file = next(bundle.glob("*.tflite"))
    raw = bytearray(file.read_bytes())
    raw[-1] ^= 1
    file.write_bytes(raw)
    status, _, complaints = run("demo-page", bundle, *words, "--overwrite")
    assert (status, complaints.count("\n")) == (1, 1)
    assert f"{file} is damaged" in complaints
    assert (out / "index.html").read_bytes() == before


def test_same_bundle_gives_the_same_bytes_and_another_a_cache_of_its_own(
    bundle: Path, changed: Changed, stand_ins: Path, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        page.write(bundle, tmp_path / name, given=str(stand_ins))
    assert all(
        (tmp_path / "a" / f).read_bytes() == (tmp_path / "b" / f).read_bytes() for f in _found(tmp_path / "a")
    )
    changed(bundle, lambda data: data["labels"].__setitem__(0, "other"))
    page.write(bundle, tmp_path / "c", given=str(stand_ins))
    assert (tmp_path / "c" / "worker.js").read_bytes() != (tmp_path / "a" / "worker.js").read_bytes()


def test_unproven_files_are_marked_and_come_last(
    bundle: Path, changed: Changed, stand_ins: Path, tmp_path: Path
) -> None:
    def unproven(data: dict[str, Any]) -> None:
        best = min(data["variants"], key=lambda v: v["rank"])
        best["parity"]["verdict"] = "not proven"

    changed(bundle, unproven)
    page.write(bundle, tmp_path / "page", given=str(stand_ins))
    told = json.loads((tmp_path / "page" / "page.json").read_bytes())
    assert [file["proven"] for file in told["files"]] == [True] * (len(told["files"]) - 1) + [False]
