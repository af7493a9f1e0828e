"""Python for a Raspberry Pi and the like: a package by Edgewright's own runtime, a camera, a systemd unit."""

from __future__ import annotations

from importlib.metadata import version

from edgewright.apps.facts import Given, filled, literal, template
from edgewright.apps.projects import App

_FILES = {
    "README.md": "README.md.in",
    "pyproject.toml": "pyproject.toml.in",
    "picture-model.service": "picture-model.service.in",
    "picture_model/__main__.py": "main.py.in",
    "picture_model/model.py": "model.py.in",
    "picture_model/camera.py": "camera.py.in",
    "tests/test_parity.py": "test_parity.py.in",
}
SUFFIXES = (".tflite", ".onnx")


def core(given: Given, file: str) -> str:
    """The source file that runs the model file `file`."""
    return filled(template(__name__, "model.py.in"), _values(given, file))


class PythonProject:
    """A package that pip installs, with its model file inside."""

    suffixes = SUFFIXES

    def files(self, app: App) -> dict[str, bytes]:
        values = {
            **_values(app.given, app.model_file),
            "file_name": app.model_file,
            "tolerance": repr(app.goldens.tolerance),
        }
        made = {path: filled(template(__name__, name), values).encode() for path, name in _FILES.items()}
        return {
            **made,
            "picture_model/__init__.py": b'"""What a picture shows."""\n',
            f"picture_model/{app.model_file}": app.model,
            **{f"tests/parity/{name}": raw for name, raw in app.parity.items()},
        }


def _values(given: Given, file: str) -> dict[str, str]:
    return {
        "extra": given.suffix.removeprefix("."),
        "file": literal(file, "\\U{:08x}"),
        "title": given.title,
        "version": version("edgewright"),
        "width": str(given.manifest.input.width),
        "height": str(given.manifest.input.height),
    }


PROJECT = PythonProject()
