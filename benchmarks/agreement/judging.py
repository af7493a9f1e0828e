"""Does an engine give a file's scores as LiteRT's CPU kernels do? Images, the largest difference, a verdict.

What an engine that computes rightly may differ by was measured, LiteRT's GPU accelerator, which computes in
floats, against XNNPACK, as the largest difference of a probability:

    float32, float16    1e-6 to 3e-6
    8-bit arithmetic    .010 to .020 (mnist-cnn), .018 to .039 (ResNet-8)
    the same, deep      .055 on noise, .090 on digits (MobileNetV2 at 224 pixels, int8): all labels the same
    with an operator
    at fault            .70 to .83, 15 to 33 % of the labels turn

So `right` is 1e-3 or .06. Between that and `wrong` roundings add up, or something is at fault that these
images hardly show: `differs`. An image near a tie says nothing, so a label counts as turned only where a
score has moved by .1 too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewright.benchmarks.agreement import Engine, EngineError, locating
from edgewright.benchmarks.agreement.cpu import floats
from edgewright.benchmarks.record.measurement import Check
from edgewright.runtime.backends import Scores, Session
from edgewright.runtime.contract import TensorSpec
from edgewright.runtime.contract.heads import Head

SECONDS = 30.0
# Shares of the range of scores: what floats and 8 bits are rounded by, what is not near a tie, what no sum of
# roundings comes near.
_FLOATS, _ROUNDED, _FAR, WRONG = 1e-3, 0.06, 0.1, 0.25
_TURNED = 0.01  # share of the images that may be decided otherwise by so much
_PROBES = 2  # images that an operator at fault is looked for with
_SEARCH = 120.0  # seconds that it may take to find the operator at fault
_MOST_COMPLAINT = 160


@dataclass(frozen=True, kw_only=True)
class Judged:
    """`check` says what came of it, `complaint` what the engine said meanwhile, or died of."""

    check: Check
    complaint: str = ""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A .tflite file of one input and one output: its bytes, that output, and what its scores mean; `session`
    computes it on the CPU, one image at a time; `rounded` is whether that is in 8 bits."""

    raw: bytes
    output: TensorSpec
    head: Head
    session: Session
    rounded: bool = False


def judge(
    subject: Subject,
    engine: Engine,
    golden: NDArray[Any],
    more: NDArray[Any],
    *,
    seconds: float = SECONDS,
    find: bool = True,
    ran: Callable[[Any], object] = lambda running: None,
) -> Judged:
    """Run a file in an engine and on the CPU, on all `golden` images, and on `more` while there is time.

    Args:
        subject: the file.
        engine: that is held against the CPU.
        golden: images as the file takes them, `(n, height, width, channels)`, one at least.
        more: the same, maybe none.
        seconds: that `more` may take, with what the golden images took.
        find: look for the operator at fault of a file that is wrong.
        ran: told of the running engine after each image.

    Raises:
        TargetError: the engine cannot be set up here.
    """
    theirs: list[Scores] = []
    mine: list[Scores] = []
    complaint, died = "", ""
    try:
        with engine.open(subject.raw) as running:
            end = time.monotonic() + seconds
            for place, image in enumerate((*golden, *more)):
                if place >= len(golden) and time.monotonic() > end:
                    break
                theirs.append(floats(running.run([image[np.newaxis]])[0], subject.output))
                mine.append(subject.session.run(image[np.newaxis]))
                ran(running)
            complaint = next(iter(running.said()), "")[:_MOST_COMPLAINT]
    except EngineError as failure:
        died = str(failure)
    check = compare(theirs, mine, subject.head, rounded=subject.rounded, fails=bool(died or complaint))
    operator = layer = ""
    if check.verdict == "wrong" and find:
        operator, layer = _fault(subject.raw, engine, golden)
    check = Check(**{**vars(check), "first_wrong_op": operator, "layer": layer})
    return Judged(check=check, complaint=died or complaint)


def limit(*, rounded: bool) -> float:
    """How far a score of a right file may be off, of probabilities."""
    return _ROUNDED if rounded else _FLOATS


def compare(
    theirs: Sequence[Scores],
    mine: Sequence[Scores],
    head: Head,
    *,
    rounded: bool,
    fails: bool = False,
) -> Check:
    """The verdict on an engine's scores beside the CPU's, `(1, scores)` an image.

    `rounded`: they are computed in 8 bits. `fails`: the engine died, or complained.
    """
    if not theirs:
        return Check(images=0, max_abs_error=0.0, agreement=0.0, verdict="wrong")
    answers, right = np.concatenate(theirs), np.concatenate(mine[: len(theirs)])
    finite = bool(np.isfinite(answers).all())
    errors = np.nan_to_num(np.abs(answers - right), nan=np.inf, posinf=np.inf).max(axis=1)
    range_ = 1.0 if head.kind in ("softmax", "sigmoid") else float(np.abs(right).max()) or 1.0
    same = _same(answers, right, head)
    turned = float(np.mean(~same & (errors > _FAR * range_)))
    worst = float(errors.max())
    if fails or not finite or worst > WRONG * range_ or turned > _TURNED:
        verdict = "wrong"
    else:
        verdict = "right" if worst <= limit(rounded=rounded) * range_ else "differs"
    largest = worst if np.isfinite(worst) else float(np.finfo(np.float32).max)
    return Check(images=len(right), max_abs_error=largest, agreement=float(np.mean(same)), verdict=verdict)


def _same(answers: Scores, right: Scores, head: Head) -> NDArray[np.bool_]:
    """Of each image, whether it is decided alike; of embeddings, whether their cosine is above .99."""
    if head.is_embedding:
        lengths = np.linalg.norm(answers, axis=1) * np.linalg.norm(right, axis=1)
        alike: NDArray[np.bool_] = (answers * right).sum(axis=1) >= 0.99 * lengths
        return alike
    differ = np.atleast_2d((head.decisions(answers) != head.decisions(right)).T).any(0)
    # 8-bit scores tie: the first of equal ones is no better than the next.
    if not head.is_sigmoid:
        chosen = answers.argmax(axis=1)
        differ &= right[np.arange(len(right)), chosen] < right.max(axis=1)
    same: NDArray[np.bool_] = np.logical_not(differ)
    return same


def _fault(raw: bytes, engine: Engine, images: NDArray[Any]) -> tuple[str, str]:
    """The operator at fault and its Keras layer, empty where none is found."""
    try:
        found = locating.locate(
            raw, engine, [image[np.newaxis] for image in images[:_PROBES]], seconds=_SEARCH
        )
    except EngineError:  # the CPU does not give what is between its operators
        return "", ""
    return ("", "") if found is None else (found.operator, found.layer)
