"""Cuts `fashion_mini.npz` out of the full Fashion-MNIST; run once, kept to show how.

    python -m edgewright.train.datasets.cut_fashion_mini fashion_mnist.npz

10,000 training and 2,000 test images, equally many a class, each from the set's own training and
test part; an image that occurs twice, in whichever part, is left out.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from edgewright.runtime.disk.files import write_file
from edgewright.train.datasets import Images, Labels

SEED = 20170825  # the day Fashion-MNIST was published
PER_CLASS = {"train": 1000, "test": 200}


def pick(labels: Labels, unique: np.ndarray, per_class: int, random: np.random.Generator) -> np.ndarray:
    """Sorted indices of `per_class` images a class, out of those that are `unique`."""
    candidates = (np.flatnonzero((labels == c) & unique) for c in range(10))
    return np.sort(np.concatenate([random.choice(found, per_class, replace=False) for found in candidates]))


def main(source: Path, target: Path) -> None:
    random = np.random.default_rng(SEED)
    with np.load(source) as full:
        parts: dict[str, tuple[Images, Labels]] = {
            part: (full[f"x_{part}"], full[f"y_{part}"]) for part in ("train", "test")
        }
    every = np.concatenate([images.reshape(len(images), -1) for images, _ in parts.values()])
    _, inverse, counts = np.unique(every, axis=0, return_inverse=True, return_counts=True)
    unique = counts[inverse.ravel()] == 1
    arrays, start = {}, 0
    for part, (images, labels) in parts.items():
        chosen = pick(labels, unique[start : start + len(images)], PER_CLASS[part], random)
        arrays[f"x_{part}"], arrays[f"y_{part}"] = images[chosen], labels[chosen]
        start += len(images)
    part_file = target.with_suffix(".part.npz")
    np.savez_compressed(part_file, **arrays)
    write_file(target, part_file.read_bytes())
    part_file.unlink()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(__file__).with_name("fashion_mini.npz"))
