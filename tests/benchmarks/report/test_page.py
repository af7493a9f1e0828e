"""The page in a real browser: it sorts, it shows its pictures, it asks nobody for anything."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgewright.benchmarks.report import facts
from edgewright.benchmarks.report.writers.html import write
from edgewright.export.exporter import Result
from edgewright.runtime.bundle.manifest import MANIFEST, Bundle

pytestmark = pytest.mark.slow
WriteBench = Callable[..., Path]
# The first column of the first table, as it is shown.
COLUMN = (
    "[...document.querySelectorAll('table.sortable')[0].tBodies[0].rows].map(row => row.cells[0].dataset.v)"
)
HEADS = "[...document.querySelectorAll('table.sortable')[0].tHead.rows[0].cells]"


@pytest.fixture(scope="module")
def page(
    exported: tuple[Path, Result], write_bench: WriteBench, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("page")
    names = [v.name for v in Bundle.open(exported[0]).manifest.variants]
    bench = write_bench(folder / "bench.json", {name: 10.0 - i for i, name in enumerate(names[:-1])})
    out = folder / "report.html"
    out.write_bytes(write(facts.gather([exported[0]], [bench])))
    return out


def press(browser: Any, key: str, code: int) -> None:
    for kind in ("keyDown", "keyUp"):
        text = {"text": "\r"} if key == "Enter" and kind == "keyDown" else {}
        browser.do("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **text)


def test_report_page_table_sorts_by_mouse_and_by_keyboard(
    browser: Any, page: Path, exported: tuple[Path, Result]
) -> None:
    browser.open(page)
    variants = Bundle.open(exported[0]).manifest.variants
    by_size = [v.name for v in sorted(variants, key=lambda v: v.file.bytes)]
    place = f"{HEADS}.findIndex(head => head.innerText.startsWith('size'))"
    box = browser.run(
        f"(() => {{ const b = {HEADS}[{place}].querySelector('button');"
        "b.scrollIntoView({block: 'center'});"
        "const r = b.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; })()"
    )
    for expected, said in ((by_size, "ascending"), (by_size[::-1], "descending")):
        for kind in ("mousePressed", "mouseReleased"):
            browser.do("Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left", clickCount=1)
        assert browser.run(COLUMN) == expected
        assert browser.run(f"{HEADS}[{place}].getAttribute('aria-sort')") == said
        assert browser.run(f"{HEADS}.filter(head => head.getAttribute('aria-sort') !== 'none').length") == 1
    press(browser, "Tab", 9)  # on to accuracy, and back to size: a heading is reached by keys alone
    browser.do(
        "Input.dispatchKeyEvent", type="keyDown", key="Tab", code="Tab", windowsVirtualKeyCode=9, modifiers=8
    )
    press(browser, "Enter", 13)
    assert browser.run(COLUMN) == by_size


def test_report_page_table_has_what_was_not_measured_last_either_way(browser: Any, page: Path) -> None:
    browser.open(page)
    head = f"{HEADS}.find(head => head.innerText.startsWith('time, p50')).querySelector('button').click()"
    for first in ("onnx-float32", "tflite-float32"):
        browser.run(head)
        names = browser.run(COLUMN)
        assert (names[0], names[-1]) == (first, "onnx-int8")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 390])
def test_report_page_pictures_are_there_and_nothing_is_wider_than_the_screen(
    browser: Any, page: Path, width: int, scheme: str
) -> None:
    browser.do("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    browser.do(
        "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 500
    )
    browser.open(page)
    assert browser.run("document.documentElement.scrollWidth") <= width
    drawn = browser.run(
        "[...document.querySelectorAll('figure svg')].map(svg => [svg.getBoundingClientRect().width,"
        "svg.querySelectorAll('use, path').length, svg.getBoundingClientRect().height])"
    )
    assert len(drawn) == 2
    for across, shapes, down in drawn:
        assert across > 250
        assert down > 150
        assert shapes > 30
    images = browser.run(
        "document.querySelectorAll('details').forEach(d => d.open = true),"
        "Promise.all([...document.images].map(i => i.decode().then(() => i.naturalWidth)))"
    )
    assert images
    assert set(images) == {28}
    ink, paper = (
        sum(int(c) for c in browser.run(f"getComputedStyle(document.body).{name}")[4:-1].split(","))
        for name in ("color", "backgroundColor")
    )
    assert (ink > paper) == (scheme == "dark")
    label = browser.run("getComputedStyle(document.querySelector('figure svg text')).fill")
    assert (sum(int(c) for c in label[4:-1].split(",")) > 3 * 128) == (scheme == "dark")


def test_report_page_leaves_the_console_silent_and_sends_no_request(browser: Any, page: Path) -> None:
    browser.open(page)
    browser.run(f"{HEADS}.forEach(head => head.querySelector('button').click())")
    assert browser.reported("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled") == []
    asked = {event["request"]["url"] for event in browser.reported("Network.requestWillBeSent")}
    assert {url for url in asked if not url.startswith("data:image/png;base64,")} == {page.resolve().as_uri()}


def test_report_page_policy_runs_no_script_that_is_not_the_pages_own(browser: Any, page: Path) -> None:
    raw = page.read_text(encoding="utf-8")
    forged = page.with_name("forged.html")
    forged.write_text(raw.replace("</main>", "<script>document.title = 'taken'</script></main>"))
    browser.open(forged)
    assert browser.run("document.title") == "Which file to ship: fashion-mlp"


# How many pairs of words of a picture, or of a table's headings, lie on each other.
OVERLAPS = """
[...document.querySelectorAll('figure svg'), ...document.querySelectorAll('thead tr')].flatMap(whole => {
  const boxes = [...whole.querySelectorAll('text, th > *')].map(one => one.getBoundingClientRect());
  return boxes.flatMap((a, i) => boxes.slice(i + 1).filter(b => a.width && b.width
    && a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1));
}).length
"""


@pytest.mark.parametrize("width", [1280, 390])
def test_report_page_labels_do_not_overlap(
    browser: Any, exported: tuple[Path, Result], write_bench: WriteBench, tmp_path: Path, width: int
) -> None:
    folder = Path(shutil.copytree(exported[0], tmp_path / "bundle"))
    manifest = Bundle.open(folder).manifest
    names = [f"prune80+cluster16+{v.name}" for v in manifest.variants]
    labels = ("\u77ed\u8896T\u6064\u548c\u4e0a\u8863", "a label of considerable length, nobody would want it")
    manifest = dataclasses.replace(
        manifest,
        name="\u65f6\u88c5\u5206\u7c7b\u5668",
        labels=(*labels, "Supercalifragilisticexpialidocious", *manifest.labels[3:]),
        variants=tuple(dataclasses.replace(v, name=n) for v, n in zip(manifest.variants, names, strict=True)),
    )
    (folder / MANIFEST).write_bytes(manifest.to_bytes())
    times = {name: 0.01 * 6.0**i for i, name in enumerate(names)}  # over four decades
    bench = write_bench(tmp_path / "bench.json", times, bundle=manifest.name)
    (tmp_path / "report.html").write_bytes(write(facts.gather([folder], [bench])))
    browser.do(
        "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 500
    )
    browser.open(tmp_path / "report.html")
    assert browser.run("document.documentElement.scrollWidth") <= width
    assert browser.run("document.querySelectorAll('figure svg text').length") > 20
    assert browser.run(OVERLAPS) == 0
