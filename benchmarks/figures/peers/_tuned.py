"""Our runtime with the engine that `edgewright tune` found, where the file is opened with one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


class EdgewrightTuned:
    package = "edgewright"
    environment = ""
    formats = ("tflite", "onnx")

    def open(self, model: Mapping[str, Any], decode: Any) -> Callable[[Any], int]:
        from edgewright.runtime import load

        run = load(model["path"], engine=model.get("engine"), threads=1).session.run
        return lambda picture: int(run(decode(picture)[None])[0].argmax())


PEER = EdgewrightTuned()
