"""What a report shows of how the files of a bundle were judged: classes, and images where they fail.

`evidence.npz` holds, for n images, w disagreements on them, and the v variants in the manifest's order:

    images         uint8 (n, height, width, channels), no longer side above `MAX_SIDE`
    truth          int32 (n,), their true classes
    classes        int32 (v, 4, classes): test images of each class (of several labels: all), those that Keras
                   has right, and of these and the others those that the variant has lost and won
    worst          int32 (w, 4): variant, image, Keras' class, the variant's class; a variant's worst first
    probabilities  float32 (w, 2, 2): what Keras and the variant give to Keras' class and the variant's
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewright.runtime.bundle import arrays
from edgewright.runtime.bundle.manifest import Bundle
from edgewright.runtime.errors import BundleError

IMAGES, TRUTH, CLASSES, WORST, PROBABILITIES = "images", "truth", "classes", "worst", "probabilities"
MAX_SIDE = 96  # pixels: enough to see what it is
MAX_WORST = 8  # a variant
_MOST_ROWS = 100  # a variant: other versions may keep more

Counts = NDArray[np.int32]


@dataclass(frozen=True, kw_only=True)
class Disagreement:
    """A test image that a variant puts into another class than Keras: uint8 `(height, width, channels)`,
    classes by their index, `probabilities` `(2, 2)` of Keras and the variant for `keras` and `variant`."""

    image: NDArray[np.uint8]
    truth: int
    keras: int
    variant: int
    probabilities: NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Of one variant: counts of test images by class, int32 `(classes,)` each, and the disagreements on
    images that Keras is surest of, the surest first."""

    images: Counts
    keras_right: Counts
    lost: Counts
    won: Counts
    worst: tuple[Disagreement, ...]


def read_evidence(bundle: Bundle) -> dict[str, Evidence] | None:
    """The evidence of each variant by its name; None if the bundle, an old one, has none.

    Raises:
        BundleError: damaged, or arrays that cannot be true of this bundle.
    """
    entry, manifest = bundle.manifest.evidence, bundle.manifest
    if entry is None:
        return None
    path, found = arrays.read(bundle, entry)
    sizes = {name: np.atleast_1d(found[name]).shape if name in found else (0,) for name in (IMAGES, WORST)}
    channels, count, rows = manifest.input.channels, sizes[IMAGES][0], sizes[WORST][0]
    sides = (*sizes[IMAGES], 0, 0)[1:3]
    labels, variants = len(manifest.labels), len(manifest.variants)

    def array(name: str, shape: tuple[int, ...], dtype: type[np.generic]) -> NDArray[Any]:
        return arrays.check(found, name, shape, dtype, path)

    images, truth = array(IMAGES, (count, *sides, channels), np.uint8), array(TRUTH, (count,), np.int32)
    classes, worst = array(CLASSES, (variants, 4, labels), np.int32), array(WORST, (rows, 4), np.int32)
    probabilities = array(PROBABILITIES, (rows, 2, 2), np.float32)
    ends = np.array([variants, count, labels, labels])
    total, right, lost, won = classes.transpose(1, 0, 2)
    samples = np.array([variant.parity.samples for variant in manifest.variants])
    # of several labels each one is judged on every image
    judged = total.T if manifest.is_multi_label else total.sum(axis=1)
    sound = (
        rows <= _MOST_ROWS * variants
        and 0 < min(sides) <= max(sides) <= MAX_SIDE
        and bool(((truth >= 0) & (truth < labels)).all())
        and bool((judged == samples).all())
        and bool(((worst >= 0) & (worst < ends)).all())
        and bool(((probabilities >= 0) & (probabilities <= 1)).all())
        and bool(((lost >= 0) & (lost <= right) & (won >= 0) & (won <= total - right)).all())
    )
    if not sound:
        raise BundleError(
            f"expected places, classes and probabilities that this bundle has in {path}, got others"
        )
    return {
        variant.name: Evidence(
            images=total[i],
            keras_right=right[i],
            lost=lost[i],
            won=won[i],
            worst=tuple(
                Disagreement(
                    image=images[image],
                    truth=int(truth[image]),
                    keras=int(keras),
                    variant=int(other),
                    probabilities=given,
                )
                for (owner, image, keras, other), given in zip(worst, probabilities, strict=True)
                if owner == i
            ),
        )
        for i, variant in enumerate(manifest.variants)
    }
