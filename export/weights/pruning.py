"""Removes the weights of a layer that it needs least, and has those that stay make good what is lost.

A weight counts for what it adds to the layer's outputs: its square times the mean square of its input. A
third of those that are to go are removed at a time; then the weights left take the values with which the
layer gives what it gave in the whole network, as nearly as they can, from the inputs that layers pruned
before leave it.

Sources: LeCun, Denker, Solla: Optimal Brain Damage, 1989, and Sun et al., arXiv:2306.11695, for what a weight
counts; Hubara et al., arXiv:2102.08124, for the fit; NVIDIA's 2:4 pattern, arXiv:2104.08378.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgewright.export.weights.moments import Floats, Moments, damped, split_up

_ROUNDS = 3
_GROUP = 4  # inputs of the 2:4 pattern
_STEPS, _CLOSE = 100, 1e-3  # of conjugate gradients: at most, and the residual's share that is left

Mask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """Weights `(outputs, inputs)`, and what is added to the biases, `(outputs,)`, both float64."""

    weights: Floats
    shift: Floats


def by_share(weights: Floats, moments: Moments | None, share: float, *, has_bias: bool) -> Pruned:
    """The weights with `share` of them 0.

    Args:
        weights: `(outputs, inputs)`; zeros stay zeros.
        moments: of the inputs; without them the smallest weights go, and others stay as they are.
        share: 0 to 1, of all weights of the layer together.
        has_bias: whether the layer can take what is off in the mean.
    """

    def kept(importance: Floats, part: float) -> Mask:
        mask = np.ones(importance.size, np.bool_)
        mask[np.argsort(importance, axis=None, kind="stable")[: math.ceil(mask.size * share * part)]] = False
        return mask.reshape(importance.shape)

    return _pruned(weights, moments, kept, has_bias)


def two_of_four(weights: Floats, moments: Moments | None, channels: int, *, has_bias: bool) -> Pruned:
    """As `by_share`, but two of every four neighbouring inputs; `channels` in a row are neighbours, and a
    group of fewer at their end keeps two."""

    def kept(importance: Floats, part: float) -> Mask:
        rows = importance.reshape(-1, channels)
        missing = -channels % _GROUP
        groups = np.pad(rows, ((0, 0), (0, missing)), constant_values=-1.0).reshape(-1, _GROUP)
        places = np.argsort(np.argsort(-groups, axis=1, kind="stable"), axis=1, kind="stable")
        mask = places < _GROUP - math.ceil(_GROUP // 2 * part)
        return mask.reshape(len(rows), -1)[:, :channels].reshape(importance.shape)

    return _pruned(weights, moments, kept, has_bias)


def _pruned(
    weights: Floats, moments: Moments | None, kept: Callable[[Floats, float], Mask], has_bias: bool
) -> Pruned:
    weights = weights.astype(np.float64)
    if moments is None:
        left = np.where(kept(np.abs(weights), 1.0), weights, 0)
        return Pruned(weights=left, shift=np.zeros(len(weights)))
    found = weights.copy()
    parts = [_Part(weights, moments, columns, has_bias) for columns in split_up(weights.shape[1])]
    strength = np.concatenate([np.diag(part.square) for part in parts])
    for done in range(1, _ROUNDS + 1):
        mask = kept(np.square(found) * strength, done / _ROUNDS) & (weights != 0)
        for part in parts:
            found[:, part.columns] = part.fitted(found[:, part.columns], mask[:, part.columns])
    shift = weights @ moments.exact - found @ moments.given
    return Pruned(weights=found, shift=shift if has_bias else np.zeros(len(weights)))


class _Part:
    """Inputs that are looked at together: their second moments `square`, damped, and what weights times these
    should give, `(outputs, inputs)`."""

    def __init__(self, weights: Floats, moments: Moments, columns: slice, centred: bool) -> None:
        square, cross = moments.among(columns, centred)
        self.columns, self.square = columns, damped(square)
        self._wanted = weights[:, columns] @ (cross + self.square - square)

    def fitted(self, start: Floats, mask: Mask) -> Floats:
        """The weights where `mask` is that give least squared error, from `start` on, others 0: conjugate
        gradients for all outputs at once, with the diagonal as preconditioner."""
        diagonal = np.diag(self.square)
        found = np.where(mask, start, 0)
        left = np.where(mask, self._wanted - found @ self.square, 0)
        way = left / diagonal
        size = (left * way).sum(axis=1)
        enough = _CLOSE**2 * size.max(initial=0.0)
        for _ in range(_STEPS):
            if size.max(initial=0.0) <= enough:
                break
            along = np.where(mask, way @ self.square, 0)
            step = size / np.maximum((way * along).sum(axis=1), np.finfo(np.float64).tiny)
            found += step[:, np.newaxis] * way
            left -= step[:, np.newaxis] * along
            scaled = left / diagonal
            before, size = size, (left * scaled).sum(axis=1)
            way = scaled + (size / np.maximum(before, np.finfo(np.float64).tiny))[:, np.newaxis] * way
        return found
