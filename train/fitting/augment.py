"""Changes to training batches that keep their labels right. Raw pixels in, raw pixels out."""

from __future__ import annotations

import numpy as np

from edgewright.train.datasets import Images


def shift(images: Images, random: np.random.Generator, most: int) -> Images:
    """Move each image by up to `most` pixels in both directions; what comes in is black."""
    _, height, width, _ = images.shape
    padded = np.pad(images, ((0, 0), (most, most), (most, most), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(1, 2))
    down, right = random.integers(0, 2 * most + 1, (2, len(images)))
    # windows: (n, 2 most + 1, 2 most + 1, channels, height, width)
    return np.ascontiguousarray(windows[np.arange(len(images)), down, right].transpose(0, 2, 3, 1))


def mirror(images: Images, random: np.random.Generator) -> Images:
    """Turn half of the images left to right."""
    turned = random.random(len(images)) < 0.5
    images = images.copy()
    images[turned] = images[turned, :, ::-1]
    return images


def erase(images: Images, random: np.random.Generator, side: int) -> Images:
    """Black out one square of `side` pixels, partly outside at the edges (DeVries, Taylor: Cutout, 2017)."""
    _, height, width, _ = images.shape
    y, x = random.integers(0, height, len(images)), random.integers(0, width, len(images))
    rows = np.abs(np.arange(height)[None] - y[:, None]) < side / 2
    columns = np.abs(np.arange(width)[None] - x[:, None]) < side / 2
    erased: Images = images * ~(rows[:, :, None, None] & columns[:, None, :, None])
    return erased
