"""MediaPipe's ImageClassifier, which reads size, scaling and labels from the TFLite metadata and resizes."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np


class MediaPipeClassifier:
    package = "mediapipe"
    environment = "mediapipe"
    formats = ("tflite",)

    def open(self, model: Mapping[str, Any], _: Any) -> Callable[[bytes], int]:
        import mediapipe as mp
        from mediapipe.tasks.python import BaseOptions, vision
        from PIL import Image

        options = vision.ImageClassifierOptions(
            base_options=BaseOptions(model_asset_path=model["path"]), max_results=1
        )
        classifier = vision.ImageClassifier.create_from_options(options)

        def label(jpeg: bytes) -> int:
            pixels = np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB"))
            image = mp.Image(image_format=mp.ImageFormat.SRGB, data=pixels)
            return int(classifier.classify(image).classifications[0].categories[0].index)

        return label


PEER = MediaPipeClassifier()
