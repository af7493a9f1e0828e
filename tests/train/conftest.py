"""Drawn pictures that look like photographs: soft, coloured, and no two alike."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Scene = Callable[..., Image.Image]
Album = Callable[..., Path]


@pytest.fixture(scope="session")
def scene() -> Scene:
    """A picture of its own for each seed."""

    def draw(seed: int, size: tuple[int, int] = (120, 90)) -> Image.Image:
        small = np.random.default_rng(seed).integers(0, 256, (7, 9, 3), dtype=np.uint8)
        return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)

    return draw


@pytest.fixture(scope="session")
def album(scene: Scene) -> Album:
    """Fills class folders with `count` scenes each: of the colours of the sky in the first, of a fire in the
    second, of a wood in the third."""
    tints = ((0, 60, 160), (170, 30, 0), (0, 130, 20))

    def fill(folder: Path, labels: tuple[str, ...] = ("cat", "dog"), count: int = 10) -> Path:
        for number, label in enumerate(labels):
            (folder / label).mkdir(parents=True)
            for i in range(count):
                drawn = np.asarray(scene(1000 * number + i)) * 0.35 + np.array(tints[number])
                Image.fromarray(drawn.astype(np.uint8)).save(folder / label / f"{i}.png")
        return folder

    return fill
