"""OpenVINO's own API, told to compute floats as floats, behind Pillow.

As its documentation advises: compiled for latency; for throughput compiled for that, and fed through its
queue of asynchronous requests.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any


class OpenVINOExact:
    package = "openvino"
    environment = ""
    formats = ("tflite", "onnx")

    def open(self, model: Mapping[str, Any], decode: Any) -> Callable[[Any], int]:
        request = self._compiled(model, "LATENCY", 1).create_infer_request()

        def label(picture: Any) -> int:
            request.infer([decode(picture)[None]], share_inputs=True)
            return int(request.get_output_tensor().data.argmax())

        return label

    def many(self, model: Mapping[str, Any], threads: int) -> Callable[[Sequence[Any]], None]:
        import openvino

        queue = openvino.AsyncInferQueue(self._compiled(model, "THROUGHPUT", threads))

        def run(images: Sequence[Any]) -> None:
            for image in images:
                queue.start_async([image[None]], share_inputs=True)
            queue.wait_all()

        return run

    def _compiled(self, model: Mapping[str, Any], hint: str, threads: int) -> Any:
        import openvino

        hints = {
            "PERFORMANCE_HINT": hint,
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": "f32",
        }
        return openvino.Core().compile_model(model["path"], "CPU", hints)


PEER = OpenVINOExact()
