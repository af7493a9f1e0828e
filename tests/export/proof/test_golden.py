"""Golden images and tolerances: what a bundle carries to prove a device with."""

from __future__ import annotations

import numpy as np
import pytest

from edgewright.export.proof import golden
from edgewright.runtime.contract.heads import Head


def test_golden_pick_takes_images_the_reference_is_sure_of_and_all_classes_in_turn() -> None:
    labels = np.repeat(np.arange(4), 25)
    scores = np.full((100, 4), 0.2, np.float32)
    scores[np.arange(100), labels] = 0.4
    sure = np.arange(0, 100, 2)
    scores[sure, labels[sure]] = 0.9
    picked = golden.pick(Head(kind="softmax", count=scores.shape[1]), scores, labels)
    assert len(picked) == golden.IMAGES
    assert np.all(np.diff(picked) > 0)
    assert set(picked) <= set(sure)
    assert np.bincount(labels[picked]).tolist() == [4, 4, 4, 4]


def test_golden_pick_takes_the_surest_where_few_images_are_sure() -> None:
    margins = np.linspace(0, 0.2, 50)[::-1]
    scores = np.stack([0.5 + margins / 2, 0.5 - margins / 2], axis=1).astype(np.float32)
    assert golden.pick(
        Head(kind="softmax", count=scores.shape[1]), scores, np.zeros(50, np.int64)
    ).tolist() == list(range(golden.IMAGES))
    assert (
        len(golden.pick(Head(kind="softmax", count=scores.shape[1]), scores[:5], np.zeros(5, np.int64))) == 5
    )


def test_golden_pick_boundary_takes_the_images_the_reference_is_least_sure_of_and_no_others() -> None:
    margins = np.linspace(0.01, 0.5, 50)
    scores = np.stack([0.5 + margins / 2, 0.5 - margins / 2], axis=1).astype(np.float32)
    softmax, sigmoid = Head(kind="softmax", count=2), Head(kind="sigmoid", count=1)
    assert golden.pick_boundary(softmax, scores, np.array([1, 40])).tolist() == [0, *range(2, 9)]
    assert golden.pick_boundary(sigmoid, scores[:, :1], np.array([], np.intp)).tolist() == list(range(8))
    assert golden.pick_boundary(softmax, scores[:3], np.arange(3)).tolist() == []
    assert golden.pick_boundary(Head(kind="embedding", count=2), scores, np.arange(3)).tolist() == []


@pytest.mark.parametrize(
    ("step", "rounds", "error", "repeated", "spread", "near", "far"),
    [
        (0.0, False, 0.1, 0.0, 0.0, 1e-5, 1e-5),
        (0.0, False, 0.1, 2e-6, 3e-5, 1.2e-5, 6e-5),
        (0.0, False, 0.1, 0.0, None, 1e-5, 0.2),
        (1 / 256, True, 0.0, 0.0, 0.0, 0.5 / 256, 2 / 256),
        (1 / 256, True, 6 / 256, 0.0, 1 / 256, 0.5 / 256, 12 / 256),
        (1 / 256, True, 3 / 256, 1 / 256, 5 / 256, 1.5 / 256, 10 / 256),
        (1 / 256, True, 6 / 256, 0.0, None, 0.5 / 256, 12 / 256),
        (0.0, True, 0.01, 0.0, 0.02, 1e-5, 0.04),
        (0.0, True, 0.0, 0.0, 0.001, 1e-5, 0.8 / 128),
    ],
)
def test_golden_tolerance_is_what_two_threads_and_plain_kernels_gave_here_and_a_margin(
    step: float, rounds: bool, error: float, repeated: float, spread: float | None, near: float, far: float
) -> None:
    given = np.array([[0.8, 0.2], [0.5, 0.5]], np.float64)
    found = golden.tolerance(
        "xnnpack",
        "here",
        step=step,
        rounds=rounds,
        reference=given + np.array([0, error]),
        given=given,
        again=given + np.array([0, repeated]),
        plain=None if spread is None else given - np.array([[0, 0], [spread, 0]]),
    )
    assert (found.kernels, found.machine) == ("xnnpack", "here")
    assert (found.max_abs, found.max_abs_elsewhere) == pytest.approx((near, far))
