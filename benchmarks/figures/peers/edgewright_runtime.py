"""Our own runtime, which the others are compared with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


class EdgewrightRuntime:
    package = "edgewright"
    environment = ""
    formats = ("tflite", "onnx")

    def open(self, model: Mapping[str, Any], _: Any) -> Callable[[bytes], int]:
        from edgewright.runtime import load

        predict = load(model["path"], threads=1).predict
        return lambda jpeg: predict(jpeg, k=1)[0].index


PEER = EdgewrightRuntime()
