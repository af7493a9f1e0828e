"""The gate: its interval is Tango's, and its verdicts say what was proven and what was not."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import brentq, minimize_scalar
from scipy.stats import multinomial

from edgewright.export.proof import gate
from edgewright.export.proof.gate import Losses, images_to_settle, judge, mean_interval, score_interval
from edgewright.runtime.bundle.manifest import ParityReport
from edgewright.runtime.contract.heads import Head

Z2 = 1.959963984540054**2
SOFTMAX = Head(kind="softmax", count=2)


def interval_by_likelihood(lost: int, won: int, samples: int) -> tuple[float, float]:
    """The same interval the long way: the trinomial likelihood is maximised under each true drop."""
    same = samples - lost - won

    def statistic(delta: float) -> float:
        def unlikelihood(p_won: float) -> float:
            terms = ((lost, p_won + delta), (won, p_won), (same, 1 - 2 * p_won - delta))
            return -sum(count * math.log(max(p, 1e-300)) for count, p in terms if count)

        ends = (max(0.0, -delta), (1 - delta) / 2)
        p_won = minimize_scalar(unlikelihood, bounds=ends, method="bounded", options={"xatol": 1e-12}).x
        variance = samples * (2 * p_won + delta - delta**2)
        return float((lost - won - samples * delta) / math.sqrt(variance))

    drop, edge = (lost - won) / samples, 1 - 1e-9
    low = brentq(lambda delta: statistic(delta) - math.sqrt(Z2), -edge, drop - 1e-9)
    high = brentq(lambda delta: statistic(delta) + math.sqrt(Z2), drop + 1e-9, edge)
    return float(low), float(high)


@pytest.mark.parametrize(
    ("lost", "won", "samples"),
    [(1, 7, 21), (12, 3, 100), (40, 0, 2000), (0, 5, 60), (25, 25, 2000), (1, 0, 5), (9, 9, 20)],
)
def test_score_interval_is_the_one_of_constrained_maximum_likelihood(
    lost: int, won: int, samples: int
) -> None:
    expected = interval_by_likelihood(lost, won, samples)
    assert score_interval(lost, won, samples) == pytest.approx(expected, abs=2e-6)


def test_score_interval_of_the_published_example_comes_out_as_published() -> None:
    """Fagerland, Lydersen and Laake 2014, airway hyper-responsiveness before and after: (1, 1, 7, 12)."""
    low, high = score_interval(lost=1, won=7, samples=21)
    assert (round(low, 3), round(high, 3)) == (-0.517, -0.026)


@pytest.mark.parametrize("samples", [1, 5, 380, 2000, 10**6])
def test_score_interval_without_a_discordant_pair_ends_at_z_squared_over_n_plus_z_squared(
    samples: int,
) -> None:
    end = Z2 / (samples + Z2)
    assert score_interval(0, 0, samples) == pytest.approx((-end, end), rel=1e-9)


def test_score_interval_of_losing_and_winning_mirror_each_other() -> None:
    for lost, won in ((0, 3), (2, 9), (50, 49), (0, 60)):
        low, high = score_interval(lost, won, 60 + lost + won)
        assert score_interval(won, lost, 60 + lost + won) == pytest.approx((-high, -low), abs=1e-12)


@pytest.mark.parametrize(("lost", "won"), [(4, 0), (0, 4), (2, 2), (0, 0)])
def test_score_interval_stays_within_one_and_around_the_drop(lost: int, won: int) -> None:
    low, high = score_interval(lost, won, 4)
    assert -1 <= low <= (lost - won) / 4 <= high <= 1


def test_score_interval_is_narrower_with_more_images_of_the_same_kind() -> None:
    ends = [score_interval(2 * k, k, 100 * k) for k in (1, 3, 10, 100)]
    widths = [high - low for low, high in ends]
    assert widths == sorted(widths, reverse=True)


def test_score_interval_covers_the_true_drop_as_often_as_it_says() -> None:
    """Exact: the chance of every possible outcome of 80 images is summed where the interval holds."""
    samples = 80
    outcomes = [(a, b) for a, b in product(range(samples + 1), repeat=2) if a + b <= samples and a + b <= 45]
    ends = np.array([score_interval(a, b, samples) for a, b in outcomes])
    counts = np.array([(a, b, samples - a - b) for a, b in outcomes])
    covered = []
    for p_lost, p_won in ((0.03, 0.01), (0.05, 0.05), (0.1, 0.02), (0.15, 0.1), (0.02, 0.2)):
        chance = multinomial(samples, (p_lost, p_won, 1 - p_lost - p_won)).pmf(counts)
        assert chance.sum() > 0.9999
        holds = (ends[:, 0] <= p_lost - p_won) & (p_lost - p_won <= ends[:, 1])
        covered.append(float(chance[holds].sum()))
    assert min(covered) > 0.93
    assert 0.94 < np.mean(covered) < 0.97


def test_score_interval_covers_simulated_experiments_95_times_in_100() -> None:
    p_lost, p_won, samples = 0.012, 0.007, 2000
    draws = np.random.default_rng(5).multinomial(samples, (p_lost, p_won, 1 - p_lost - p_won), 4000)
    ends = {(a, b): score_interval(a, b, samples) for a, b in {(int(a), int(b)) for a, b, _ in draws}}
    hits = [low <= p_lost - p_won <= high for low, high in (ends[int(a), int(b)] for a, b, _ in draws)]
    assert 0.94 < np.mean(hits) < 0.96


def compare(lost: int, won: int, samples: int, max_drop: float) -> ParityReport:
    """Judge one-hot scores: only the variant is wrong on `lost` images, only the reference on `won`."""
    labels = np.zeros(samples, np.int64)
    reference, scores = np.zeros((2, samples, 2), np.float32)
    reference[:, 0] = scores[:, 0] = 1
    scores[:lost] = reference[lost : lost + won] = (0, 1)
    return judge(SOFTMAX, reference, scores, labels, max_drop)


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
    reference = scores_of([0.2, 0.5, 0.3], [0.6, 0.3, 0.1], [0.1, 0.2, 0.7], [0.4, 0.3, 0.3])
    scores = scores_of([0.4, 0.4, 0.2], [0.5, 0.4, 0.1], [0.5, 0.5, 0.0], [0.3, 0.4, 0.3])
    found = judge(Head(kind="softmax", count=3), reference, scores, np.array([1, 0, 2, 0]), 0.5)
    assert found.agreement == 0.25
    assert found.tie_agreement == 0.5
    assert found.max_abs_error == pytest.approx(0.7)
    assert found.accuracy == 0.25
    assert found.drop == 0.75


@pytest.mark.parametrize(
    ("lost", "won", "samples"), [(0, 0, 400), (3, 1, 400), (20, 5, 2000), (0, 4, 50), (7, 0, 100)]
)
def test_mean_interval_of_right_and_wrong_is_the_score_interval(lost: int, won: int, samples: int) -> None:
    found = losses(lost, won, samples)
    expected = score_interval(lost, won, samples)
    assert mean_interval(found.values, found.counts) == pytest.approx(expected, abs=1e-9)


def test_mean_interval_mirrors_and_narrows_with_more_images() -> None:
    each = np.random.default_rng(0).choice([0.2, 0.05, 0, -0.05], 300, p=[0.02, 0.1, 0.8, 0.08])
    found = Losses.of(each)
    low, high = found.interval()
    assert low < found.mean < high
    assert Losses.of(-each).interval() == pytest.approx((-high, -low), abs=1e-9)
    wider = found.interval(30)
    assert wider[0] < low < high < wider[1]


def test_a_drop_at_the_limit_passes_rarely_however_labels_of_an_image_hang_together() -> None:
    """A file whose mean label accuracy drops by just 1 point, 3 of 5 or all 20 labels of an image at once."""
    random = np.random.default_rng(3)
    for size, flips in ((3 / 5, 0.1), (1.0, 0.5)):
        lost = (1 + 0.01 / (flips * size)) / 2  # of what changes; the rest is won
        draws = random.multinomial(400, [flips * lost, flips * (1 - lost), 1 - flips], 2000)
        values = np.array([size, -size, 0.0])
        passed = 0
        for counts in draws.astype(float):
            seen = counts > 0
            below = float(values @ counts) / 400 < 0.01
            passed += below and gate._errors_below(0.01, values[seen], counts[seen]) > gate.Z
        assert passed / len(draws) <= 0.035


def test_one_sigmoid_score_is_judged_by_its_decision_and_not_by_argmax() -> None:
    binary = Head(kind="sigmoid", count=1)
    truth = np.array([0, 1, 1, 0])
    reference = scores_of([0.1], [0.9], [0.8], [0.2])
    turned = scores_of([0.1], [0.9], [0.2], [0.2])
    found = judge(binary, reference, turned, truth, 0.5)
    assert (found.accuracy, found.drop, found.agreement) == (0.75, 0.25, 0.75)
    at_threshold = judge(binary, reference, scores_of([0.1], [0.5], [0.8], [0.2]), truth, 0.5)
    assert (at_threshold.agreement, at_threshold.tie_agreement) == (0.75, 1.0)
    strict = Head(kind="sigmoid", count=1, threshold=0.85)
    assert judge(strict, reference, reference, truth, 0.5).accuracy == 0.75
    logits = Head(kind="sigmoid-logits", count=1)
    assert (
        judge(
            logits, scores_of([-2], [2], [0.1], [-0.1]), scores_of([-2], [2], [-0.1], [-0.1]), truth, 0.5
        ).drop
        == 0.25
    )


def test_several_labels_are_judged_by_their_share_with_the_image_as_the_unit() -> None:
    head = Head(kind="sigmoid", count=4)
    truth = np.array([[1, 0, 0, 1], [0, 1, 0, 0], [1, 1, 1, 1]], bool)
    reference = np.where(truth, 0.9, 0.1).astype(np.float32)
    scores = reference.copy()
    scores[0, :2] = (0.1, 0.9)
    found = judge(head, reference, scores, truth, 0.5, "label-accuracy")
    assert found.samples == 3
    assert found.drop == pytest.approx(2 / 4 / 3)
    assert found.accuracy == pytest.approx(1 - found.drop)
    assert found.agreement == pytest.approx(2 / 3)
    assert found.beside["macro_f1"] == pytest.approx((2 / 3 + 4 / 5 + 1 + 1) / 4)
    assert gate.own_figures(head, reference, truth) == {"accuracy": 1.0, "macro_f1": 1.0, "auc": 1.0}


def test_macro_f1_and_auc_are_those_of_scikit_learn() -> None:
    from sklearn.metrics import f1_score, roc_auc_score

    random = np.random.default_rng(0)
    truth = random.random((200, 5)) < 0.3
    scores = np.round(random.random((200, 5)) * 0.6 + truth * 0.3, 1).astype(np.float32)
    found = gate.figures_beside(Head(kind="sigmoid", count=5), scores, truth)
    assert found["macro_f1"] == pytest.approx(f1_score(truth, scores > 0.5, average="macro"))
    assert found["auc"] == pytest.approx(roc_auc_score(truth, scores, average="macro"))
    one = gate.figures_beside(Head(kind="sigmoid", count=1), scores[:, :1], truth[:, 0].astype(int))
    assert one["auc"] == pytest.approx(roc_auc_score(truth[:, 0], scores[:, 0]))


def test_without_truth_the_drop_is_the_share_of_disagreement() -> None:
    reference = np.tile(scores_of([0.9, 0.1], [0.2, 0.8]), (250, 1))
    scores = reference.copy()
    scores[:4] = scores[:4, ::-1]
    found = judge(SOFTMAX, reference, scores, None, 0.03, "agreement")
    assert (found.drop, found.accuracy, found.agreement) == (0.008, 0.992, 0.992)
    assert 0 <= found.drop_low < 0.008 < found.drop_high < 0.03
    assert found.verdict == "passed"
    worse = judge(SOFTMAX, reference, scores, None, 0.01, "agreement")
    assert worse.reason.startswith("share of disagreement +0.0080")


def test_embeddings_are_judged_by_their_cosine_and_nearest_neighbour() -> None:
    head = Head(kind="embedding", count=8)
    random = np.random.default_rng(0)
    reference = random.normal(size=(400, 8)).astype(np.float32)
    found = judge(head, reference, 3 * reference, None, 0.01, "cosine")
    assert found.accuracy == pytest.approx(1)
    assert (found.verdict, found.agreement) == ("passed", 1.0)
    other = judge(head, reference, random.normal(size=(400, 8)).astype(np.float32), None, 0.01, "cosine")
    assert other.verdict == "refused"
    assert other.agreement < 0.1
