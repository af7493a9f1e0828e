"""float16 files beside float32 files: the ratios of a page in a browser, and what may fail there."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from edgewright.benchmarks.figures import float16
from edgewright.benchmarks.figures.float16 import __main__ as timing
from edgewright.benchmarks.figures.render import RESULTS
from edgewright.export.exporter import Result
from edgewright.runtime.bundle.manifest import Bundle
from edgewright.runtime.errors import EdgewrightError, MissingExtraError

# A browser that asks for what the page would, and posts ANSWER.
BROWSER = """#!{python} -I
import json, sys, urllib.request
base = sys.argv[-1].rpartition("/")[0]
get = lambda name: urllib.request.urlopen(base + "/" + name).read()
assert b"@litertjs/core" in get("index.html")
(pair,) = json.loads(get("job.json"))["job"]
assert pair["shape"][0] == 1 and all(get(name)[4:8] == b"TFL3" for name in pair["files"])
assert get("node_modules/package.json") == b"{{}}"
urllib.request.urlopen(base + "/result", data={answer!r}.encode())
"""


@pytest.fixture(scope="module")
def shared(exported: tuple[Path, Result]) -> Bundle:
    return Bundle.open(exported[0])


def browser(folder: Path, answer: object) -> Path:
    folder.mkdir()
    program = folder / "chromium"
    program.write_text(BROWSER.format(python=sys.executable, answer=json.dumps(answer)))
    program.chmod(0o755)
    (folder / "modules").mkdir()
    (folder / "modules/package.json").write_text("{}")
    return folder


def test_float16_in_the_browser_is_what_the_page_posts(
    shared: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert float16.__doc__
    answer = {"found": [{"ratios": [[2.0, 1.5, 1.0]] * 6, "max_abs_error": 0.25}]}
    folder = browser(tmp_path / "bin", answer)
    monkeypatch.setenv("PATH", str(folder))
    (row,) = timing.in_the_browser([shared], folder / "modules", 0.1)
    behind = {"file_sha256": "tflite-float16", "against_sha256": "tflite-float32"}
    sums = {key: shared.variant(name).file.sha256 for key, name in behind.items()}
    assert row == {"ratio": 1.5, "ratio_low": 1.5, "ratio_high": 1.5, "max_abs_error": 0.25, **sums}
    folder = browser(tmp_path / "failing", {"error": "no wasm"})
    monkeypatch.setenv("PATH", str(folder))
    with pytest.raises(EdgewrightError, match="no wasm"):
        timing.in_the_browser([shared], folder / "modules", 0.1)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingExtraError, match="Chromium"):
        timing.in_the_browser([shared], folder / "modules", 0.1)


def test_float16_natively_is_a_ratio_of_two_files_of_a_bundle(shared: Bundle) -> None:
    row = timing.natively(shared, 0.0)
    assert 0 < row["ratio_low"] <= row["ratio"] <= row["ratio_high"]
    assert row["max_abs_error"] < 0.01


def test_float16_published_rows_are_of_both_engines() -> None:
    rows = json.loads((RESULTS / "float16.json").read_text(encoding="utf-8"))["rows"]
    assert {row["engine"] for row in rows} == {"LiteRT", "LiteRT.js, wasm"}
    assert all(row["ratio_low"] <= row["ratio"] <= row["ratio_high"] for row in rows)
