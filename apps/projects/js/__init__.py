"""JavaScript: one package that runs in node and in browsers, with the same preprocessing as the demo page."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

from edgewright.apps import web
from edgewright.apps.facts import filled, template
from edgewright.apps.projects import App

SUFFIXES = (".onnx", ".tflite")
_SHARED = ("decode.js", "preprocess.js", "scores.js")  # of the demo page
_SOURCES = {  # the same for every model
    "serve.js": "serve.js",
    "page.js": "page.js",
    "src/model.js": "model.js",
    "src/node.js": "node.js",
    "src/browser.js": "browser.js",
    "test/check.js": "check.js",
    "test/parity.test.js": "parity.test.js",
    "test/parity.js": "parity.js",
}
_FILLED = {"package.json": "package.json.in", "README.md": "README.md.in"}
_PAGES = {"index.html": ("index.html.in", "./"), "test/index.html": ("parity.html.in", "../")}
_DIST = "node_modules/{}/dist/{}"
# By the suffix of a file: what runs it, its pinned packages, and where a browser finds what is imported.
_ENGINES: dict[str, tuple[str, dict[str, str], dict[str, str]]] = {
    ".onnx": (
        "engine_onnx.js",
        {"onnxruntime-web": "1.30.0"},
        {"onnxruntime-web/wasm": _DIST.format("onnxruntime-web", "ort.wasm.min.mjs")},
    ),
    ".tflite": (
        "engine_tflite.js",
        {"@litertjs/core": "2.5.3", "@litertjs/wasm-utils": "2.5.3"},
        {
            "@litertjs/core": _DIST.format("@litertjs/core", "index.js"),
            "@litertjs/wasm-utils": _DIST.format("@litertjs/wasm-utils", "index.js"),
        },
    ),
}
_SHARP = {"sharp": "0.35.5"}  # decodes pictures in node


class JavaScriptProject:
    """A package of npm, private, with its model file inside."""

    suffixes = SUFFIXES

    def files(self, app: App) -> dict[str, bytes]:
        engine, packages, imports = _ENGINES[app.given.suffix]
        values = {
            "title": app.given.title,
            "name": app.given.title.lower().replace(" ", "-"),
            "file": app.model_file,
            "dependencies": json.dumps({**packages, **_SHARP}, indent=2, sort_keys=True).replace(
                "\n", "\n  "
            ),
            "engine": next(iter(packages)),
            "tolerance": repr(app.goldens.tolerance),
        }
        here = resources.files(__name__)
        made = {path: here.joinpath(name).read_bytes() for path, name in _SOURCES.items()}
        made |= {path: filled(template(__name__, name), values).encode() for path, name in _FILLED.items()}
        for path, (name, root) in _PAGES.items():
            found = json.dumps({"imports": {key: root + place for key, place in imports.items()}})
            made[path] = filled(template(__name__, name), {**values, "imports": found}).encode()
        scripts = web.scripts()
        return {
            **made,
            **{f"src/{name}": scripts[name] for name in _SHARED},
            "src/engine.js": here.joinpath(engine).read_bytes(),
            "src/contract.json": _json(_contract(app)),
            "src/labels.json": _json(app.labels),
            f"src/{app.model_file}": app.model,
            **{f"test/parity/{name}": raw for name, raw in app.parity.items()},
        }


def _contract(app: App) -> dict[str, Any]:
    """What is this model's, as numbers and fixed words."""
    given, head, variant = app.manifest.input, app.given.head, app.variant
    return {
        "file": app.model_file,
        "input": {
            "height": given.height,
            "width": given.width,
            "channels": given.channels,
            "fit": given.fit,
            "resample": given.resample,
        },
        "dtype": variant.input.dtype,
        "output": {"scale": variant.output.scale, "zero_point": variant.output.zero_point},
        "head": head.kind,
        "threshold": head.threshold,
        "scores": head.count,
        "tolerance": app.goldens.tolerance,
    }


def _json(data: Any) -> bytes:
    return (json.dumps(data, indent=1, allow_nan=False) + "\n").encode()


PROJECT = JavaScriptProject()
