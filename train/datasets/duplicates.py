"""Which images show the same: to the pixel, or the same picture in another size, format or quality.

A difference hash of 64 bits (dHash, Krawetz 2013: is a pixel brighter than the one left of it, at 9x8)
proposes pairs, and the correlation of small grey thumbnails confirms them. Of pictures with little in them,
such as one patch on a plain ground, neither tells much: these are compared to the pixel only. Other
brightness or tint does not matter, quite other colours do. On CIFAR-10 all pairs that it finds have the same
label. The hashes of all pairs are compared as one matrix product, a block of rows at a time: 50,000 images
take about ten seconds; more than `MOST` are compared to the pixel only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgewright.runtime.console import Progress, silent
from edgewright.train.datasets.arrays import Images

MOST = 60_000
_BITS = 4  # of 64 that may differ
_SIDE = 32  # of thumbnails: at 16 one shirt looked like the next
_ALIKE = 0.985  # correlation of two thumbnails
_TINT = 48.0  # levels of 255 that a channel's mean may differ
_ROWS = 512
_CANDIDATES = 64  # an image
_DETAIL = 8  # bits of a hash that are set where there is something to see

Groups = NDArray[np.intp]


@dataclass(frozen=True, kw_only=True)
class Duplicates:
    """For each image the number of the first that shows the same: `exact` to the pixel, `near` too where
    size, format or quality differ. Both `(n,)`."""

    exact: Groups
    near: Groups


def find(parts: Sequence[Images], progress: Progress = silent) -> Duplicates:
    """Compare all images of all parts, numbered one part after the other."""
    images = [image for part in parts for image in part]
    exact = _exact(images)
    firsts = np.unique(exact)
    if len(firsts) > MOST:
        return Duplicates(exact=exact, near=exact)
    pairs = _near([images[i] for i in firsts], progress)
    united = _united(len(firsts), pairs)
    return Duplicates(exact=exact, near=firsts[united][np.searchsorted(firsts, exact)])


def _exact(images: Iterable[Images]) -> Groups:
    seen: dict[bytes, int] = {}
    digests = (hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in images)
    return np.array([seen.setdefault(digest, i) for i, digest in enumerate(digests)], np.intp)


def _near(images: Sequence[Images], progress: Progress) -> NDArray[np.intp]:
    """Pairs `(m, 2)` of images that look the same."""
    count = len(images)
    signs = np.empty((count, 64), np.float32)
    thumbs = np.empty((count, _SIDE * _SIDE), np.uint8)
    colours = np.empty((count, 3), np.float32)
    for i, image in enumerate(images):
        signs[i], thumbs[i], colours[i] = _fingerprint(image)
        progress("looking for duplicates", i + 1, 2 * count)
    detailed = np.count_nonzero(signs > 0, axis=1) >= _DETAIL
    found = [np.empty((0, 2), np.intp)]
    for start in range(0, count, _ROWS):
        rows = signs[start : start + _ROWS]
        alike = rows @ signs[start:].T >= 64 - 2 * _BITS  # agreeing bits minus differing ones
        alike &= detailed[start:] & detailed[start : start + _ROWS, None]
        alike &= np.arange(alike.shape[1]) > np.arange(len(rows))[:, None]
        if np.count_nonzero(alike) > len(rows) * _CANDIDATES:
            alike &= np.cumsum(alike, axis=1, dtype=np.int32) <= _CANDIDATES
        a, b = (places + start for places in np.nonzero(alike))
        for block in range(0, len(a), 2**12):
            p, q = a[block : block + 2**12], b[block : block + 2**12]
            same = _correlation(thumbs[p], thumbs[q]) >= _ALIKE
            same &= np.abs(colours[p] - colours[q]).max(axis=1) <= _TINT
            found.append(np.stack([p[same], q[same]], axis=1))
        progress("looking for duplicates", count + min(start + _ROWS, count), 2 * count)
    return np.concatenate(found)


def _correlation(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Of each row of `a` with that of `b`; 0 where one is all the same."""
    a, b = (x - x.mean(axis=1, keepdims=True, dtype=np.float32) for x in (a, b))
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    found: NDArray[np.float32] = np.einsum("nk,nk->n", a, b) / np.maximum(norms, 1e-6)
    return found


def _fingerprint(image: Images) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.float32]]:
    """The hash as 64 signs, a grey thumbnail, and the mean of the three channels."""
    grey = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
    colour = np.asarray(grey.resize((1, 1), Image.Resampling.BOX), np.float32).reshape(-1)
    grey = grey.convert("L")
    small = np.asarray(grey.resize((9, 8), Image.Resampling.BOX), np.int16)
    signs = np.where(small[:, 1:] > small[:, :-1], np.float32(1), np.float32(-1)).reshape(64)
    thumb = np.asarray(grey.resize((_SIDE, _SIDE), Image.Resampling.BOX)).reshape(-1)
    return signs, thumb, np.broadcast_to(colour, 3)


def _united(count: int, pairs: NDArray[np.intp]) -> Groups:
    """The lowest image that each is connected with, over any number of pairs."""
    group = np.arange(count)
    while True:
        lowest = group[pairs].min(axis=1)
        new = group.copy()
        for side in (0, 1):
            np.minimum.at(new, pairs[:, side], lowest)
        new = new[new]
        if np.array_equal(new, group):
            return group
        group = new
