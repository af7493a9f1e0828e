"""Pictures of all kinds with what `preprocess.py` makes of them, scores of all heads and what they mean."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edgewright.apps import projects
from edgewright.runtime.contract import FITS, RESAMPLES, InputContract
from edgewright.runtime.contract.heads import Head

_SIZES = ((28, 28), (32, 32), (96, 128), (224, 224), (7, 5))
COUNT = 200  # pictures
HEADS = {
    "softmax": 5,
    "logits": 5,
    "sigmoid": 4,
    "sigmoid-logits": 4,
    "binary": 1,
    "binary-logits": 1,
}


@dataclass(frozen=True)
class Pictures:
    contract: InputContract
    path: Path

    def line(self) -> str:
        given = self.contract
        return (
            f"pictures {given.width} {given.height} {given.channels} {given.fit} {given.resample} {self.path}"
        )


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Pictures]:
    """200 pictures of any size, orientation and transparency, each for three of 30 contracts."""
    return _all_pictures(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> list[Answers]:
    """Scores of 50 images of each head, and the labels that `Predictor.top` gives."""
    return list(_all_answers(tmp_path_factory.mktemp("answers")))


@pytest.fixture
def assert_alike() -> Callable[[list[str], list[Answers]], None]:
    """See that the lines a program printed of the answers say the same."""
    return _assert_alike


def _all_pictures(folder: Path) -> list[Pictures]:
    random = np.random.default_rng(20)
    kinds = itertools.product(FITS, RESAMPLES, (1, 3))
    contracts = [
        InputContract(height=h, width=w, channels=channels, fit=fit, resample=resample)
        for (fit, resample, channels), (h, w) in zip(kinds, itertools.cycle(_SIZES), strict=False)
    ]
    raw: list[list[bytes]] = [[] for _ in contracts]
    for number in range(COUNT):
        pixels = _any_pixels(random, number)
        for index in random.choice(len(contracts), 3, replace=False):
            raw[index].append(projects.picture(pixels, number % 8 + 1, contracts[index]))
    found = [Pictures(contract, folder / f"pictures-{n}.bin") for n, contract in enumerate(contracts)]
    for one, parts in zip(found, raw, strict=True):
        assert parts, one.contract
        one.path.write_bytes(b"".join(parts))
    return found


def _any_pixels(random: np.random.Generator, number: int) -> NDArray[np.uint8]:
    height, width = (int(side) for side in random.integers(1, 300, 2))
    if number == 7:
        height, width = 1_500, 2_001
    if number % 10 == 0:
        height, width = (224, 224) if number % 20 else (32, 32)
    pixels = random.integers(0, 256, (height, width, 4), np.uint8)
    if number % 3:  # smooth, as most are
        ramp = np.add.outer(np.arange(height), np.arange(width))[..., None] * np.array([1, 2, 3, 1])
        pixels = ((ramp * 255 // (3 * (height + width))) + pixels // 16).clip(0, 255).astype(np.uint8)
    if number % 4:
        pixels[..., 3] = 255
    return pixels


@dataclass(frozen=True)
class Answers:
    head: Head
    path: Path
    expected: list[dict[int, float]]  # of each image: number of a label to probability, in order

    def line(self) -> str:
        return f"answers {self.head.kind} {self.head.threshold} {self.head.count} {self.path}"


def _all_answers(folder: Path) -> Iterator[Answers]:
    random = np.random.default_rng(3)
    for name, count in HEADS.items():
        head = Head(kind=name.replace("binary", "sigmoid"), count=count, threshold=0.3)
        scores = random.normal(0, 4, (50, count)).astype(np.float32)
        if not name.endswith("logits"):
            scores = (1 / (1 + np.exp(-scores))).astype(np.float32)
        scores[-1] = scores[-1, 0]  # all are equal
        path = folder / f"scores-{name}.bin"
        path.write_bytes(scores.astype("<f4").tobytes())
        yield Answers(head, path, [_top(head, one) for one in scores])


def _top(head: Head, scores: NDArray[np.float32]) -> dict[int, float]:
    found = head.probabilities(scores[np.newaxis])[0]
    order = (-found).argsort(kind="stable").tolist()
    if head.is_multi_label:
        order = [i for i in order if head.decisions(scores[np.newaxis])[0][i]]
    elif head.is_binary:
        order = [1, 0] if head.decisions(scores[np.newaxis])[0] else [0, 1]
    return {i: float(found[i]) for i in order}


def _assert_alike(lines: list[str], answers: list[Answers]) -> None:
    expected = [labels for one in answers for labels in one.expected]
    got = [{int(k): float(v) for k, v in (word.split("=") for word in line.split())} for line in lines]
    assert [list(one) for one in got] == [list(one) for one in expected]
    for one, other in zip(got, expected, strict=True):
        for key, value in other.items():
            assert abs(one[key] - value) < 1e-6
