"""The page at work in Chromium: answers as in Python, the camera, no network, no secure context."""

from __future__ import annotations

import base64
import io
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgewright.apps import page
from edgewright.export.exporter import Result
from edgewright.runtime import Bundle, load
from edgewright.runtime.verification import GOLDEN_INPUTS, read_golden

pytestmark = pytest.mark.slow
_SECONDS = 60.0
# A drop of a picture, and what all cards then say: name, first label, its share, milliseconds.
_HELPERS = """
window.drop = (text, name) => {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0)), data = new DataTransfer();
  data.items.add(new File([bytes], name, { type: "image/png" }));
  document.getElementById("image").alt = "";
  dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
};
window.choose = (first, second) => {
  for (const [id, name] of [["first", first], ["second", second]]) {
    const select = document.getElementById(id);
    const found = [...select.options].find((one) => one.text === name);
    select.value = name ? found.value : "";
    select.dispatchEvent(new Event("change"));
  }
};
window.cards = () => [...document.querySelectorAll("#cards article")].map((card) => ({
  name: card.querySelector("h3").textContent,
  label: card.querySelector(".bars bdi")?.textContent,
  share: parseFloat(card.querySelector(".share")?.textContent.replace(/[<>\\s]/g, "")),
  took: card.querySelector(".took b")?.textContent,
}));
true
"""


@pytest.fixture(scope="module")
def shown(
    exported: tuple[Path, Result],
    engines: Path,
    host: Callable[[Path], Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> Any:
    """The page of all variants, on a host; `port`, `url`, `plain`."""
    out = tmp_path_factory.mktemp("demo") / "page"
    page.write(exported[0], out, given=str(engines))
    return host(out)


def _until(browser: Any, script: str) -> Any:
    end = time.monotonic() + _SECONDS
    while not (found := browser.run(script)):
        assert time.monotonic() < end, (script, browser.run("document.body.innerText"))
        time.sleep(0.05)
    return found


def _open(browser: Any, url: str) -> None:
    browser.events.clear()
    browser.open(url)
    _until(browser, "document.documentElement.dataset.ready === 'true'")
    browser.run(_HELPERS)


def _quiet(browser: Any) -> None:
    """Nothing was thrown, and no policy was broken."""
    said = [event["exceptionDetails"] for event in browser.reported("Runtime.exceptionThrown")]
    logged = [
        event["entry"]["text"]
        for event in browser.reported("Log.entryAdded")
        if event["entry"]["level"] == "error"
    ]
    assert (said, logged) == ([], [])


def _png(image: Any) -> str:
    out = io.BytesIO()
    Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image).save(out, "png")
    return base64.b64encode(out.getvalue()).decode()


def _drop(browser: Any, text: str, name: str) -> list[dict[str, Any]]:
    browser.run(f"drop({json.dumps(text)}, {json.dumps(name)})")
    _until(browser, f"document.getElementById('image').alt === {json.dumps(name)}")
    done = "!document.getElementById('status').textContent.startsWith('Looking')"
    _until(browser, f"{done} && cards().every((c) => c.took)")
    found: list[dict[str, Any]] = browser.run("cards()")
    return found


def test_golden_images_get_the_classes_of_python_in_every_file(
    browser: Any, shown: Any, exported: tuple[Path, Result]
) -> None:
    bundle = Bundle.open(exported[0])
    golden, labels = read_golden(bundle), bundle.manifest.labels
    _open(browser, shown.url)
    names = [variant.name for variant in bundle.manifest.variants]
    for first, second in zip(names[::2], names[1::2], strict=True):
        browser.run(f"choose({json.dumps(first)}, {json.dumps(second)})")
        for number, image in enumerate(golden[GOLDEN_INPUTS]):
            found = _drop(browser, _png(image), f"{first} {number}")
            assert [card["name"] for card in found] == [first, second]
            for card in found:
                scores = golden[card["name"]][number]
                assert card["label"] == labels[int(np.argmax(scores))]
                off = bundle.variant(card["name"]).tolerance.max_abs_elsewhere
                assert abs(card["share"] / 100 - scores.max()) <= off + 0.0011
    says = browser.run("document.getElementById('status').textContent")
    assert says.startswith(("Both say", "They part"))
    _quiet(browser)


def test_camera_is_classified_like_a_picture_and_stops(browser: Any, shown: Any) -> None:
    _open(browser, shown.url)
    browser.run("choose('tflite-int8', '')")
    assert browser.run("document.getElementById('camera').click()") is None
    _until(browser, "document.getElementById('video').videoWidth > 0 && cards()[0]?.took")
    assert browser.run("document.getElementById('camera').ariaPressed") == "true"
    browser.run("document.getElementById('take').click()")  # the picture stays
    _until(browser, "document.getElementById('image').alt === 'The picture that was taken'")
    assert browser.run("document.getElementById('video').srcObject.active") is False
    _quiet(browser)


def test_page_works_without_a_network_once_it_was_loaded(
    browser: Any, engines: Path, exported: tuple[Path, Result], host: Callable[[Path], Any], tmp_path: Path
) -> None:
    page.write(exported[0], tmp_path / "page", given=str(engines), variants=["tflite-int8", "onnx-int8"])
    own = host(tmp_path / "page")
    _open(browser, own.url)
    _until(browser, "document.getElementById('kept').dataset.kept === 'true'")
    own.close()
    shutil.rmtree(tmp_path / "page")
    _open(browser, own.url)
    browser.run("choose('tflite-int8', 'onnx-int8')")
    found = _drop(browser, _png(np.zeros((50, 40, 3), np.uint8)), "offline")
    assert [card["name"] for card in found] == ["tflite-int8", "onnx-int8"]
    assert all(card["label"] for card in found)


def test_several_labels_are_shown_as_text_and_unproven_files_are_marked(
    browser: Any,
    engines: Path,
    exported: tuple[Path, Result],
    changed: Callable[[Path, Callable[[dict[str, Any]], None]], None],
    host: Callable[[Path], Any],
    tmp_path: Path,
) -> None:
    def several(data: dict[str, Any]) -> None:
        data |= {"head": "sigmoid", "threshold": 0.001, "labels": [f"<b>{label}" for label in data["labels"]]}
        for variant in data["variants"]:
            variant["parity"]["verdict"] = "not proven"

    bundle = shutil.copytree(exported[0], tmp_path / "bundle")
    image = read_golden(Bundle.open(bundle))[GOLDEN_INPUTS][0]
    changed(bundle, several)
    page.write(bundle, tmp_path / "page", given=str(engines), variants=["tflite-float32"])
    with load(exported[0], variant="tflite-float32") as model:
        scores = model.scores(image[np.newaxis])[0]
    _open(browser, host(tmp_path / "page").url)
    found = _drop(browser, _png(image), "several")
    assert found[0]["label"].startswith("<b>")
    yes = browser.run("[...document.querySelectorAll('.bars .yes bdi')].map((one) => one.textContent)")
    labels = Bundle.open(bundle).manifest.labels
    assert yes == [labels[i] for i in np.argsort(-scores, kind="stable") if scores[i] > 0.001]
    assert browser.run("document.querySelector('#cards .badge').textContent") == "not proven"
    assert browser.run("document.querySelectorAll('#cards b').length") == 1  # the milliseconds
    _quiet(browser)


def test_plain_http_from_elsewhere_says_what_is_missing_and_labels_pictures(browser: Any, shown: Any) -> None:
    _open(browser, shown.plain)
    assert browser.run("isSecureContext") is False
    assert "came by plain http from another machine" in browser.run(
        "document.getElementById('missing').innerText"
    )
    assert browser.run("document.getElementById('camera').disabled") is True
    browser.run("choose('tflite-int8', 'onnx-float32')")
    assert all(card["label"] for card in _drop(browser, _png(np.zeros((9, 9, 1), np.uint8)), "plain"))
    _quiet(browser)


def test_what_is_no_picture_is_one_line(browser: Any, shown: Any) -> None:
    _open(browser, shown.url)
    browser.run(f"drop('{base64.b64encode(b'no picture').decode()}', 'a.png')")
    _until(browser, "!document.getElementById('trouble').hidden")
    assert browser.run("document.getElementById('trouble').textContent") == (
        "a.png: this browser cannot read that file; take a JPEG, PNG, WebP or GIF"
    )


@pytest.mark.parametrize("width", [390, 768, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_fits_and_everything_has_a_name(browser: Any, shown: Any, width: int, scheme: str) -> None:
    browser.do("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    metrics = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.do("Emulation.setDeviceMetricsOverride", **metrics)
    try:
        _open(browser, shown.url)
        _drop(browser, _png(np.zeros((90, 300, 3), np.uint8)), "wide")
        assert browser.run("document.documentElement.scrollWidth <= innerWidth")
        tree = browser.do("Accessibility.getFullAXTree")["nodes"]
        asked = {"button", "combobox", "image", "DisclosureTriangle", "heading", "region"}
        unnamed = [
            node["role"]["value"]
            for node in tree
            if not node["ignored"]
            and node["role"]["value"] in asked
            and not node.get("name", {}).get("value")
        ]
        assert unnamed == []
        assert any(node.get("role", {}).get("value") == "status" for node in tree)
    finally:
        browser.do("Emulation.clearDeviceMetricsOverride")
        browser.do("Emulation.setEmulatedMedia", features=[])
