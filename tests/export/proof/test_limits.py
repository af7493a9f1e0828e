"""The limits beside the drop: a class that is lost, the agreement, the Brier score."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from edgewright.export.proof.gate import judge
from edgewright.export.proof.interval import score_interval, z_of
from edgewright.export.proof.limits import ClassDrops, Limits, above, judge_agreement, judge_calibration
from edgewright.runtime.bundle.parity import ParityReport
from edgewright.runtime.contract.heads import Head


@dataclass
class Planted:
    """One-hot scores of a model that is always right, and of a file that has lost some images of classes."""

    sizes: list[int]
    lost: dict[int, int]

    def judge(self, limits: Limits, labels: tuple[str, ...] = ()) -> ParityReport:
        head = Head(kind="softmax", count=len(self.sizes))
        truth = np.repeat(np.arange(len(self.sizes)), self.sizes)
        reference = np.eye(len(self.sizes), dtype=np.float32)[truth]
        given = truth.copy()
        for of, count in self.lost.items():
            given[np.flatnonzero(truth == of)[:count]] = (of + 1) % len(self.sizes)
        scores = np.eye(len(self.sizes), dtype=np.float32)[given]
        return judge(head, reference, scores, truth, limits, labels=labels)


def test_a_rare_class_that_is_wholly_lost_is_refused_though_the_drop_passes() -> None:
    found = Planted(sizes=[1990] * 5 + [50], lost={5: 50}).judge(Limits(), tuple("abcdef"))
    assert found.drop == pytest.approx(0.005)
    assert found.drop_high <= 0.01  # by itself that would pass
    assert found.verdict == "refused"
    assert "class 'f' drops by +1.0000" in found.reason
    assert "50 images; limit of a class 0.05" in found.reason
    assert "would pass now" not in found.reason
    assert (found.worst_class, found.worst_class_drop) == ("f", 1.0)
    assert (found.class_images[5], found.class_lost[5], found.class_won[5]) == (50, 50, 0)


def test_a_class_of_fifty_images_that_loses_thirty_points_is_refused() -> None:
    found = Planted(sizes=[1990] * 5 + [50], lost={5: 15}).judge(Limits())
    assert found.drop_high < 0.01
    assert found.verdict == "refused"


def test_classes_that_lose_little_are_not_refused_and_a_limit_that_is_asked_for_wants_their_proof() -> None:
    planted = Planted(sizes=[1000] * 10, lost={3: 12, 4: 2})
    assert planted.judge(Limits()).verdict == "passed"
    assert planted.judge(Limits(max_class_drop=0.03)).verdict == "passed"
    unproven = planted.judge(Limits(max_class_drop=0.02))
    assert unproven.verdict == "not proven"
    assert "class '3' drops by +0.0120, 95 % interval +0.0069 to +0.0209" in unproven.reason
    assert unproven.reason.endswith("it would pass now with --max-class-drop 0.0209")
    assert planted.judge(Limits(max_class_drop=0.0209)).verdict == "passed"
    assert planted.judge(Limits(max_class_drop=0.003)).verdict == "refused"


def test_one_class_of_ten_has_to_be_lost_more_surely_than_one_of_one() -> None:
    """Nine points of 200 images: by itself surely beyond 5 points, not by the interval of one of ten."""
    assert score_interval(18, 0, 200)[0] > 0.05 > score_interval(18, 0, 200, z_of(0.0025))[0]
    assert Planted(sizes=[200] * 10, lost={3: 18}).judge(Limits(max_drop=0.02)).verdict == "passed"
    assert Planted(sizes=[200] * 10, lost={3: 19}).judge(Limits(max_drop=0.02)).verdict == "refused"


def test_classes_with_too_few_images_are_named_and_none_at_all_prove_no_limit() -> None:
    planted = Planted(sizes=[500, 500, 2, 0], lost={})
    found = planted.judge(Limits(), ("a", "b", "c", "d"))
    assert found.verdict == "passed"
    assert found.not_judged == ("c", "d")
    asked = planted.judge(Limits(max_class_drop=0.9), ("a", "b", "c", "d"))
    assert (asked.verdict, asked.reason) == ("not proven", "no test image of class 'd'")


def test_of_many_lost_classes_three_are_told_the_worst_first() -> None:
    found = Planted(sizes=[100] * 20, lost={i: 50 + i for i in range(5)}).judge(Limits(max_drop=0.02))
    assert "; class '4' drops by +0.5400" in found.reason
    assert "2 more classes; limit of a class 0.05" in found.reason


def test_where_much_may_be_lost_of_all_images_twice_that_may_be_of_a_class() -> None:
    planted = Planted(sizes=[1000] * 10, lost={3: 450})
    assert planted.judge(Limits(max_drop=0.2)).verdict == "refused"
    assert planted.judge(Limits(max_drop=0.25)).verdict == "passed"
    assert planted.judge(Limits(max_drop=0.25, max_class_drop=0.4)).verdict == "refused"


def test_a_good_file_is_refused_for_a_class_in_fewer_than_one_of_forty_draws_at_the_limit() -> None:
    """A class that truly loses 5 points, beside nine that lose none, in 4,000 draws of 200 images."""
    random = np.random.default_rng(0)
    lost = random.binomial(200, 0.06, 4000), random.binomial(200, 0.01, 4000)
    refused = 0
    cache: dict[tuple[int, int], bool] = {}
    for one, other in zip(*(counts.tolist() for counts in lost), strict=True):
        if (one, other) not in cache:
            drops = ClassDrops(
                images=np.full(10, 200),
                right=np.full(10, 180),
                lost=np.array([one] + [0] * 9),
                won=np.array([other] + [0] * 9),
            )
            cache[one, other] = drops.judge(tuple("abcdefghij"), Limits()).outcome.verdict == "refused"
        refused += cache[one, other]
    assert refused / 4000 <= 0.025


def test_of_several_labels_a_class_are_the_images_that_have_it() -> None:
    """All of a label that one image in two hundred has is lost: half a point of that label's accuracy."""
    head, random = Head(kind="sigmoid", count=3), np.random.default_rng(0)
    truth = random.random((4000, 3)) < (0.5, 0.3, 0.005)
    reference = np.where(truth, 0.9, 0.1).astype(np.float32)
    scores = reference.copy()
    scores[:, 2] = 0.1
    found = judge(head, reference, scores, truth, Limits(), "label-accuracy", ("a", "b", "rare"))
    assert found.drop_high < 0.01
    assert found.verdict == "refused"
    assert "class 'rare' drops by +1.0000" in found.reason
    assert found.class_images == tuple(truth.sum(axis=0).tolist())


def test_agreement_is_held_by_the_lower_end_of_wilsons_interval() -> None:
    from scipy.stats import binomtest

    passed, ends = judge_agreement(0.99, 1000, 0.98)
    wilson = binomtest(990, 1000).proportion_ci(0.95, method="wilson")
    assert passed.verdict == "passed"
    assert ends[0] == pytest.approx(wilson.low, abs=1e-9)
    unproven, _ = judge_agreement(0.985, 1000, 0.98)
    assert unproven.verdict == "not proven"
    assert unproven.remedy.startswith("--min-agreement 0.97")
    assert judge_agreement(0.985, 1000, float(unproven.remedy.split()[1]))[0].verdict == "passed"
    assert judge_agreement(0.9, 1000, 0.98)[0].verdict == "refused"


def sure(share: float, right: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Scores of two classes, the first of which is true: so sure of it, or of the other."""
    first = np.where(right, share, 1 - share)
    return np.stack([first, 1 - first], axis=1).astype(np.float32)


def test_calibration_is_held_by_the_paired_brier_score() -> None:
    head, random = Head(kind="softmax", count=2), np.random.default_rng(0)
    right, truth = random.random(2000) < 0.8, np.zeros(2000, np.intp)
    before, after = sure(0.8, right), sure(0.99, right)  # the same decisions, too sure of them
    expected = ((1 - after[:, 0].astype(float)) ** 2 - (1 - before[:, 0].astype(float)) ** 2).mean()
    found = judge_calibration(head, before, after, truth, None)
    assert found.outcome.verdict == "passed"
    assert found.drop == pytest.approx(expected, abs=1e-4)
    assert found.low < found.drop < found.high
    for limit, verdict in ((0.1, "passed"), (round(found.drop, 3), "not proven"), (0.01, "refused")):
        assert judge_calibration(head, before, after, truth, limit).outcome.verdict == verdict
    report = judge(head, before, after, truth, Limits(max_calibration_drop=0.01))
    assert report.verdict == "refused"
    assert "Brier score +0.0" in report.reason
    assert report.beside["ece"] == pytest.approx(0.99 - right.mean(), abs=1e-3)


def test_without_labels_neither_classes_nor_calibration_are_judged() -> None:
    scores = np.tile(np.array([[0.9, 0.1], [0.2, 0.8]], np.float32), (500, 1))
    found = judge(Head(kind="softmax", count=2), scores, scores, None, Limits(), "agreement")
    assert found.class_images == ()
    assert found.calibration_drop is None
    assert (found.agreement, found.verdict) == (1.0, "passed")


def test_above_is_never_below_the_end() -> None:
    for end in (0.01230001, 0.5, 0.00001, 0.03456789):
        assert end <= float(above(end)) < end + 1.1e-4
