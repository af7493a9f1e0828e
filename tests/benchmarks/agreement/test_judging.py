"""The verdict on an engine: right, differs or wrong, with an engine that does as it is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, Self

import numpy as np
import pytest
from numpy.typing import NDArray

from edgewright.benchmarks.agreement import EngineError, judging, locating
from edgewright.runtime.contract import TensorSpec
from edgewright.runtime.contract.heads import Head

SOFTMAX = Head(kind="softmax", count=4)
Array = NDArray[Any]


def rows(*scores: Sequence[float]) -> list[Array]:
    return [np.array([row], np.float32) for row in scores]


SURE = rows(*[[0.9, 0.1, 0, 0]] * 200)


@pytest.mark.parametrize(
    ("off", "rounded", "verdict"),
    [
        *((0, False, "right"), (9e-4, False, "right"), (0.002, False, "differs"), (0.3, False, "wrong")),
        *((0.05, True, "right"), (0.07, True, "differs"), (0.2, True, "differs"), (0.3, True, "wrong")),
    ],
)
def test_verdict_by_the_largest_difference(off: float, rounded: bool, verdict: str) -> None:
    theirs = [row.copy() for row in SURE]
    theirs[7][0, 0] -= off
    check = judging.compare(theirs, SURE, SOFTMAX, rounded=rounded)
    assert (check.verdict, check.images, check.agreement) == (verdict, 200, 1.0)
    assert check.max_abs_error == pytest.approx(off, abs=1e-6)


def test_labels_that_turn_are_wrong_but_not_those_near_a_tie() -> None:
    near = rows(*[[0.50, 0.49, 0.01, 0]] * 200)
    theirs = [row.copy() for row in near]
    for row in theirs[:20]:
        row[0, :2] = 0.49, 0.50
    check = judging.compare(theirs, near, SOFTMAX, rounded=True)
    assert (check.verdict, check.agreement) == ("right", 0.9)
    for row in theirs[:5]:
        row[0, :2] = 0.38, 0.61
    assert judging.compare(theirs, near, SOFTMAX, rounded=True).verdict == "wrong"


def test_ties_of_8_bit_scores_are_no_disagreement() -> None:
    tied, theirs = rows([0.5, 0.5, 0, 0]), rows([0.49, 0.5, 0, 0])
    assert judging.compare(theirs, tied, SOFTMAX, rounded=True).agreement == 1.0


def test_scores_that_are_no_numbers_are_wrong() -> None:
    theirs = [row.copy() for row in SURE]
    theirs[3][0, 0] = np.nan
    check = judging.compare(theirs, SURE, SOFTMAX, rounded=True)
    assert check.verdict == "wrong"
    assert np.isfinite(check.max_abs_error)


@pytest.mark.parametrize("kind", ["embedding", "logits", "sigmoid"])
def test_verdict_of_other_heads_is_by_the_range_of_their_scores(kind: str) -> None:
    head, mine = Head(kind=kind, count=4), rows(*[[8.0, -2.0, 1.0, 0.5]] * 50)
    theirs = [row * 1.0004 for row in mine]
    assert judging.compare(theirs, mine, head, rounded=False).verdict == (
        "right" if kind != "sigmoid" else "differs"
    )


def test_logits_are_wrong_by_shares_of_their_range_and_not_by_a_quarter_of_one() -> None:
    head, mine = Head(kind="logits", count=4), rows(*[[8.0, -2.0, 1.0, 0.5]] * 50)
    for off, verdict in ((0.5, "differs"), (1.9, "differs"), (2.1, "wrong")):
        theirs = [row.copy() for row in mine]
        theirs[7][0, 0] -= off
        assert judging.compare(theirs, mine, head, rounded=False).verdict == verdict


class Made:
    """An engine that gives the scores that it is made with, or dies."""

    name, steps, error = "made", 2, 1e-3

    def __init__(self, answer: Callable[[int], Array], said: Sequence[str] = ()) -> None:
        self._answer, self._said, self.runs = answer, list(said), 0

    def missing(self) -> str:
        return ""

    def open(self, raw: bytes) -> Self:
        return self

    def run(self, inputs: Sequence[Array]) -> list[Array]:
        self.runs += 1
        return [self._answer(self.runs)]

    def said(self) -> list[str]:
        return self._said

    def close(self) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *unused: object) -> None: ...


def right(_: int) -> Array:
    return np.array([[230, 25, 0, 0]], np.uint8)


def dies(run: int) -> Array:
    if run > 2:
        raise EngineError("it died of SIGSEGV")
    return right(run)


def judged(engine: Made, monkeypatch: pytest.MonkeyPatch, **options: Any) -> judging.Judged:
    output = TensorSpec(name="scores", shape=(1, 4), dtype="uint8", scale=1 / 256, zero_point=0)
    scores = np.array([[230, 25, 0, 0]], np.float32) / 256
    session: Any = SimpleNamespace(run=lambda pixels: scores)
    monkeypatch.setattr(
        locating, "locate", lambda *given, seconds: SimpleNamespace(operator="CONV_2D", layer="conv2d_5")
    )
    subject = judging.Subject(raw=b"", output=output, head=SOFTMAX, session=session, rounded=True)
    images = np.zeros((4, 2, 2, 1), np.uint8)
    return judging.judge(subject, engine, images, np.zeros((9, 2, 2, 1), np.uint8), **options)


def test_judge_runs_all_golden_images_and_others_while_there_is_time(monkeypatch: pytest.MonkeyPatch) -> None:
    assert judged(Made(right), monkeypatch).check.images == 13
    assert judged(Made(right), monkeypatch, seconds=-1.0).check.images == 4
    found = judged(Made(right), monkeypatch)
    assert (found.check.verdict, found.check.first_wrong_op, found.complaint) == ("right", "", "")


def test_judge_names_the_operator_of_what_complains_or_dies(monkeypatch: pytest.MonkeyPatch) -> None:
    complained = judged(Made(right, ["Shape mismatch in it"]), monkeypatch)
    died = judged(Made(dies), monkeypatch)
    for found in (complained, died):
        assert found.check.verdict == "wrong"
        assert (found.check.first_wrong_op, found.check.layer) == ("CONV_2D", "conv2d_5")
    assert complained.complaint == "Shape mismatch in it"
    assert (died.complaint, died.check.images) == ("it died of SIGSEGV", 2)
    assert judged(Made(dies), monkeypatch, find=False).check.first_wrong_op == ""
