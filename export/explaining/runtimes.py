"""Whether two ways of computing the same thing part, and in which layer first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgewright.export.explaining.comparison import Pairing, probe
from edgewright.export.explaining.graphs import Floats, Network, Step, Values
from edgewright.export.explaining.matching import match
from edgewright.export.explaining.measures import Noise

MOST_STEPS_APART = 1  # of an integer: how kernels round is theirs
MOST_SHARE_APART = 1e-3  # of the largest float: sums are added in another order
ALIKE = 60.0  # decibels, of float files in two runtimes


@dataclass(frozen=True, kw_only=True)
class Parting:
    """Two ways of computing: kernels on one file's own steps, each given the same values, or runtimes on two
    float files. `layer` is the first in which they part, None if they do not; `differing` the share of values
    of that layer that are not the same, else of all, and `snr` that of the scores of the one beside the other
    in decibels; `decided` the share of pictures that both decide alike."""

    one: str
    other: str
    layer: str | None
    differing: float
    snr: float
    decided: float


@np.errstate(all="ignore")
def kernels_apart(
    file: Network, floats: Network, pairing: Pairing, images: Values, names: Sequence[str]
) -> Parting:
    """See whether two kinds of kernels give the same for each step of a file.

    Raises:
        ModelFileError: one of them cannot run it.
    """
    one, other = file.kernels[:2]
    steps, twins = pairing.steps, pairing.twins
    exact = floats.whole(twins, floats.kernels[0])
    cuts, wholes = [file.cut(steps, k) for k in (one, other)], [file.whole((), k) for k in (one, other)]
    parted, different, counted = set[int](), [0] * len(steps), [0] * len(steps)
    scores, alike = Noise(), 0
    for image in images:
        pixels = image[np.newaxis]
        wanted = exact(pixels, {})
        said = {s.value: s.nearest(pairing.to_file(i, wanted[i])) for i, s in enumerate(steps)}
        left, right = (cut(pixels, said) for cut in cuts)
        for i, step in enumerate(steps):
            if _part(step, left[i], right[i]):
                parted.add(i)
            different[i] += int((left[i] != right[i]).sum())
            counted[i] += left[i].size
        (ours,), (theirs,) = (whole(pixels, {}) for whole in wholes)
        grid = file.scores_grid
        a, b = (grid.floats(v) if grid else v.astype(np.float32) for v in (ours, theirs))
        scores.add(a, b)
        alike += int(a[:1].argmax() == b[:1].argmax())
    first = min(parted, default=None)
    shares = (
        (different, counted) if first is None else (different[first : first + 1], counted[first : first + 1])
    )
    return Parting(
        one=one,
        other=other,
        layer=None if first is None else names[first],
        differing=sum(shares[0]) / max(sum(shares[1]), 1),
        snr=scores.decibels,
        decided=alike / len(images),
    )


def _part(step: Step, one: Values, other: Values) -> bool:
    if step.grid is not None:
        return bool(np.abs(one.astype(np.int64) - other.astype(np.int64)).max() > MOST_STEPS_APART)
    largest = float(np.abs(one).max())
    return not float(np.abs(one - other).max()) <= MOST_SHARE_APART * largest


@np.errstate(all="ignore")
def runtimes_apart(
    one: tuple[str, Network], other: tuple[str, Network], images: Values, names: dict[object, str]
) -> Parting:
    """See whether two float files of the same model give the same, each in its own runtime.

    Args:
        one, other: what each is called, and the file.
        names: of the layers, by the values of `one`.
    """
    (left_name, left), (right_name, right) = one, other
    ours, theirs = probe(left, images[:1]), probe(right, images[:1])
    pairs = match([s for s, _ in ours], [n for _, n in ours], [s for s, _ in theirs], [n for _, n in theirs])
    steps, twins = [ours[i][0] for i, _ in pairs], [theirs[j][0] for _, j in pairs]
    run, run_other = left.whole(steps, left.kernels[0]), right.whole(twins, right.kernels[0])
    noise, alike, scores = [Noise() for _ in pairs], 0, Noise()
    different = counted = 0
    for image in images:
        pixels = image[np.newaxis]
        *a, our_scores = run(pixels, {})
        *b, their_scores = run_other(pixels, {})
        for i, (value, twin) in enumerate(zip(a, b, strict=True)):
            turned = _like(twin, value.shape)
            noise[i].add(value, turned)
            different += int((value != turned).sum())
            counted += value.size
        scores.add(our_scores, their_scores.reshape(our_scores.shape))
        alike += int(our_scores[:1].argmax() == their_scores[:1].argmax())
    first = next((i for i, each in enumerate(noise) if each.decibels < ALIKE), None)
    return Parting(
        one=left_name,
        other=right_name,
        layer=None if first is None else names.get(steps[first].value, steps[first].label),
        differing=different / max(counted, 1),
        snr=scores.decibels,
        decided=alike / len(images),
    )


def _like(values: Floats, shape: tuple[int, ...]) -> Floats:
    """The same values with channels where the other file has them."""
    if values.shape != shape and values.ndim > 2:
        for moved in (np.moveaxis(values, 1, -1), np.moveaxis(values, -1, 1)):
            if moved.shape == shape:
                return moved
    return values.reshape(shape)
