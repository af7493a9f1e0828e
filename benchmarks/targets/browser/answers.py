"""A browser's answers to the golden images: what it posted of them, and the verdict, which is made here."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, TypeAlias

from edgewright.benchmarks.record.measurement import Check
from edgewright.benchmarks.targets import _golden
from edgewright.benchmarks.targets.browser.work import Work
from edgewright.runtime.disk.jsonio import JsonObject

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgewright.runtime.bundle.manifest import VariantEntry

Answered: TypeAlias = tuple[Check, list[str]]  # with notes
_MOST_TEXT = 200
_MOST_SCORE = 1e30


def recorded(obj: JsonObject, entry: VariantEntry, work: Work, kernels: str) -> Answered:
    """How the device's scores stand to the recorded ones, with a note where they are others: by what the
    bundle tolerates of the interpreter's `kernels`. Raises the error of `obj`."""
    expected = work.expected[entry.name]
    scores = _scores(obj, expected)
    if len(scores) != len(expected):
        raise obj.fail("scores", f"{expected.size} finite numbers")
    check, reason = _golden.held(work.bundle.manifest, entry, kernels, scores, expected)
    note = f"{entry.name} does not give what was recorded in this browser: {reason}"
    return check, [note] if reason else []


def beside(obj: JsonObject, entry: VariantEntry, work: Work) -> Answered:
    """How a GPU's scores stand to the recorded ones, which the CPU gave: by what GPUs round otherwise. One
    that died of a file has a verdict, too. Raises the error of `obj`."""
    from edgewright.benchmarks.agreement import judging
    from edgewright.benchmarks.targets.gpu.target import remedy

    expected = work.expected[entry.name]
    notes = []
    if obj.has("died"):
        theirs = expected[:0]
        notes.append(f"{entry.name} ends the browser's WebGPU: {text(obj, 'died')}")
    else:
        theirs = _scores(obj, expected)
        if not len(theirs):
            raise obj.fail("scores", "those of one image at least")
        if not obj.flag("whole"):
            notes.append(f"{entry.name} stays in WebAssembly in part: WebGPU does not take all operators")
    check = judging.compare(
        [one[None] for one in theirs],
        [one[None] for one in expected[: len(theirs)]],
        _golden.head_of(work.bundle.manifest),
        rounded=entry.arithmetic == "int8",
    )
    if check.verdict != "wrong":
        return check, notes
    known = entry.not_for_gpu
    if not obj.has("died"):
        notes.append(
            f"{entry.name} is wrong in this browser's WebGPU: scores are off by up to "
            f"{check.max_abs_error:.2g}{f' ({known})' * bool(known)}"
        )
    return dataclasses.replace(check, remedy=remedy("", work.bundle, entry)), notes


def _scores(obj: JsonObject, expected: NDArray[np.float32]) -> NDArray[np.float32]:
    """The scores of the first images, `(n, scores)`, all finite."""
    import numpy as np

    values, width = obj.array("scores"), expected[0].size
    if (
        len(values) > expected.size
        or len(values) % width
        or not all(type(v) in (int, float) and abs(v) < _MOST_SCORE for v in values)
    ):
        raise obj.fail("scores", f"{expected.size} finite numbers")
    return np.asarray(values, np.float64).astype(np.float32).reshape(-1, *expected.shape[1:])


def text(obj: JsonObject, key: str) -> str:
    """One line of it, of no more than `_MOST_TEXT` characters. Raises the error of `obj`."""
    told = obj.text(key)
    if len(told) > 2**16:
        raise obj.fail(key, f"at most {_MOST_TEXT} characters")
    return "".join(c if c.isprintable() else " " for c in " ".join(told.split()))[:_MOST_TEXT]
