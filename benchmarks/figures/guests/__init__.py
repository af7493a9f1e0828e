"""Models and files that others bring: made with plain tools, then taken through the product as a user would.

    python -m edgewright.benchmarks.figures.guests --out benchmarks/figures/results [NAME …]

Each guest is a function that makes one in a folder, in a process of its own, and says how it is handed over:
a model that `export` takes, or a file that the runtime takes. It also leaves the pictures it was tried on and
the scores that its own maker's tool gives of them, which ours are held against.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Brought:
    """What a guest is: `path`, and the words behind it on the command line; `x` pixels `(n, …)` with the
    `scores` `(n, …)` that its maker's tool gives, None where it is to be refused. `code` runs first."""

    path: Path
    words: tuple[str, ...] = ()
    x: Images | None = None
    scores: NDArray[np.float32] | None = None


@dataclass(frozen=True, kw_only=True)
class Guest:
    """`origin` says what has made it; `file` is true of what the runtime takes as it is. Of the `quick` ones
    CI runs each."""

    origin: str
    make: Callable[[Path], Brought]
    file: bool = False
    quick: bool = False


def all_guests() -> Mapping[str, Guest]:
    """By name, in the order they are shown."""
    from edgewright.benchmarks.figures.guests import files, networks

    return {**networks.GUESTS, **files.GUESTS}


def mini(part: str, count: int, size: int) -> tuple[Images, NDArray[np.int64]]:
    """Pictures of fashion-mini in colour, `(count, size, size, 3)`, with their classes."""
    from importlib import resources

    from PIL import Image

    place = resources.files("edgewright.train.datasets") / "fashion_mini.npz"
    with resources.as_file(place) as path, np.load(path, allow_pickle=False) as data:
        x, y = data[f"x_{part}"][:count], data[f"y_{part}"][:count].astype(np.int64)
    tints = np.random.default_rng(0).uniform(0.6, 1.0, (len(x), 3))
    images = np.empty((len(x), size, size, 3), np.uint8)
    for image, grey, tint in zip(images, x, tints, strict=True):
        large = np.asarray(Image.fromarray(grey).resize((size, size), Image.Resampling.BILINEAR), np.float32)
        image[...] = np.round(large[..., np.newaxis] * tint)
    return images, y


def save(folder: Path, **arrays: Any) -> str:
    """The path of an .npz of arrays in `folder`."""
    name = "-".join(arrays)
    path = folder / f"{name}-{len(next(iter(arrays.values())))}.npz"
    np.savez(path, **arrays)
    return str(path)
