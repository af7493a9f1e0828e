"""Cross-layer equalization, whatever the format: scales of channels moved from one layer into the next.

Eight bits for a whole tensor are few where one channel is a hundred times another. Where only scale-free
operators stand between two layers (ReLU, pooling, zeros padded), a channel may leave the first layer divided
by a number and be multiplied by it in the next: the network computes the same. Factors are rounded to powers
of two, so that it is the same to the last bit. A multiplication by a constant a channel is a layer too (a
normalization behind an activation function, a rescaling), and one by another value, such as a gate, is
scale-free.

Source: Nagel et al.: Data-Free Quantization Through Weight Equalization and Bias Correction,
arXiv:1906.04721, section 4.1: a channel's factor is the root of its range in the first layer over that in the
next. ReLU6, SiLU and hard-swish end a chain: they are not scale-free.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

_ROUNDS, _SETTLED = 40, 0.02  # of log2 of a factor
_MOST = 24  # powers of two that a factor may be

Floats = NDArray[np.floating[Any]]
Places: TypeAlias = NDArray[np.intp]  # for each number of a tensor, which channel of its joint it belongs to


@dataclass(kw_only=True, eq=False)
class Layer:
    """A convolution or dense layer, the one at place `key` of its format's graph: `kernel` `(groups, outputs,
    inputs, taps)`, `bias` `(groups * outputs,)` or None. Also a constant a channel that values are multiplied
    by, see `scaling`, or that is added to them: a bias alone, see `offset`."""

    key: int
    kernel: Floats
    bias: Floats | None
    reads: int | None = None  # the joint
    writes: int | None = None
    channels: Places = field(default_factory=lambda: np.empty(0, np.intp))  # of `reads`, one an input


@dataclass(frozen=True, kw_only=True)
class _Value:
    joint: int
    places: Places  # in the shape of the tensor, without the batch


class Equalizer:
    """Is told a network's operators from the front to the back, then gives its layers equalized.

    A joint is what tensors have in common that must be scaled alike: those between which scale-free operators
    stand, and all branches of an addition. It has one factor a channel, and none where anything else reads or
    writes one of its tensors.
    """

    def __init__(self) -> None:
        self._values: dict[Hashable, _Value] = {}
        self._parents: list[int] = []
        self._sizes: list[int] = []
        self._blocked: set[int] = set()
        self._layers: list[Layer] = []

    def layer(
        self,
        layer: Layer,
        reads: Hashable,
        writes: Hashable,
        shape: Sequence[int],
        axis: int,
        *,
        free: bool = True,
    ) -> None:
        """A layer from one tensor to another.

        Args:
            layer: what it holds.
            reads, writes: the tensors; a fused activation function is part of it.
            shape, axis: of what it writes, without the batch, and where its channels are.
            free: whether its activation function is scale-free.
        """
        groups, outputs, inputs, _ = layer.kernel.shape
        given = self._values.get(reads)
        row = None if given is None else _row(given.places, groups * inputs, axis)
        if row is None:
            self._block(reads)
        else:
            assert given is not None
            layer.reads, layer.channels = given.joint, row
        self._layers.append(layer)
        if not free or not -len(shape) <= axis < len(shape) or shape[axis] != groups * outputs:
            return
        layer.writes = len(self._parents)
        self._parents.append(layer.writes)
        self._sizes.append(groups * outputs)
        turned = [-1 if place == axis % len(shape) else 1 for place in range(len(shape))]
        places = np.broadcast_to(np.arange(groups * outputs).reshape(turned), shape)
        self._values[writes] = _Value(joint=layer.writes, places=places)

    def through(
        self, reads: Sequence[Hashable], writes: Hashable, moved: Callable[[Places], Places | None]
    ) -> None:
        """A scale-free operator that gives the channels of `reads`, which are alike; `moved` does to their
        places what it does to numbers, None where it mixes channels."""
        given = [self._values.get(tensor) for tensor in reads]
        first = given[0]
        alike = first is not None and all(
            value is not None and np.array_equal(value.places, first.places) for value in given
        )
        places = moved(first.places) if first is not None and alike else None
        if first is None or places is None:
            self.other(reads)
            return
        for value in given:
            assert value is not None
            self._join(first.joint, value.joint)
        self._values[writes] = _Value(joint=first.joint, places=places)

    def by_channel(
        self,
        layer: Layer,
        reads: Hashable,
        writes: Hashable,
        shape: Sequence[int],
        axis: int,
        *,
        free: bool = True,
    ) -> None:
        """As `layer`, with one that is a `scaling` or an `offset`."""
        given = self._values.get(reads)
        if given is not None and given.places.shape != tuple(shape):  # it is made larger
            self.other([reads])
        if layer.bias is None:
            self.layer(layer, reads, writes, shape, axis, free=free)
            return
        row = None if given is None else _row(given.places, len(layer.bias), axis)
        same = (
            given is not None and row is not None and np.array_equal(row, np.arange(self._sizes[given.joint]))
        )
        if given is None or not same or not free:
            self.other([reads])
            return
        layer.writes = given.joint
        self._layers.append(layer)
        self._values[writes] = given

    def product(self, reads: Sequence[Hashable], writes: Hashable, shape: Sequence[int]) -> None:
        """A multiplication of two values to one of `shape`, without the batch: scaled with one of them."""
        blocked = {self._root(joint) for joint in self._blocked}
        known = [tensor for tensor in dict.fromkeys(reads) if tensor in self._values]
        known.sort(key=lambda tensor: self._root(self._values[tensor].joint) in blocked)
        if not known or len({*reads}) < len(reads):  # a square is not scale-free
            self.other(reads)
            return
        self.other(known[1:])
        self.through(known[:1], writes, lambda places: broadcast(places, shape))

    def other(self, reads: Sequence[Hashable]) -> None:
        """Anything else that reads these tensors; the network's end too."""
        for tensor in reads:
            self._block(tensor)

    def equalized(self) -> list[Layer]:
        """The layers that change, with what they hold then; without effect on what the network computes."""
        factors = self._factors()
        changed = []
        for layer in self._layers:
            before = layer.kernel, layer.bias
            for joint, factor in factors.items():
                if layer.reads is not None and self._root(layer.reads) == joint:
                    layer.kernel = layer.kernel * self._inward(layer, factor)
                if layer.writes is not None and self._root(layer.writes) == joint:
                    layer.kernel = layer.kernel / factor.reshape(*layer.kernel.shape[:2], 1, 1)
                    layer.bias = None if layer.bias is None else layer.bias / factor
            same = [a is b for a, b in zip(before, (layer.kernel, layer.bias), strict=True)]
            if not all(same):
                changed.append(layer)
        return changed

    def _factors(self) -> dict[int, NDArray[np.float64]]:
        """By what each channel of a joint is divided where it is written, powers of two; those of joints
        where there is anything to do."""
        joints: dict[int, tuple[list[Layer], list[Layer]]] = {}
        blocked = {self._root(joint) for joint in self._blocked}
        for joint in range(len(self._parents)):
            root = self._root(joint)
            if root not in blocked:
                joints.setdefault(root, ([], []))
        for layer in self._layers:
            for end, side in ((layer.writes, 0), (layer.reads, 1)):
                if end is not None and self._root(end) in joints:
                    joints[self._root(end)][side].append(layer)
        joints = {joint: sides for joint, sides in joints.items() if all(sides)}
        exponents = {joint: np.zeros(self._sizes[joint]) for joint in joints}
        spread = {id(layer): np.abs(layer.kernel).max(axis=3) for layer in self._layers}
        for _ in range(_ROUNDS):
            most = 0.0
            for joint, (writers, readers) in joints.items():
                step = self._step(writers, readers, spread, self._sizes[joint])
                most = max(most, float(np.abs(step).max(initial=0)))
                exponents[joint] += step
                for layer in writers:
                    spread[id(layer)] = spread[id(layer)] / np.exp2(step).reshape(*layer.kernel.shape[:2], 1)
                for layer in readers:
                    spread[id(layer)] = spread[id(layer)] * self._inward(layer, np.exp2(step))[..., 0]
            if most < _SETTLED:
                break
        whole = {joint: np.clip(np.rint(e), -_MOST, _MOST) for joint, e in exponents.items()}
        return {joint: np.exp2(exponent) for joint, exponent in whole.items() if exponent.any()}

    def _step(
        self, writers: Sequence[Layer], readers: Sequence[Layer], spread: dict[int, Any], channels: int
    ) -> NDArray[np.float64]:
        """log2 of the factors that make a joint's ranges equal on both sides; 0 of dead channels."""
        out, into = np.zeros(channels), np.zeros(channels)
        for layer in writers:
            np.maximum(out, spread[id(layer)].max(axis=2, initial=0).ravel(), out=out)
        for layer in readers:
            np.maximum.at(into, layer.channels, spread[id(layer)].max(axis=1).ravel())
        alive = (out > 0) & (into > 0) & np.isfinite(out) & np.isfinite(into)
        step: NDArray[np.float64] = np.zeros(channels)
        step[alive] = np.log2(out[alive] / into[alive]) / 2
        return step

    def _inward(self, layer: Layer, factor: NDArray[np.float64]) -> NDArray[np.float64]:
        groups, _, inputs, _ = layer.kernel.shape
        return factor[layer.channels].reshape(groups, 1, inputs, 1)

    def _block(self, tensor: Hashable) -> None:
        if value := self._values.get(tensor):
            self._blocked.add(value.joint)

    def _root(self, joint: int) -> int:
        while self._parents[joint] != joint:
            joint = self._parents[joint]
        return joint

    def _join(self, one: int, other: int) -> None:
        self._parents[self._root(other)] = self._root(one)


def scaling(key: int, factors: Floats) -> Layer:
    """A multiplication of each channel by one of the `factors`, `(channels,)`."""
    return Layer(key=key, kernel=factors.astype(np.float64).reshape(-1, 1, 1, 1), bias=None)


def offset(key: int, offsets: Floats) -> Layer:
    """An addition to each channel of one of the `offsets`, `(channels,)`."""
    return Layer(key=key, kernel=np.empty((len(offsets), 1, 0, 1)), bias=offsets.astype(np.float64))


def channel_axis(constant: Floats, shape: Sequence[int]) -> int | None:
    """Which axis of a value of `shape`, without the batch, a constant beside it has one number a place of;
    None if not of one alone."""
    sizes = (1,) * (len(shape) + 1 - constant.ndim) + constant.shape
    if len(sizes) != len(shape) + 1 or constant.size < 2:
        return None
    (axis, *others) = (place - 1 for place, size in enumerate(sizes) if size > 1)
    return None if others or axis < 0 or shape[axis] != constant.size else axis


def broadcast(places: Places, shape: Sequence[int]) -> Places | None:
    """The places behind a multiplication that gives `shape`, without the batch."""
    try:
        return np.broadcast_to(places, tuple(shape))
    except ValueError:
        return None


def _row(places: Places, count: int, axis: int) -> Places | None:
    """Which channel each of a layer's `count` inputs is, None where that depends on where in the picture."""
    if places.size == count:  # dense: each number is an input
        return places.reshape(-1)
    if not -places.ndim <= axis < places.ndim or places.shape[axis] != count:
        return None
    last = np.moveaxis(places, axis, -1)
    row: Places = last[(0,) * (last.ndim - 1)]
    return row if bool((last == row).all()) else None


def pooled(places: Places, shape: Sequence[int], axis: int) -> Places | None:
    """The places behind an operator that leaves channels where they are and changes height and width;
    `shape` is what it gives, without the batch."""
    if places.ndim < 1 or places.ndim <= axis:
        return None
    row = _row(places, places.shape[axis], axis)
    if row is None:
        return None
    if len(shape) <= axis:  # height and width are gone
        return row if tuple(shape) == row.shape else None
    if shape[axis] != len(row):
        return None
    turned = [-1 if place == axis else 1 for place in range(len(shape))]
    return np.broadcast_to(row.reshape(turned), tuple(shape))
