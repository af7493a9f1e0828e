"""LiteRT's interpreter with set_tensor, invoke and get_tensor written out, behind Pillow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


class BareLiteRT:
    package = "ai-edge-litert"
    environment = ""
    formats = ("tflite",)

    def open(self, model: Mapping[str, Any], decode: Any) -> Callable[[bytes], int]:
        from edgewright.benchmarks.figures.overhead.bare import litert

        run = litert(Path(model["path"]))
        return lambda jpeg: int(run(decode(jpeg)[None]).argmax())


PEER = BareLiteRT()
