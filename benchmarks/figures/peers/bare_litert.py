"""LiteRT's interpreter with set_tensor, invoke and get_tensor written out, behind Pillow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


class BareLiteRT:
    package = "ai-edge-litert"
    environment = ""
    formats = ("tflite",)

    def open(self, model: Mapping[str, Any], decode: Any) -> Callable[[bytes], int]:
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(model_path=model["path"], num_threads=1)
        interpreter.allocate_tensors()
        given = interpreter.get_input_details()[0]["index"]
        scores = interpreter.get_output_details()[0]["index"]

        def label(jpeg: bytes) -> int:
            interpreter.set_tensor(given, decode(jpeg)[None])
            interpreter.invoke()
            return int(interpreter.get_tensor(scores).argmax())

        return label


PEER = BareLiteRT()
