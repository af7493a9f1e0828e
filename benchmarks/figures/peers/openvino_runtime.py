"""OpenVINO, compiled for latency, behind Pillow. It computes floats as bfloat16 where the processor can."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


class OpenVINO:
    package = "openvino"
    environment = "openvino"
    formats = ("tflite", "onnx")

    def open(self, model: Mapping[str, Any], decode: Any) -> Callable[[bytes], int]:
        import openvino

        hints = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": 1}
        request = openvino.Core().compile_model(model["path"], "CPU", hints).create_infer_request()

        def label(jpeg: bytes) -> int:
            request.infer([decode(jpeg)[None]], share_inputs=True)
            return int(request.get_output_tensor().data.argmax())

        return label


PEER = OpenVINO()
