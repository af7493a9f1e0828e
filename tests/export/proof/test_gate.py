"""The gate: its interval is Tango's, and its verdicts say what was proven and what was not."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from edgewright.export.proof import figures
from edgewright.export.proof.gate import images_to_settle, judge
from edgewright.export.proof.interval import Losses, score_interval
from edgewright.export.proof.limits import Limits
from edgewright.runtime.bundle.parity import ParityReport
from edgewright.runtime.contract.heads import Head

SOFTMAX = Head(kind="softmax", count=2)


def compare(lost: int, won: int, samples: int, max_drop: float) -> ParityReport:
    """Judge one-hot scores: only the variant is wrong on `lost` images, only the reference on `won`."""
    labels = np.zeros(samples, np.int64)
    reference, scores = np.zeros((2, samples, 2), np.float32)
    reference[:, 0] = scores[:, 0] = 1
    scores[:lost] = reference[lost : lost + won] = (0, 1)
    return judge(SOFTMAX, reference, scores, labels, Limits(max_drop=max_drop))


def losses(lost: int, won: int, samples: int) -> Losses:
    return Losses.of(np.repeat([1, -1, 0], [lost, won, samples - lost - won]))


@pytest.mark.parametrize(
    ("lost", "won", "samples", "max_drop", "verdict"),
    [
        (0, 0, 2000, 0.01, "passed"),
        (5, 5, 2000, 0.01, "passed"),
        (0, 300, 2000, 0.01, "passed"),
        (300, 0, 2000, 0.01, "refused"),
        (15, 0, 2000, 0.01, "not proven"),
        (0, 0, 5, 0.01, "not proven"),
        (0, 0, 2000, 0.0, "not proven"),
        (1, 0, 2000, 0.0, "not proven"),
        (60, 0, 2000, 0.0, "refused"),
        (0, 0, 381, 0.01, "passed"),
        (0, 0, 380, 0.01, "not proven"),
    ],
)
def test_gate_verdict_holds_the_interval_against_max_drop(
    lost: int, won: int, samples: int, max_drop: float, verdict: str
) -> None:
    found = compare(lost, won, samples, max_drop)
    assert found.verdict == verdict
    assert found.drop == pytest.approx((lost - won) / samples)
    assert (found.drop_low, found.drop_high) == score_interval(lost, won, samples)
    assert (found.reason == "") == (verdict == "passed")


def test_gate_refusal_says_by_how_much_and_over_how_many_images() -> None:
    reason = compare(300, 0, 2000, 0.01).reason
    assert "accuracy drop +0.1500" in reason
    assert "over 2,000 images, limit 0.01" in reason
    assert "would settle" not in reason


def test_gate_not_proven_says_how_many_images_would_settle_it() -> None:
    assert "; about 390 test images would settle it" in compare(0, 0, 5, 0.01).reason
    assert "; no number of test images would settle it" in compare(0, 0, 2000, 0.0).reason


@pytest.mark.parametrize(
    ("lost", "won", "samples", "max_drop"),
    [
        (0, 0, 5, 0.01),
        (15, 0, 2000, 0.01),
        (12, 8, 500, 0.01),
        (3, 1, 60, 0.05),
        (1, 4, 100, 0.01),
    ],
)
def test_images_to_settle_do_settle_it_and_clearly_fewer_do_not(
    lost: int, won: int, samples: int, max_drop: float
) -> None:
    def settled(count: float) -> bool:
        return score_interval(lost / samples * count, won / samples * count, count)[1] <= max_drop

    needed = images_to_settle(losses(lost, won, samples), max_drop)
    assert needed is not None
    assert needed > samples
    assert settled(needed)
    assert not settled(0.85 * needed)


@pytest.mark.parametrize(
    ("lost", "samples", "max_drop"),
    [(20, 2000, 0.01), (0, 2000, 0.0), (1, 100, 0.01), (30, 2000, 0.01), (1, 2000, 0.0)],
)
def test_images_to_settle_a_drop_at_the_limit_or_beyond_are_none(
    lost: int, samples: int, max_drop: float
) -> None:
    assert images_to_settle(losses(lost, 0, samples), max_drop) is None


def test_gate_not_proven_promises_nothing_of_a_drop_beyond_the_limit() -> None:
    reason = compare(27, 5, 2000, 0.01).reason
    assert "it is beyond the limit" in reason
    assert "would settle" not in reason


def scores_of(*rows: list[float]) -> NDArray[np.float32]:
    return np.array(rows, np.float32)


def test_agreement_counts_a_tie_that_holds_the_references_class() -> None:
    reference = scores_of([0.2, 0.5, 0.3], *[[0.6, 0.3, 0.1]] * 17, [0.1, 0.2, 0.7], [0.4, 0.3, 0.3])
    scores = scores_of([0.4, 0.4, 0.2], *[[0.5, 0.4, 0.1]] * 17, [0.5, 0.5, 0.0], [0.3, 0.4, 0.3])
    truth = np.array([1, *[0] * 17, 2, 0])
    found = judge(Head(kind="softmax", count=3), reference, scores, truth, Limits(max_drop=0.5))
    assert found.agreement == 17 / 20
    assert found.tie_agreement == 18 / 20
    assert found.max_abs_error == pytest.approx(0.7)
    assert found.accuracy == 17 / 20
    assert found.drop == pytest.approx(3 / 20)


@pytest.mark.parametrize(
    ("head", "constant"),
    [
        (Head(kind="softmax", count=3), [1 / 3, 1 / 3, 1 / 3]),
        (Head(kind="softmax", count=3), [0.5, 0.5, 0.0]),
        (Head(kind="softmax", count=2), [0.5, 0.5]),
        (Head(kind="sigmoid", count=1), [0.5]),
        (Head(kind="sigmoid", count=3), [0.5, 0.5, 0.5]),
    ],
)
def test_a_constant_output_that_ties_all_classes_agrees_by_chance_only(
    head: Head, constant: list[float]
) -> None:
    reference = np.random.default_rng(0).random((300, head.count), np.float32)
    scores = np.full_like(reference, constant)
    by_chance = float((head.decisions(reference) == head.decisions(scores)).reshape(300, -1).all(1).mean())
    assert by_chance < 0.6
    found = figures.agreement(head, head.decisions(reference), head.decisions(scores), scores)
    assert found == (by_chance, by_chance)


def test_agreement_calls_one_step_of_8_bits_no_tie() -> None:
    step = 1 / 256
    reference = scores_of([0.6, 0.4, 0.0], [0.4, 0.6, 0.0])
    scores = scores_of([0.5, 0.5 + step, 0.0], [0.5, 0.5, 0.0])
    found = judge(Head(kind="softmax", count=3), reference, scores, np.array([0, 1]), Limits(max_drop=0.5))
    assert (found.agreement, found.tie_agreement) == (0.0, 0.5)


def test_one_sigmoid_score_is_judged_by_its_decision_and_not_by_argmax() -> None:
    binary = Head(kind="sigmoid", count=1)
    truth = np.array([0, 1, 1, 0])
    reference = scores_of([0.1], [0.9], [0.8], [0.2])
    turned = scores_of([0.1], [0.9], [0.2], [0.2])
    found = judge(binary, reference, turned, truth, Limits(max_drop=0.5))
    assert (found.accuracy, found.drop, found.agreement) == (0.75, 0.25, 0.75)
    at_threshold = judge(
        binary, reference, scores_of([0.1], [0.5], [0.8], [0.2]), truth, Limits(max_drop=0.5)
    )
    assert (at_threshold.agreement, at_threshold.tie_agreement) == (0.75, 1.0)
    strict = Head(kind="sigmoid", count=1, threshold=0.85)
    assert judge(strict, reference, reference, truth, Limits(max_drop=0.5)).accuracy == 0.75
    logits = Head(kind="sigmoid-logits", count=1)
    assert (
        judge(
            logits,
            scores_of([-2], [2], [0.1], [-0.1]),
            scores_of([-2], [2], [-0.1], [-0.1]),
            truth,
            Limits(max_drop=0.5),
        ).drop
        == 0.25
    )


def test_several_labels_are_judged_by_their_share_with_the_image_as_the_unit() -> None:
    head = Head(kind="sigmoid", count=4)
    truth = np.array([[1, 0, 0, 1], [0, 1, 0, 0], [1, 1, 1, 1]], bool)
    reference = np.where(truth, 0.9, 0.1).astype(np.float32)
    scores = reference.copy()
    scores[0, :2] = (0.1, 0.9)
    found = judge(head, reference, scores, truth, Limits(max_drop=0.5), "label-accuracy")
    assert found.samples == 3
    assert found.drop == pytest.approx(2 / 4 / 3)
    assert found.accuracy == pytest.approx(1 - found.drop)
    assert found.agreement == pytest.approx(2 / 3)
    assert found.beside["macro_f1"] == pytest.approx((2 / 3 + 4 / 5 + 1 + 1) / 4)
    own = figures.own_figures(head, reference, truth)
    assert {**own, "brier": round(own["brier"], 4)} == {
        "accuracy": 1.0,
        "macro_f1": 1.0,
        "auc": 1.0,
        "brier": 0.01,
    }


def test_without_truth_the_drop_is_the_share_of_disagreement() -> None:
    reference = np.tile(scores_of([0.9, 0.1], [0.2, 0.8]), (250, 1))
    scores = reference.copy()
    scores[:4] = scores[:4, ::-1]
    found = judge(SOFTMAX, reference, scores, None, Limits(max_drop=0.03), "agreement")
    assert (found.drop, found.accuracy, found.agreement) == (0.008, 0.992, 0.992)
    assert 0 <= found.drop_low < 0.008 < found.drop_high < 0.03
    assert found.verdict == "passed"
    worse = judge(SOFTMAX, reference, scores, None, Limits(max_drop=0.01), "agreement")
    assert worse.reason.startswith("share of disagreement +0.0080")


def test_embeddings_are_judged_by_their_cosine_and_nearest_neighbour() -> None:
    head = Head(kind="embedding", count=8)
    random = np.random.default_rng(0)
    reference = random.normal(size=(400, 8)).astype(np.float32)
    found = judge(head, reference, 3 * reference, None, Limits(max_drop=0.01), "cosine")
    assert found.accuracy == pytest.approx(1)
    assert (found.verdict, found.agreement) == ("passed", 1.0)
    other = judge(
        head,
        reference,
        random.normal(size=(400, 8)).astype(np.float32),
        None,
        Limits(max_drop=0.01),
        "cosine",
    )
    assert other.verdict == "refused"
    assert other.agreement < 0.1
