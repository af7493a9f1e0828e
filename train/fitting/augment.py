"""Changes to training batches that keep their labels right. Raw pixels in, raw pixels out."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

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


def warp(images: Images, random: np.random.Generator, degrees: float, share: float) -> Images:
    """Of each picture a part, at most `share` smaller, turned by up to `degrees`, mirrored in half of them.

    What lies outside of a picture never comes in: a turned part is as much smaller as that takes.
    """
    _, height, width, _ = images.shape
    changed = np.empty_like(images)
    for i, image in enumerate(images):
        angle = math.radians(random.uniform(-degrees, degrees))
        cos, sin = math.cos(angle), math.sin(angle)
        across, down = (abs(cos) + abs(sin) * side for side in (height / width, width / height))
        scale = random.uniform(1 - share, 1) / max(across, down)
        # the part's box takes so much of the picture; it lies anywhere in it
        room = 0.5 - 0.5 * scale * np.array([across, down])
        x, y = np.array([width, height]) * (0.5 + random.uniform(-1, 1, 2) * room)
        mirrored = -1 if random.random() < 0.5 else 1
        a, b, d, e = mirrored * scale * cos, -scale * sin, mirrored * scale * sin, scale * cos
        affine = (a, b, x - a * width / 2 - b * height / 2, d, e, y - d * width / 2 - e * height / 2)
        picture = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
        turned = picture.transform((width, height), Image.Transform.AFFINE, affine, Image.Resampling.BILINEAR)
        changed[i] = np.asarray(turned).reshape(image.shape)
    return changed


def light(images: Images, random: np.random.Generator, share: float) -> Images:
    """Brightness and contrast of each picture, and the balance of its colours, changed by up to `share`."""
    levels = np.arange(256, dtype=np.float32)
    count, channels = len(images), images.shape[3]
    contrast, brightness = random.uniform(1 - share, 1 + share, (2, count, 1, 1))
    tint = 1 + random.uniform(-share / 4, share / 4, (count, channels, 1))
    table = ((levels - 128) * contrast + 128) * brightness * tint
    table = np.clip(np.rint(table), 0, 255).astype(np.uint8)  # (n, channels, 256)
    changed = np.empty_like(images)
    for i in range(count):
        for channel in range(channels):
            changed[i, :, :, channel] = table[i, channel][images[i, :, :, channel]]
    return changed
