"""The JavaScript project: its test passes in node, and its page answers as recorded in Chromium."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from edgewright.apps import projects
from edgewright.runtime import Bundle, load

Run = Callable[..., tuple[int, str, str]]


def _files(bundle: Path, variant: str) -> dict[str, bytes]:
    opened = Bundle.open(bundle)
    return projects.get("js").files(projects.app(opened, opened.variant(variant)))


@pytest.mark.parametrize("variant", ["onnx-int8", "tflite-int8"])
def test_project_is_whole_and_the_same_every_time(bundle: Path, variant: str) -> None:
    made = _files(bundle, variant)
    assert made == _files(bundle, variant)
    package = json.loads(made["package.json"])
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in package["dependencies"].values())
    manifest = Bundle.open(bundle).manifest
    assert json.loads(made["src/labels.json"]) == list(manifest.labels)
    for name, raw in made.items():
        if name.endswith((".js", ".html", ".json", ".md")):
            assert not re.search(r"<<\w+>>", raw.decode()), name
            for path in re.findall(r'from "(\./[^"]+|\.\./[^"]+)"', raw.decode()):
                assert os.path.normpath(os.path.join(os.path.dirname(name), path)) in made, (name, path)  # noqa: PTH118, PTH120


def test_name_of_a_model_is_no_code_in_the_project(bundle: Path) -> None:
    import dataclasses

    opened = Bundle.open(bundle)
    hostile = dataclasses.replace(opened.manifest, name='</title><script>"\\`${1}')
    app = projects.app(dataclasses.replace(opened, manifest=hostile), opened.variant("onnx-int8"))
    made = projects.get("js").files(app)
    assert b"<script>1" not in made["index.html"] and b"<title>titlescript1</title>" in made["index.html"]
    assert json.loads(made["package.json"])["name"] == "titlescript1"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path, str], Path]:
    """A project on disk with its packages; `npm install` as its README says."""
    if not shutil.which("npm"):
        pytest.skip("npm, which brings the packages, is not here")

    def make(bundle: Path, variant: str) -> Path:
        folder = tmp_path_factory.mktemp("js")
        for name, raw in _files(bundle, variant).items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(raw)
        words = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        subprocess.run(words, cwd=folder, check=True, capture_output=True)
        return folder

    return make


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["onnx-float32", "tflite-int8"])
def test_project_passes_its_own_test_in_node_and_is_right_in_chromium(
    exported: Any,
    installed: Callable[[Path, str], Path],
    host: Callable[[Path], Any],
    browser: Any,
    variant: str,
) -> None:
    bundle = exported[0]
    folder = installed(bundle, variant)
    done = subprocess.run(["npm", "test"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " pass 2" in done.stdout
    Image.new("RGB", (50, 40), "white").save(folder / "white.jpg")
    said = subprocess.run(
        ["node", "src/node.js", "white.jpg"], cwd=folder, capture_output=True, text=True, check=True
    ).stdout
    with load(bundle, variant=variant) as model:
        best = model.predict(folder / "white.jpg")[0]
    assert said.splitlines()[1].split(" %  ")[1] == best.label
    browser.open(f"{host(folder).url}test/")
    end = time.monotonic() + 60
    while not browser.run("document.getElementById('status').dataset.done"):
        assert time.monotonic() < end
        time.sleep(0.05)
    assert browser.run("document.getElementById('status').textContent").startswith("right: 16 images")
