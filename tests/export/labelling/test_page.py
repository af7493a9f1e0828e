"""Labelling in a real browser, from an export with a pool to a bundle with more files."""

from __future__ import annotations

import base64
import io
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgewright.export.labelling.kept import Kept
from edgewright.runtime import Bundle

pytestmark = pytest.mark.slow
BUTTONS = "[...document.querySelectorAll('#choices button span')].map(word => word.textContent)"
SECONDS = 60


@pytest.fixture
def page(left: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The address that `edgewright label` says, and its process."""
    command = [sys.executable, "-u", "-m", "edgewright.runtime", "label", str(left)]
    environment = {key: value for key, value in os.environ.items() if "DISPLAY" not in key}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        said, found = "", None
        while not (found := re.search(r"http://\S+", said)):
            line = process.stdout.readline()
            assert line, said
            said += line
        yield found[0], process
        process.terminate()


def until(browser: Any, script: str) -> None:
    end = time.monotonic() + SECONDS
    while not browser.run(script):
        assert time.monotonic() < end, browser.run("document.body.innerText")
        time.sleep(0.01)


def press(browser: Any, key: str) -> None:
    for kind in ("keyDown", "keyUp"):
        browser.do("Input.dispatchKeyEvent", type=kind, key=key, text=key if kind == "keyDown" else "")


def test_pictures_are_labelled_by_keys_and_files_added(
    browser: Any,
    page: tuple[str, subprocess.Popen[str]],
    left: Path,
    opened: Kept,
    truth: Callable[[Kept, int], int],
) -> None:
    url, process = page
    labels, questions = opened.manifest.labels, opened.questions
    places = {image.tobytes(): place for place, image in enumerate(questions.images)}
    browser.open(url)
    until(browser, "shown !== null")
    total = browser.run("shown.total")
    assert total == len(questions.names) + len(questions.names) // 20
    done, thought_again = 0, False
    while browser.run("shown.question !== null"):
        source = browser.run("document.querySelector('#image').src")
        image = np.asarray(Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))))
        right = labels[truth(opened, places[image.tobytes()])]
        said = browser.run(BUTTONS)
        assert said[-2:] == ["Another or none", "Can\u2019t tell"]
        press(browser, str(1 + (said.index(right) if right in said else len(said) - 2)))
        done += 1
        until(browser, f"shown.answered === {done} && !busy")
        if done == 5 and not thought_again:
            thought_again = True
            press(browser, "z")
            until(browser, "shown.answered === 4 && !busy")
            done -= 1
    assert done == total
    assert browser.run("document.activeElement.id") == "finish"
    press(browser, "3")  # nothing is asked any more
    assert browser.run("shown.answered") == total
    browser.run("document.querySelector('#finish').click()")
    until(browser, "document.querySelector('#title').textContent === 'Finished'")
    assert process.stdout is not None
    said_last = process.stdout.read()
    assert "tflite-int8 passed: accuracy drop" in said_last
    assert Bundle.open(left).variant("tflite-int8").parity.pool["unresolved"] == 0
    assert browser.reported("Runtime.exceptionThrown", "Log.entryAdded") == []
    asked = {event["request"]["url"] for event in browser.reported("Network.requestWillBeSent")}
    assert all(address.startswith((url, "data:image/png", "about:")) for address in asked)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_page_fits_and_can_be_read(
    browser: Any, page: tuple[str, subprocess.Popen[str]], width: int, scheme: str
) -> None:
    browser.do("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    browser.do(
        "Emulation.setDeviceMetricsOverride", width=width, height=844, deviceScaleFactor=1, mobile=False
    )
    browser.open(page[0])
    until(browser, "shown !== null && document.querySelector('#image').complete")
    assert browser.run("document.documentElement.scrollWidth") <= width
    tree = browser.do("Accessibility.getFullAXTree")["nodes"]
    names = {
        (node["role"]["value"], node.get("name", {}).get("value", "")) for node in tree if "role" in node
    }
    assert ("heading", "Which is it?") in names
    assert any(role == "progressbar" for role, _ in names)
    assert sum(role == "button" for role, _ in names) >= 5
    ratio = browser.run(
        """(() => {
          const light = (colour) => {
            const parts = colour.match(/[\\d.]+/g).slice(0, 3).map(Number).map(part => part / 255)
              .map(part => part <= .04045 ? part / 12.92 : ((part + .055) / 1.055) ** 2.4);
            return .2126 * parts[0] + .7152 * parts[1] + .0722 * parts[2];
          };
          const ratios = [...document.querySelectorAll('#choices button, h1, .note, #count')].map(each => {
            const own = getComputedStyle(each), body = getComputedStyle(document.body);
            const back = own.backgroundColor.endsWith(', 0)') ? body.backgroundColor : own.backgroundColor;
            const ends = [light(own.color), light(back)].sort((a, b) => b - a);
            return (ends[0] + .05) / (ends[1] + .05);
          });
          return Math.min(...ratios);
        })()"""
    )
    assert ratio >= 4.5
