"""OpenCV's cv2.dnn behind its own JPEG decoder and INTER_AREA, which OpenCV advises for making smaller."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np


class OpenCVDNN:
    package = "opencv-python-headless"
    environment = "opencv"
    formats = ("tflite", "onnx")

    def open(self, model: Mapping[str, Any], _: Any) -> Callable[[bytes], int]:
        import cv2

        cv2.setNumThreads(1)
        network = cv2.dnn.readNet(model["path"])
        floats = model["path"].endswith(".tflite")  # its TFLite reader wants floats, channels first
        size = (model["width"], model["height"])
        grey = model["channels"] == 1

        def label(jpeg: bytes) -> int:
            picture = cv2.imdecode(
                np.frombuffer(jpeg, np.uint8), cv2.IMREAD_GRAYSCALE if grey else cv2.IMREAD_COLOR
            )
            picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
            if floats:
                network.setInput(cv2.dnn.blobFromImage(picture, swapRB=not grey))
            else:
                pixels = picture[..., None] if grey else cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
                network.setInput(pixels[None])
            return int(network.forward().argmax())

        return label


PEER = OpenCVDNN()
