"""`edgewright demo-page` needs nothing that converts, trains or runs files."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

from edgewright.apps.web import assets

Fresh = Callable[..., "subprocess.CompletedProcess[str]"]


def test_demo_page_imports_nothing_heavy_and_says_how_to_have_engines(
    fresh: Fresh, bundle: Path, tmp_path: Path
) -> None:
    heavy = ("tensorflow", "keras", "tf_keras", "onnx", "onnxruntime", "ai_edge_litert", "jinja2", "rich")
    done = fresh(
        "demo-page", bundle, "--out", tmp_path / "page", "--assets", tmp_path / "none", blocked=heavy
    )
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "npm install @litertjs/core@" in done.stderr
    folder = tmp_path / "node_modules"
    for package in assets.PACKAGES:
        for name in (*package.files, *package.webgpu):
            (folder / package.name / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / package.name / name).write_text("")
        (folder / package.name / "package.json").write_text(json.dumps({"version": "1"}))
    done = fresh("demo-page", bundle, "--out", tmp_path / "page", "--assets", folder, blocked=heavy)
    assert (done.returncode, done.stderr) == (0, "")
