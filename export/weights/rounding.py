"""Rounds a layer's weights to few bits so that what the layer gives changes least, whatever the format.

The nearest of 15 numbers for each weight is not what loses least: errors of weights that see alike inputs can
cancel. So one column of weights after the other is rounded, and what each is off is taken over by those that
are still to come, as far as their inputs go along with its own; then single weights go up or down where that
brings the layer closer yet. What layers in front have lost is made good too, as inputs are those of the
network that is rounded already, and outputs those of the float one.

Pure linear algebra on the second moments of inputs: the same numbers for the same images, and a layer of a
ResNet-8 takes a tenth of a second.

Sources: Frantar et al.: GPTQ, arXiv:2210.17323, for the columns; Behdin et al.: QuantEase, arXiv:2309.01885,
for single weights; Nagel et al.: Up or Down? Adaptive Rounding, arXiv:2004.10568, for the goal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgewright.export.weights.moments import Floats, Moments, damped, split_up

BITS = 4
HOW = "layer by layer for the least error of what each gives, on calibration images; biases take the mean"
# Layers with the fewest weights keep 8 bits, up to this share of all weights: they are the first ones, and
# shortcuts, where few weights decide about much.
SPARED = 0.05
_CLIPS = np.linspace(
    1.0, 0.55, 10
)  # shares of a channel's largest weight that the largest code may stand for
_SWEEPS = 4
_BLOCK = 128  # columns
_AT_ONCE = 2**24  # numbers
_EXACT = 1e-4  # of a step: what floats lose on the way into a file

Mask = NDArray[np.bool_]
Codes = NDArray[np.int8]


@dataclass(frozen=True, kw_only=True)
class Rounded:
    """Weights as `codes` times `scales`, `(outputs, inputs)` and `(outputs,)`, and what is added to the
    biases, `(outputs,)`."""

    codes: Codes
    scales: NDArray[np.float32]
    shift: Floats


def bits(sizes: Mapping[int, int], bits: int = BITS) -> dict[int, int]:
    """How many bits each layer gets, by its place and how many weights it has."""
    spared, left = set(), SPARED * sum(sizes.values())
    for place, size in sorted(sizes.items(), key=lambda item: item[1]):
        left -= size
        if left < 0:
            break
        spared.add(place)
    return {place: 8 if place in spared else bits for place in sizes}


def note(bits: Mapping[int, int]) -> str:
    """How weights are stored, for the manifest."""
    spared = sum(count == 8 for count in bits.values())
    small = f", of the {spared} smallest layers int8" if spared else ""
    return f"int4 per channel{small}, of depthwise convolutions int8"


def packed(codes: Codes) -> Codes:
    """Codes of 4 bits, two to a byte, the first in its lower half."""
    flat = np.append(codes.ravel(), np.zeros(codes.size % 2, np.int8))
    pairs: Codes = (flat[::2] & 15) | (flat[1::2] << 4)
    return pairs


class _Part:
    """Inputs that are looked at together: their second moments `square`, damped, and those factorized,
    largest first. `weights` is what is wanted of them, `(outputs, inputs)`."""

    def __init__(self, weights: Floats, moments: Moments, part: slice, centred: bool) -> None:
        square, cross = moments.among(part, centred)
        self.columns = part
        self.square = damped(square)
        self.order = np.argsort(-np.diag(self.square), kind="stable")
        inverse = np.linalg.inv(self.square[np.ix_(self.order, self.order)])
        self.upper = np.linalg.cholesky(inverse).T
        # What gives the float network's outputs from the inputs there are; the same weights if they agree.
        ours = weights[:, part]
        solved = np.linalg.solve(self.square, (ours @ (cross + self.square - square)).T).T
        self.weights = np.where(ours == 0, 0, solved)  # pruned away


def nearest(weights: Floats, bits: int) -> Rounded:
    """Each weight by itself, the largest of a channel exactly.

    Args:
        weights: `(outputs, inputs)`.
    """
    most = 2 ** (bits - 1) - 1
    largest = np.abs(weights).max(axis=1)
    scales = (np.where(largest > 0, largest, 1) / most).astype(np.float32)
    return Rounded(codes=_codes(weights, scales, most), scales=scales, shift=np.zeros(len(weights)))


def on_grid(weights: Floats, bits: int = BITS) -> Rounded | None:
    """The codes of weights that are multiples of one number a channel already, as `qat4` leaves them, also
    if each channel was multiplied by another since; else None."""
    most = 2 ** (bits - 1) - 1
    largest = np.abs(weights).max(axis=1)
    scales = np.ones(len(weights))
    open_ = largest > 0
    for code in range(most, 0, -1):
        tried = np.where(largest > 0, largest, 1) / code
        steps = weights / tried[:, np.newaxis]
        fits = open_ & (np.abs(steps - np.rint(steps)).max(axis=1) < _EXACT * most)
        scales[fits], open_ = tried[fits], open_ & ~fits
    if open_.any():
        return None
    single = scales.astype(np.float32)
    return Rounded(codes=_codes(weights, single, most), scales=single, shift=np.zeros(len(weights)))


def rounded(weights: Floats, moments: Moments, bits: int, *, has_bias: bool) -> Rounded:
    """The weights in `bits` bits.

    Args:
        weights: `(outputs, inputs)`; zeros stay zeros.
        moments: of the inputs.
        has_bias: whether the layer can take what is off in the mean.
    """
    weights = weights.astype(np.float64)
    most = 2 ** (bits - 1) - 1
    count = weights.shape[1]
    parts = [_Part(weights, moments, part, has_bias) for part in split_up(count)]
    codes, scales = np.empty(weights.shape, np.int8), np.empty(len(weights))
    few = max(1, _AT_ONCE // (len(_CLIPS) * count))  # outputs
    for start in range(0, len(weights), few):
        rows = slice(start, start + few)
        codes[rows], scales[rows] = _outputs(parts, rows, weights[rows] == 0, most)
    single = scales.astype(np.float32)
    shift = weights @ moments.exact - (codes * single[:, np.newaxis].astype(np.float64)) @ moments.given
    return Rounded(codes=codes, scales=single, shift=shift if has_bias else np.zeros(len(weights)))


def on_scales(weights: Floats, scales: Floats, moments: Moments, *, has_bias: bool) -> Rounded:
    """The weights in 8 bits with the scales that they have, `(outputs,)`; else as `rounded`."""
    weights, scales = weights.astype(np.float64), scales.astype(np.float64)
    most, count = 127, weights.shape[1]
    codes = np.empty(weights.shape)
    for columns in split_up(count):
        part = _Part(weights, moments, columns, has_bias)
        free = weights[:, part.columns] != 0
        found = _by_columns(part.weights, free, part, scales, most)
        for _ in range(_SWEEPS):
            found = _by_weights(part, slice(None), free, found, scales, most)
        codes[:, part.columns] = found
    shift = weights @ moments.exact - (codes * scales[:, np.newaxis]) @ moments.given
    return Rounded(
        codes=codes.astype(np.int8),
        scales=scales.astype(np.float32),
        shift=shift if has_bias else np.zeros(len(weights)),
    )


def _outputs(parts: Sequence[_Part], rows: slice, kept: Mask, most: int) -> tuple[Floats, Floats]:
    """Codes and scales of some outputs, which have nothing to do with each other; 0 of those `kept`."""
    count = len(kept)
    largest = np.max([np.abs(part.weights[rows]).max(axis=1) for part in parts], axis=0)
    tried = np.outer(_CLIPS, np.maximum(largest, 1e-30) / most)  # each channel with all of them at once
    found = np.empty((len(_CLIPS), count, kept.shape[1]))
    errors = np.zeros((len(_CLIPS), count))
    for part in parts:
        wanted, free = part.weights[rows], ~kept[:, part.columns]
        turns = (len(_CLIPS), 1)
        columns = _by_columns(np.tile(wanted, turns), np.tile(free, turns), part, tried.ravel(), most)
        found[:, :, part.columns] = columns.reshape(len(_CLIPS), *wanted.shape)
        for i, scales in enumerate(tried):
            errors[i] += _errors(wanted - found[i, :, part.columns] * scales[:, np.newaxis], part.square)
    best = np.argmin(errors, axis=0), np.arange(count)
    codes, scales = found[best], tried[best]
    for _ in range(_SWEEPS):
        for part in parts:
            here = part.columns
            codes[:, here] = _by_weights(part, rows, ~kept[:, here], codes[:, here], scales, most)
        scales = _fitted(parts, rows, codes, scales)
    return codes, scales


def _codes(weights: Floats, scales: Floats, most: int) -> Codes:
    codes: Codes = np.clip(np.rint(weights / scales[:, np.newaxis]), -most, most).astype(np.int8)
    return codes


def _errors(off: Floats, square: Floats) -> Floats:
    """What each output is off in the mean of squares."""
    errors: Floats = np.einsum("oi,oi->o", off @ square, off)
    return errors


def _by_columns(weights: Floats, free: Mask, part: _Part, scales: Floats, most: int) -> Floats:
    """GPTQ: codes of one column after the other, errors handed on to those to come; 0 of those not `free`."""
    order, upper = part.order, part.upper
    left, codes, free = weights[:, order].copy(), np.empty(weights.shape), free[:, order]
    for start in range(0, left.shape[1], _BLOCK):
        end = min(start + _BLOCK, left.shape[1])
        errors = np.empty((len(left), end - start))
        for i in range(start, end):
            codes[:, i] = np.clip(np.rint(left[:, i] / scales), -most, most) * free[:, i]
            errors[:, i - start] = (left[:, i] - codes[:, i] * scales) / upper[i, i]
            left[:, i + 1 : end] -= np.outer(errors[:, i - start], upper[i, i + 1 : end])
        left[:, end:] -= errors @ upper[start:end, end:]
    result = np.empty(weights.shape)
    result[:, order] = codes
    return result


def _by_weights(part: _Part, rows: slice, free: Mask, codes: Floats, scales: Floats, most: int) -> Floats:
    """Each weight's best code, given all others; 0 of those not `free`."""
    square, codes = part.square, codes.copy()
    # How far outputs are off along each input.
    pull = (part.weights[rows] - codes * scales[:, np.newaxis]) @ square
    for i in range(codes.shape[1]):
        moved = codes[:, i] + pull[:, i] / (square[i, i] * scales)
        moved = np.clip(np.rint(moved), -most, most) * free[:, i]
        pull -= np.outer((moved - codes[:, i]) * scales, square[i])
        codes[:, i] = moved
    return codes


def _fitted(parts: Sequence[_Part], rows: slice, codes: Floats, scales: Floats) -> Floats:
    """The scales that suit the codes best."""
    above, below = np.zeros(len(codes)), np.zeros(len(codes))
    for part in parts:
        own = codes[:, part.columns]
        spread = own @ part.square
        above += np.einsum("oi,oi->o", spread, part.weights[rows])
        below += np.einsum("oi,oi->o", spread, own)
    fitted: Floats = np.where((below > 0) & (above > 0), above / np.where(below > 0, below, 1), scales)
    return fitted
