"""A device proves itself: the bundle's golden images, run here, give what they gave where it was made.

Needs no data set and no TensorFlow. Every file's SHA-256 is checked first.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewright.runtime import backends
from edgewright.runtime.backends import Scores
from edgewright.runtime.bundle import arrays
from edgewright.runtime.bundle.manifest import Bundle, VariantEntry
from edgewright.runtime.errors import BundleError
from edgewright.runtime.predictor import load

GOLDEN_INPUTS = "inputs"  # uint8 (n, height, width, channels)
GOLDEN_REFERENCE = "keras"  # float32 (n, classes): the float Keras model's scores


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What one variant gave here. `status` is "ok", "failed" or "not run" (then `reason` says why).

    `max_abs_error` is the largest difference of any score from the exporting host's, held against
    `limit`.
    """

    variant: str
    status: str
    kernels: str = ""
    max_abs_error: float = 0.0
    limit: float = 0.0
    reason: str = ""


def verify(path: str | os.PathLike[str]) -> list[Verification]:
    """Check a bundle's files and run its golden images through every variant that can run here.

    Raises:
        BundleError: the manifest or a file is damaged (named in the message).
    """
    bundle = Bundle.open(Path(path))
    for entry in bundle.manifest.variants:
        bundle.path(entry.file)
    golden = read_golden(bundle)
    if bundle.manifest.evidence is not None:
        bundle.path(bundle.manifest.evidence)
    bundle.check_labels()
    return [_verify(bundle, entry, golden) for entry in bundle.manifest.variants]


def read_golden(bundle: Bundle) -> Mapping[str, NDArray[Any]]:
    """The golden arrays: `inputs`, `keras`, and the scores of each variant by its name.

    Raises:
        BundleError: damaged, or arrays of other shapes than the manifest promises.
    """
    path, golden = arrays.read(bundle, bundle.manifest.golden)
    count = len(np.atleast_1d(golden.get(GOLDEN_INPUTS, ())))
    expected: dict[str, tuple[int, ...]] = {GOLDEN_INPUTS: (count, *bundle.manifest.input.shape)}
    for name in (GOLDEN_REFERENCE, *(v.name for v in bundle.manifest.variants)):
        expected[name] = (count, bundle.manifest.scores)
    if count == 0:
        raise BundleError(f"expected images in {path}, got none")
    for name, shape in expected.items():
        arrays.check(golden, name, shape, np.uint8 if name == GOLDEN_INPUTS else np.float32, path)
    return golden


def _verify(bundle: Bundle, entry: VariantEntry, golden: Mapping[str, NDArray[Any]]) -> Verification:
    backend = backends.for_path(Path(entry.file.file))
    if not backend.available():
        reason = f"pip install 'edgewright[{backend.extra}]'"
        return Verification(variant=entry.name, status="not run", reason=reason)
    with load(bundle.folder, variant=entry.name) as predictor:
        kernels = predictor.session.kernels
        scores = np.concatenate([predictor.scores(image[np.newaxis]) for image in golden[GOLDEN_INPUTS]])
    return judge(entry, kernels, scores, golden[entry.name])


def judge(entry: VariantEntry, kernels: str, scores: Scores, expected: Scores) -> Verification:
    """Hold scores `(n, classes)` against the ones that were recorded, by the manifest's tolerance.

    Args:
        entry: the variant.
        kernels: what computed the scores.
        scores: what came of the golden images.
        expected: what the exporting host recorded.
    """
    same = kernels == entry.tolerance.kernels
    limit = entry.tolerance.max_abs if same else entry.tolerance.max_abs_elsewhere
    error = float(np.max(np.abs(scores - expected)))
    reason = ""
    if not error <= limit:
        reason = f"scores differ by {error:.2g}, more than {limit:.2g}"
    elif not same and (changed := int(np.sum(scores.argmax(1) != expected.argmax(1)))):
        reason = f"another top class on {changed} of {len(scores)} images"
    return Verification(
        variant=entry.name,
        status="failed" if reason else "ok",
        kernels=kernels,
        max_abs_error=error,
        limit=limit,
        reason=reason,
    )
