"""A device proves itself: the bundle's golden images, run here, give what they gave where it was made.

Needs no data set and no TensorFlow. Every file's SHA-256 is checked first.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgewright.runtime import backends, plugins
from edgewright.runtime.backends import Scores
from edgewright.runtime.bundle import arrays
from edgewright.runtime.bundle.manifest import MANIFEST, Bundle, VariantEntry
from edgewright.runtime.contract import ModelContract
from edgewright.runtime.contract.heads import Head
from edgewright.runtime.disk import outside
from edgewright.runtime.disk.files import sha256_of
from edgewright.runtime.errors import BundleError, InputError, ModelFileError
from edgewright.runtime.predictor import Predictor, load

if TYPE_CHECKING:
    from edgewright.runtime.signing import Policy

GOLDEN_INPUTS = "inputs"  # uint8 (n, height, width, channels)
GOLDEN_REFERENCE = "keras"  # float32 (n, classes): the float Keras model's scores
GOLDEN_BOUNDARY = "boundary-"  # before the names of the same of images near the boundary of two classes
_FLOAT_STEP = 1e-5  # how closely floats are repeated


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What one variant gave here. `status` is "ok", "failed" or "not run" (then `reason` says why).

    `max_abs_error` is the largest difference of any score from the exporting host's, held against
    `limit`; images near a boundary are held against it too, and the class has to be the same on the others.
    """

    variant: str
    status: str
    kernels: str = ""
    max_abs_error: float = 0.0
    limit: float = 0.0
    reason: str = ""


def verify(
    path: str | os.PathLike[str],
    *,
    bundle: str | os.PathLike[str] | None = None,
    golden: str | os.PathLike[str] | None = None,
    require_signature: Policy | None = None,
) -> list[Verification]:
    """Check a bundle's files and run its golden images through every variant that can run here; or do so for
    one file.

    Args:
        path: a bundle folder, or one file that was exported into a bundle.
        bundle: of a lone file: the bundle it is from, by default the folder it lies in.
        golden: of a lone file: instead, the `golden.npz` of that bundle. No file says then how closely the
            scores have to be repeated: they may be as far off as the file is from the Keras model on these
            images (two steps of an 8-bit output, or 2e-5, at least), and all decisions have to be the same.
        require_signature: who has to have signed the bundle, as with `load`; that is checked first.

    Raises:
        SignatureError: the bundle is not as that one has signed it.
        BundleError: the manifest or a file is damaged (named in the message), or is none of the bundle's.
        ModelFileError: a lone file that carries no contract, or cannot be opened.
        InputError: `bundle` or `golden` of what is no lone file, or both.
    """
    path = Path(path)
    lone = path.is_file() and path.name != MANIFEST
    if (bundle, golden) != (None, None) and not lone:
        raise InputError(f"expected a lone model file with a bundle or golden images of its own, got {path}")
    if bundle is not None and golden is not None:
        raise InputError("expected a bundle or golden images, got both")
    if golden is not None and require_signature is not None:
        raise InputError("expected a signed bundle, got golden images alone, which no signature covers")
    if lone:
        if golden is not None:
            return [_lone_by_golden(path, Path(golden))]
        return [_lone_of_bundle(path, bundle, require_signature)]
    return outside.settled(path, partial(_bundle, path, require_signature), MANIFEST)


def _bundle(path: Path, policy: Policy | None) -> list[Verification]:
    opened = _opened(path, policy)
    opened.check()
    expected = read_golden(opened)
    return [_verify(opened, entry, opened.folder, expected) for entry in opened.manifest.variants]


def _opened(folder: Path, policy: Policy | None) -> Bundle:
    """A bundle, which is as it was signed where that is asked for."""
    if policy is None:
        return Bundle.open(folder)
    from edgewright.runtime import signing

    return Bundle.open(folder, signing.check(folder, policy).get(MANIFEST, ""))


def _lone_of_bundle(path: Path, folder: str | os.PathLike[str] | None, policy: Policy | None) -> Verification:
    """A file that is one of a bundle's, byte by byte."""
    where = path.parent if folder is None else Path(folder)
    contract = _own_contract(path)
    if folder is None and not (where / MANIFEST).is_file():
        raise BundleError(
            f"expected {path} to lie in its bundle, got a folder without {MANIFEST}; say which bundle it is "
            "from (--bundle FOLDER), or give its golden images (--golden FILE.npz)"
        )
    opened = _opened(where, policy)
    entry = opened.variant(contract.variant)
    if sha256_of(path) != entry.file.sha256:  # it is whole: it carries its own hash
        raise BundleError(f"expected the {entry.name} of {where}, got {path}, which is of another export")
    return _verify(opened, entry, path, read_golden(opened))


def _lone_by_golden(path: Path, golden: Path) -> Verification:
    """A file beside the images and scores that were recorded with it."""
    contract = _own_contract(path)
    found = arrays.parse(golden, outside.read(golden, BundleError, arrays.MAX_BYTES))
    if contract.variant not in found:
        others = {name for name in found if name.startswith(GOLDEN_BOUNDARY)}
        known = ", ".join(sorted({*found} - others - {GOLDEN_INPUTS, GOLDEN_REFERENCE})) or "none"
        raise BundleError(f"expected the scores of {contract.variant} in {golden}, got those of {known}")
    if missing := _missing(path, contract.variant):
        return missing
    with load(path) as predictor:
        _check_golden(found, contract.input.shape, predictor.head.count, (contract.variant,), golden)
        step = predictor.session.output.scale or _FLOAT_STEP
        scores = _run(predictor, found[GOLDEN_INPUTS])
        own, keras = found[contract.variant], found[GOLDEN_REFERENCE]
        limit = max(float(np.max(np.abs(own - keras))), 2 * step)
        return _held(contract.variant, predictor.session.kernels, scores, own, limit, predictor.head)


def _own_contract(path: Path) -> ModelContract:
    contract = backends.for_path(path).read(path).contract()
    if contract is None:
        raise ModelFileError(
            f"expected a file that edgewright export wrote, got {path}, which carries no contract: nothing "
            "was recorded of it"
        )
    return contract


def read_golden(bundle: Bundle) -> Mapping[str, NDArray[Any]]:
    """The golden arrays: `inputs`, `keras`, and the scores of each variant by its name; the same behind
    `GOLDEN_BOUNDARY` of images near the boundary of two classes, which older bundles have none of.

    Raises:
        BundleError: damaged, or arrays of other shapes than the manifest promises.
    """
    path, golden = arrays.read(bundle, bundle.manifest.golden)
    names = tuple(variant.name for variant in bundle.manifest.variants)
    _check_golden(golden, bundle.manifest.input.shape, bundle.manifest.scores, names, path)
    return golden


def _check_golden(
    golden: Mapping[str, NDArray[Any]],
    image: tuple[int, int, int],
    scores: int,
    names: tuple[str, ...],
    path: Path,
) -> None:
    """Raises `BundleError` unless there are images of that shape, and scores of Keras and of `names`."""
    for of in ("", *([GOLDEN_BOUNDARY] if f"{GOLDEN_BOUNDARY}{GOLDEN_INPUTS}" in golden else [])):
        count = len(np.atleast_1d(golden.get(f"{of}{GOLDEN_INPUTS}", ())))
        if count == 0:
            raise BundleError(f"expected images in {path}, got none")
        arrays.check(golden, f"{of}{GOLDEN_INPUTS}", (count, *image), np.uint8, path)
        for name in (GOLDEN_REFERENCE, *names):
            arrays.check(golden, f"{of}{name}", (count, scores), np.float32, path)


def _missing(path: Path, variant: str) -> Verification | None:
    """That a file cannot run here for want of its interpreter."""
    backend = backends.for_path(path)
    if backend.available():
        return None
    return Verification(
        variant=variant, status="not run", reason=f"pip install 'edgewright[{backend.extra}]'"
    )


def _run(predictor: Predictor, images: NDArray[Any]) -> Scores:
    return np.concatenate([predictor.scores(image[np.newaxis]) for image in images])


def machine(path: Path) -> str:
    """What decides how closely a file's scores are repeated: its interpreter's version, the processor's
    kind."""
    from edgewright.runtime.machine import processor

    module = backends.for_path(path).module.partition(".")[0]
    return f"{plugins.version(module)} on {processor.kind()}"


def _verify(
    bundle: Bundle, entry: VariantEntry, path: Path, golden: Mapping[str, NDArray[Any]]
) -> Verification:
    """One variant, opened from `path`: the bundle, or a copy of its file."""
    if missing := _missing(Path(entry.file.file), entry.name):
        return missing
    here = machine(Path(entry.file.file))
    with load(path, variant=entry.name if path.is_dir() else None) as predictor:
        scores, kernels = _run(predictor, golden[GOLDEN_INPUTS]), predictor.session.kernels
        found = judge(entry, kernels, scores, golden[entry.name], predictor.head, here)
        if f"{GOLDEN_BOUNDARY}{GOLDEN_INPUTS}" not in golden:
            return found
        scores = _run(predictor, golden[f"{GOLDEN_BOUNDARY}{GOLDEN_INPUTS}"])
    near = _held(entry.name, kernels, scores, golden[f"{GOLDEN_BOUNDARY}{entry.name}"], found.limit, None)
    if near.reason and not found.reason:
        found = replace(found, status=near.status, reason=f"{near.reason}, near the boundary of two classes")
    return replace(found, max_abs_error=float(np.maximum(found.max_abs_error, near.max_abs_error)))


def judge(
    entry: VariantEntry, kernels: str, scores: Scores, expected: Scores, head: Head, here: str = ""
) -> Verification:
    """Hold scores `(n, scores)` against the ones that were recorded, by the manifest's tolerance; no image
    may be decided otherwise.

    Args:
        entry: the variant.
        kernels: what computed the scores.
        scores: what came of the golden images.
        expected: what the exporting host recorded.
        head: what they mean.
        here: what else has to be the same for scores to be repeated, as `machine` says of this one; empty of
            any other than the exporting host.
    """
    tolerance = entry.tolerance
    same = kernels == tolerance.kernels and tolerance.machine in ("", here)
    limit = tolerance.max_abs if same else tolerance.max_abs_elsewhere
    return _held(entry.name, kernels, scores, expected, limit, head)


def decided_otherwise(head: Head, scores: Scores, expected: Scores) -> NDArray[np.bool_]:
    """Of each image, `(n,)`, whether two lots of scores `(n, scores)` decide on another class, or on other
    labels. Not of an embedding, which decides nothing."""
    differ: NDArray[np.bool_] = np.atleast_2d((head.decisions(scores) != head.decisions(expected)).T)
    return np.asarray(differ.any(0))


def _held(
    variant: str, kernels: str, scores: Scores, expected: Scores, limit: float, head: Head | None
) -> Verification:
    """Whether scores are within a limit; with `head`, whether they decide alike too."""
    error = float(np.max(np.abs(scores - expected)))
    reason = ""
    if not error <= limit:
        reason = f"scores differ by {error:.2g}, more than {limit:.2g}"
    elif (
        head is not None
        and not head.is_embedding
        and (changed := int(decided_otherwise(head, scores, expected).sum()))
    ):
        what = "other labels" if head.is_multi_label else "another top class"
        reason = f"{what} on {changed} of {len(scores)} images"
    return Verification(
        variant=variant,
        status="failed" if reason else "ok",
        kernels=kernels,
        max_abs_error=error,
        limit=limit,
        reason=reason,
    )
