"""Runs a file and its float model on the same pictures and measures each step where both have it.

Three things are told apart. What a step gives in the whole file differs from the float model by all that went
wrong before it, too: that shows how the error grows. What it gives on the float model's own values, quantized
as the file does, differs by its own doing. And that difference, added to the float model in that place and
nowhere else, shows what the step alone costs the scores: a large one may cost nothing, such as logits that
are cut off where no softmax can see, and a small one much, in channels that what follows makes large.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from edgewright.export.explaining.graphs import Floats, Network, Step, Values
from edgewright.export.explaining.matching import Shape, match
from edgewright.export.explaining.measures import Noise, Range, readout
from edgewright.runtime.errors import ModelFileError

DIVERGES = 20.0  # decibels of the scores: a step that alone takes them below has parted from its float model
_SILENT = 60.0  # decibels of a step itself: what is above is not worth a run
_HEAVIER = 0.25
MOST_VALUES = 2**29  # numbers that the steps of a file give for one picture


@dataclass(frozen=True, kw_only=True)
class StepReport:
    """A step of the file and what was measured of it, ratios in decibels; see the module and `measures`.

    `layer` is its first Keras layer, different in every step, `layers` are all that are known to be in it.
    `snr` and `cosine` are of its value in the whole file, `own_snr` of what it does to the float model's own
    values, `score_snr` of the scores when only that is wrong. `saturated` is the share of values cut off at
    the ends of its type, `clipped` the share of the float range that the type cannot say, `spread` the range
    of the largest channel over that of the median one. `blames` is the layer in front of it whose scale or
    zero point is at fault for what it does, empty if it is itself.
    """

    layer: str
    layers: tuple[str, ...]
    operator: str
    quantized: bool
    snr: float
    cosine: float
    own_snr: float
    score_snr: float
    saturated: float
    clipped: float
    spread: float
    blames: str = ""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A file run by `kernels` beside its float model. `score_snr` is that of the scores, `decided` the share
    of pictures that both decide alike, `unmatched` how many of its steps the float model does not have."""

    kernels: str
    steps: tuple[StepReport, ...]
    score_snr: float
    decided: float
    unmatched: int

    @property
    def diverges(self) -> str | None:
        """The first layer that alone costs the scores more than a tenth; None if none does."""
        first = next((step for step in self.steps if step.score_snr < DIVERGES), None)
        return (first.blames or first.layer) if first else None

    @property
    def loses_most(self) -> str | None:
        """The layer that alone costs the scores most; None where none costs anything to speak of. That the
        last step rounds the scores themselves is not said unless it diverges."""
        steps = [s for s in self.steps if s is not self.steps[-1] or s.score_snr < DIVERGES]
        worst = min(steps, key=lambda step: (step.score_snr, step.own_snr), default=None)
        return (worst.blames or worst.layer) if worst and worst.own_snr < _SILENT else None


def _same_size(step: Step, twin: Step) -> bool:
    """Whether the weights are as large as those of the float model: their own scale is right."""
    if step.weights is None or twin.weights is None:
        return True
    ours, theirs = (float(np.linalg.norm(w.astype(np.float64))) for w in (step.weights, twin.weights))
    return bool(theirs) and abs(ours / theirs - 1) < _HEAVIER


class Pairing:
    """The steps of a file that are those of its float model, found on one picture."""

    def __init__(self, file: Network, floats: Network, pixels: Values) -> None:
        ours, theirs = probe(file, pixels), probe(floats, pixels)
        pairs = match(
            [step for step, _ in ours],
            [shape for _, shape in ours],
            [step for step, _ in theirs],
            [shape for _, shape in theirs],
        )
        steps, twins = [ours[i][0] for i, _ in pairs], [theirs[j][0] for _, j in pairs]
        *got, _ = file.whole(steps, file.kernels[0])(pixels, {})
        *wanted, _ = floats.whole(twins, floats.kernels[0])(pixels, {})
        turns = [_turn(s.floats(a), b) for s, a, b in zip(steps, got, wanted, strict=True)]
        kept = [i for i, turn in enumerate(turns) if turn is not None]
        self.steps, self.twins = [steps[i] for i in kept], [twins[i] for i in kept]
        self.turns = [turn for turn in turns if turn is not None]
        self.unmatched = len(ours) - len(kept)

    def to_twin(self, place: int, values: Values) -> Values:
        """A value of the file's step with its axes as its twin has them."""
        return np.ascontiguousarray(values.transpose(self.turns[place]))

    def to_file(self, place: int, values: Values) -> Values:
        return np.ascontiguousarray(values.transpose(np.argsort(self.turns[place])))


_TO_LAST, _TO_FIRST = (0, 2, 3, 1), (0, 3, 1, 2)


def _turn(values: Floats, twin: Floats) -> tuple[int, ...] | None:
    """The order of axes in which `values` are those of its twin: the same, or channels moved to the other
    end, which two files of ONNX may differ in; None if they have other shapes. Of several, the likest."""
    orders = [tuple(range(values.ndim)), *([_TO_LAST, _TO_FIRST] if values.ndim == 4 else [])]
    fit = [order for order in orders if values.transpose(order).shape == twin.shape]
    if len(fit) < 2:
        return fit[0] if fit else None

    def likeness(order: tuple[int, ...]) -> float:
        noise = Noise()
        noise.add(twin, values.transpose(order))
        return noise.cosine

    return max(fit, key=likeness)


def probe(network: Network, pixels: Values) -> list[tuple[Step, Shape]]:
    """The steps that give floats, or numbers that stand for them, with their shapes."""
    found = network.whole(network.steps, network.kernels[0])(pixels, {})
    if sum(value.size for value in found) > MOST_VALUES:
        raise ModelFileError(
            f"expected at most {MOST_VALUES:,} values of a picture, got more; take a smaller size"
        )
    return [
        (step if step.grid else dataclasses.replace(step, dtype=value.dtype.name), value.shape)
        for step, value in zip(network.steps, found, strict=False)
        if (step.grid is not None or value.dtype.kind == "f") and value.size
    ]


@np.errstate(all="ignore")  # a broken file may give anything
def compare(
    file: Network,
    floats: Network,
    pairing: Pairing,
    images: Values,
    kernels: str,
    names: Sequence[str],
    known: Sequence[tuple[str, ...]],
    advance: Callable[[], None] = lambda: None,
) -> Comparison:
    """Measure a file run by `kernels` on `images`, uint8 `(n, height, width, channels)`.

    Args:
        names: what the steps of `pairing` are called, in their order, and the Keras layers `known` to be in
            each.
        advance: is called after each image.

    Raises:
        ModelFileError: the kernels cannot run the file.
    """
    steps, twins = pairing.steps, pairing.twins
    plain = floats.kernels[0]
    whole, cut = file.whole(steps, kernels), file.cut(steps, kernels)
    exact, exact_cut = floats.whole(twins, plain), floats.cut(twins, plain)
    disturbed = floats.disturbed(twins)
    ending = floats.steps[-1].kind if floats.steps else ""
    logits = len(steps) - 2 if ending in ("softmax", "sigmoid") else len(steps)
    axis = -1 if floats.channels_last else 1
    chain, own = [Noise() for _ in steps], [Noise() for _ in steps]
    cost = [Noise() for _ in steps]
    ranges = [Range() for _ in steps]
    scored, alike = Noise(), 0
    for image in images:
        pixels = image[np.newaxis]
        *wanted, scores = exact(pixels, {})
        *got, our_scores = whole(pixels, {})
        told, seen = readout(scores, ending, seen=False), readout(scores, ending, seen=True)
        ours = _scores(file, our_scores)
        scored.add(seen, readout(ours, ending, seen=True))
        alike += int(decision(scores, ending) == decision(ours, ending))
        said = {s.value: s.nearest(pairing.to_file(i, wanted[i])) for i, s in enumerate(steps)}
        given = {
            twin.value: pairing.to_twin(i, step.floats(said[step.value]))
            for i, (step, twin) in enumerate(zip(steps, twins, strict=True))
        }
        alone, should = cut(pixels, said), exact_cut(pixels, given)
        for i, step in enumerate(steps):
            chain[i].add(wanted[i], pairing.to_twin(i, step.floats(got[i])))
            result = pairing.to_twin(i, step.floats(alone[i]))
            own[i].add(should[i], result)
            last_axis = wanted[i].ndim < 3 or pairing.turns[i] == _TO_LAST
            ranges[i].add(wanted[i], -1 if last_axis else axis)
            ranges[i].add_said(should[i], step.grid)
            one = Noise()
            one.add(should[i], result)
            last = i >= logits
            damaged = scores
            if one.decibels < _SILENT:
                (damaged,) = disturbed(pixels, {twins[i].value: result - should[i]})
            cost[i].add(seen if last else told, readout(damaged, ending, seen=last))
        advance()
    places = {step.value: name for step, name in zip(steps, names, strict=True)}
    reports = [
        StepReport(
            layer=name,
            layers=known[i],
            operator=step.operator,
            quantized=step.grid is not None,
            snr=chain[i].decibels,
            cosine=chain[i].cosine,
            own_snr=own[i].decibels,
            score_snr=cost[i].decibels,
            saturated=ranges[i].saturated_share,
            clipped=ranges[i].clipped_share(step.grid),
            spread=ranges[i].channel_spread,
            blames=places.get(step.misread, "") if _same_size(step, twins[i]) else "",
        )
        for i, (step, name) in enumerate(zip(steps, names, strict=True))
    ]
    return Comparison(
        kernels=kernels,
        steps=tuple(reports),
        score_snr=scored.decibels,
        decided=alike / len(images),
        unmatched=pairing.unmatched,
    )


def _scores(file: Network, values: Values) -> Floats:
    """The scores as floats: the step that gives them knows their grid."""
    grid = file.scores_grid
    return grid.floats(values) if grid is not None else values.astype(np.float32)


def decision(scores: Values, ending: str) -> tuple[int, ...]:
    """What scores `(n, classes)` of a picture say: which labels of a sigmoid, else the class."""
    first = scores.reshape(len(scores), -1)[0]
    if ending == "sigmoid":
        return tuple(map(int, np.flatnonzero(first > 0.5)))
    return (int(first.argmax()) if first.size > 1 else int(first[0] > 0),)
