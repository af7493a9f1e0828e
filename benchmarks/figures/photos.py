"""Pictures as a phone takes them, made of small real ones: enlarged, with the noise of a sensor, as JPEG.

The noise is that of photons and of reading out: its variance grows with the brightness
(https://doi.org/10.1109/TIP.2008.2001399, Foi et al., equation 1).
"""

from __future__ import annotations

import io
import threading

import numpy as np
from numpy.typing import NDArray
from PIL import Image

PHONE = (4000, 3000)  # width and height of 12 megapixels
READ_VARIANCE, PHOTON_VARIANCE = 4.0, 0.15  # of 255; 6.5 at white, as in an indoor picture
_SHIFTS, _ROWS, _SCALE = 64, 50, 32  # the field of noise is shifted; rows that stay in the cache


class Camera:
    """Takes pictures of one size. Several threads may share it."""

    def __init__(self, size: tuple[int, int], seed: int = 0) -> None:
        self._size, self._random, self._lock = size, np.random.default_rng(seed), threading.Lock()
        width, height = size
        field = self._random.standard_normal((height + _SHIFTS, width + _SHIFTS, 3), np.float32)
        self._field = np.clip(field * _SCALE, -127, 127).astype(np.int8)
        deviation = np.sqrt(READ_VARIANCE + PHOTON_VARIANCE * np.arange(256))
        self._gain = np.round(deviation * 8).astype(np.int16)

    def take(self, image: NDArray[np.uint8]) -> bytes:
        """A JPEG of quality 90 of an image `(h, w, 1 | 3)` enlarged to the camera's size."""
        small = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image).convert("RGB")
        pixels = np.array(small.resize(self._size, Image.Resampling.BICUBIC))
        with self._lock:
            y, x = self._random.integers(0, _SHIFTS, 2)
        width, height = self._size
        for top in range(0, height, _ROWS):
            rows = pixels[top : top + _ROWS]
            noise = self._field[y + top : y + top + len(rows), x : x + width]
            noisy = rows + ((self._gain[rows] * noise + 128) >> 8)
            np.clip(noisy, 0, 255, out=noisy)
            rows[...] = noisy
        memory = io.BytesIO()
        Image.fromarray(pixels).save(memory, "JPEG", quality=90)
        return memory.getvalue()
