"""onnxruntime's `InferenceSession.run`, behind Pillow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


class BareOnnxruntime:
    package = "onnxruntime"
    environment = ""
    formats = ("onnx",)

    def open(self, model: Mapping[str, Any], decode: Any) -> Callable[[bytes], int]:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(model["path"], options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        return lambda jpeg: int(session.run(None, {name: decode(jpeg)[None]})[0].argmax())


PEER = BareOnnxruntime()
