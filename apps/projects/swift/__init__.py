"""Swift for iOS: a package of plain Swift, and an app around it by TensorFlow Lite's interpreter."""

from __future__ import annotations

from edgewright.apps.facts import Given, filled, joined, template
from edgewright.apps.projects import App

_FILES = {
    "README.md": "README.md",
    "Package.swift": "Package.swift",
    "Sources/PictureModel/Contract.swift": "Contract.swift",
    "Sources/PictureModel/PictureModel.swift": "PictureModel.swift",
    "Tests/PictureModelTests/ParityTests.swift": "ParityTests.swift",
    "App/Podfile": "Podfile",
    "App/project.yml": "project.yml",
    "App/Sources/LiteRt.swift": "LiteRt.swift",
    "App/Sources/CameraApp.swift": "CameraApp.swift",
    "App/Tests/GoldenTests.swift": "GoldenTests.swift",
}
SUFFIXES = (".tflite",)


def core(given: Given, file: str) -> str:
    """The source files that run the model file `file`, in one."""
    values = _values(given, file)
    parts = [_made(name, values) for name in ("Contract.swift", "PictureModel.swift", "LiteRt.swift")]
    parts = [part.replace("import PictureModel\n", "") for part in parts]
    comment = (
        "// Podfile: pod 'TensorFlowLiteSwift', '2.17.0'\n"
        "// the model file and labels.txt are resources of the app (Copy Bundle Resources)\n"
    )
    return comment + joined(parts, ("import ",))


class SwiftProject:
    """A Swift package with its tests, and an app around it."""

    suffixes = SUFFIXES

    def files(self, app: App) -> dict[str, bytes]:
        values = _values(app.given, app.model_file)
        resources = {app.model_file: app.model, "labels.txt": app.labels_file()}
        return {
            **{path: _made(name, values).encode() for path, name in _FILES.items()},
            **{f"App/Resources/{name}": raw for name, raw in resources.items()},
            **{f"Tests/PictureModelTests/parity/{name}": raw for name, raw in app.parity.items()},
        }


def _made(name: str, values: dict[str, str]) -> str:
    return filled(template(__name__, name), values)


def _values(given: Given, file: str) -> dict[str, str]:
    return given.common("\\u{{{:x}}}", file)


PROJECT = SwiftProject()
