"""The Keras model that the files were made from, with Keras' own picture loading and `Model.predict`."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import Any


class KerasPredict:
    package = "keras"
    environment = ""
    formats = ("keras",)

    def open(self, model: Mapping[str, Any], _: Any) -> Callable[[bytes], int]:
        import keras

        network = keras.models.load_model(model["path"], compile=False)
        size = (model["height"], model["width"])
        mode = "grayscale" if model["channels"] == 1 else "rgb"
        low, high = model["input_range"]

        def label(jpeg: bytes) -> int:
            picture = keras.utils.load_img(
                io.BytesIO(jpeg), color_mode=mode, target_size=size, interpolation="bilinear"
            )
            pixels = keras.utils.img_to_array(picture) * ((high - low) / 255) + low
            return int(network.predict(pixels[None], verbose=0).argmax())

        return label


PEER = KerasPredict()
