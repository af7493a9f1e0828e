"""Which images show what a static 8-bit file loses, so that it is repaired before the gate sees it: of the
training split, and neither those that calibrate nor those that judge."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgewright.export.proof.figures import Truth
from edgewright.export.repair.task import Repair
from edgewright.export.source.options import Options
from edgewright.export.variants import Variant
from edgewright.train.datasets import Images

_FEWEST = 8  # images that say anything
_MOST, _LEAST, _PIXELS = 1000, 256, 2**23
_ONE_IN = 4


def wanted(options: Options, variants: Sequence[Variant]) -> bool:
    return options.repair and any(variant.repairable for variant in variants)


def beside(
    calibration: Images,
    test: Images,
    images: Images,
    truth: Truth | None,
    places: NDArray[np.intp],
    options: Options,
    measure: str,
    split: str,
) -> Repair | None:
    """Of the training images at `places`, none of which calibrates; of the calibration images if there are
    too few of them.

    Args:
        calibration, test: uint8 `(n, height, width, channels)`; no image of these is taken twice.
        images, truth: all training images, with what is known of each.
        places: which may be taken; as many are drawn as are worth their time.
        measure: what the gate judges by.
        split: where the images are from, for the manifest.
    """
    count = repair_count(*calibration.shape[1:3])
    order = np.random.default_rng(options.seed).permutation(places)[:count]
    drawn = images[order]
    kept = apart(drawn, calibration, test) if len(drawn) else np.zeros(0, bool)
    if kept.sum() < _FEWEST:
        return of_calibration(calibration, options, measure, split)
    return Repair(
        images=drawn[kept],
        truth=None if truth is None else truth[order[kept]],
        measure=measure,
        limits=options.limits,
        split=split,
        calibrating=np.arange(len(calibration)),
    )


def of_calibration(calibration: Images, options: Options, measure: str, split: str) -> Repair | None:
    """One in four of the calibration images, where there are no others; None if that are too few to tell."""
    shown, rest = in_parts(calibration)
    if len(shown) < _FEWEST:
        return None
    return Repair(
        images=calibration[shown],
        truth=None,
        measure="cosine" if measure == "cosine" else "agreement",
        limits=options.limits,
        split=f"one in four of the calibration images ({split})",
        calibrating=rest,
    )


def apart(images: Images, *others: Images) -> NDArray[np.bool_]:
    """Which of the images, `(n,)`, occur in none of the others."""
    places: dict[bytes, list[int]] = {}
    for i, image in enumerate(images):
        places.setdefault(image.tobytes(), []).append(i)
    known = {raw for other in others for image in other if (raw := image.tobytes()) in places}
    kept: NDArray[np.bool_] = np.ones(len(images), bool)
    kept[[i for raw in known for i in places[raw]]] = False
    return kept


def repair_count(height: int, width: int) -> int:
    """How many images show what a file loses: a thousand small ones, fewer of large ones, which cost more."""
    return max(_LEAST, min(_MOST, _PIXELS // (height * width)))


def in_parts(calibration: Images) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Places of the calibration images that show what a file loses, where there are no others, one in four;
    and of those that calibrate what is repaired."""
    everything = np.arange(len(calibration))
    return everything[_ONE_IN - 1 :: _ONE_IN], everything[everything % _ONE_IN != _ONE_IN - 1]
