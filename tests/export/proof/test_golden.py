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


@pytest.mark.parametrize(
    ("repeats", "step", "near", "far"),
    [
        ("float", 0.0, 1e-5, 1e-5),
        ("step", 1 / 256, 1.01 / 256, 0.03),
        ("kernel", 0.0, 0.03, 0.03),
        ("kernel", 1 / 16, 2 / 16, 2 / 16),
    ],
)
def test_golden_tolerance_is_a_float_a_step_or_as_far_as_the_scheme_is_from_the_model(
    repeats: str, step: float, near: float, far: float
) -> None:
    tolerance = golden.tolerance(repeats, "xnnpack", step, max_abs_error=0.03)
    assert tolerance.kernels == "xnnpack"
    assert (tolerance.max_abs, tolerance.max_abs_elsewhere) == pytest.approx((near, far))
