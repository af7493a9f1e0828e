"""C++ for Linux: LiteRT's library out of its wheel by prototypes of our own, libjpeg-turbo and libpng."""

from __future__ import annotations

from edgewright.apps.facts import filled, template
from edgewright.apps.projects import App

_FILES = (
    *("README.md", "CMakeLists.txt", "litert.h", "contract.h", "picture_model.h", "picture_model.cpp"),
    *("preprocess.cpp", "answers.cpp", "decode.h", "decode.cpp", "main.cpp", "parity.cpp"),
)
_LITERT = "2.3.0"


class CppProject:
    """A program and a library by CMake, with a test of both."""

    suffixes = (".tflite",)

    def files(self, app: App) -> dict[str, bytes]:
        values = {**app.given.common("\\U{:08x}", app.model_file), "litert": _LITERT}
        return {
            **{name: filled(template(__name__, name), values).encode() for name in _FILES},
            app.model_file: app.model,
            "labels.txt": app.labels_file(),
            **{f"parity/{name}": raw for name, raw in app.parity.items()},
        }


PROJECT = CppProject()
