"""Which variants labels of a pool could let pass, and which pools do not count."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edgewright.export.labelling import kept
from edgewright.export.labelling.kept import Undecided, consider
from edgewright.runtime.bundle.parity import ParityReport
from edgewright.runtime.contract.heads import Head
from edgewright.runtime.disk.jsonio import JsonObject
from edgewright.runtime.errors import BundleError

HEAD = Head(kind="softmax", count=4)
Run = Callable[..., tuple[int, str, str]]
Scores = NDArray[np.float32]


def scored(
    count: int, part: float, *, seed: int, sure: float = 1.0
) -> tuple[Scores, Scores, NDArray[np.intp]]:
    """Scores of a model and of a file that parts from it on a share of the images, and the true classes, of
    which the model has nine in ten right."""
    random = np.random.default_rng(seed)
    truth = random.integers(0, 4, count)
    logits = random.normal(0, 1, (count, 4))
    said = np.where(random.random(count) < 0.9, truth, (truth + 1) % 4)
    logits[np.arange(count), said] = logits.max(axis=1) + sure
    powers = np.exp(logits)
    scores = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    other = scores.copy()
    parted = random.permutation(count)[: round(part * count)]
    other[parted] = np.roll(other[parted], 1, axis=1)
    return scores, other, truth


def considered(test: float, pool: float, *, sure: float = 1.0, max_drop: float = 0.01) -> Undecided | str:
    reference, scores, truth = scored(400, test, seed=0)
    of_pool, scores_of_pool, _ = scored(3000, pool, seed=1, sure=sure)
    return consider("file", HEAD, (reference, of_pool), (scores, scores_of_pool), truth, max_drop, 0.05)


def test_a_pool_of_the_tests_kind_leaves_a_variant_open() -> None:
    found = considered(0.02, 0.02)
    assert isinstance(found, Undecided)
    assert (found.test.images, found.agreeing, len(found.classes)) == (400, 392, 3000)
    assert found.wrong == pytest.approx(40, abs=15)
    assert 0 < found.test.lost <= 8


def test_pools_of_another_kind_and_hopeless_ones_do_not_count() -> None:
    none = considered(0.03, 0.0)
    assert isinstance(none, str)
    assert "the pool is of another kind: file and model part on 0.00 % of it, on 3.00 % of the test" in none
    plain = considered(0.02, 0.02, sure=4.0)
    assert isinstance(plain, str)
    assert "the model is surer of its pictures" in plain
    hopeless = considered(0.0, 0.0, max_drop=0.0)
    assert hopeless == "judged on the test alone, as no labels of this pool could let it pass"


def test_a_line_of_what_is_not_proven_can_say_how_large_a_pool_would_do() -> None:
    reference, scores, truth = scored(400, 0.02, seed=0)
    parted = np.flatnonzero(reference.argmax(1) != scores.argmax(1))
    truth[parted[:4]] = scores[parted[:4]].argmax(1)  # four won
    truth[parted[4:]] = reference[parted[4:]].argmax(1)  # four lost
    said = kept.forecast(HEAD, reference, scores, truth, 0.01, 0.05)
    assert said.startswith(("or --pool with about 1,", "or --pool with about 2,"))
    assert said.endswith("want a label")
    truth[parted] = reference[parted].argmax(1)
    assert kept.forecast(HEAD, reference, scores, truth, 0.01, 0.05) == ""


def test_variants_that_dispute_more_than_anybody_labels_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    reference, _, _ = scored(1000, 0.0, seed=2)
    model = reference.argmax(1)
    images = np.random.default_rng(0).integers(0, 256, (1000, 4, 4, 1)).astype(np.uint8)

    def variant(name: str, parted: slice) -> Undecided:
        classes = model.copy()
        classes[parted] = (classes[parted] + 1) % 4
        found = considered(0.02, 0.02)
        assert isinstance(found, Undecided)
        return Undecided(
            name=name, test=found.test, agreeing=found.agreeing, wrong=found.wrong, classes=classes
        )

    some, few, many = (
        variant("some", slice(0, 30)),
        variant("few", slice(20, 40)),
        variant("many", slice(0, 500)),
    )
    monkeypatch.setattr(kept, "MOST_QUESTIONS", 160)
    questions, taken = kept.choose(images, reference, HEAD, [many, some, few], 0)
    assert [each.name for each in taken] == ["some", "few"]
    assert (~questions.agreeing).sum() == 40  # each once
    assert questions.agreeing.sum() == kept.AGREEING
    assert (questions.second != questions.model).all()


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--label-error", "0.5"], "expected a --label-error from 0 to below 0.5"),
        (["--label-error", "-0.1"], "expected a --label-error from 0 to below 0.5"),
        (["--keep-unproven"], "expected --pool or --keep-unproven, got both"),
        ([], "expected a folder, a .zip or an .npz of pictures for --pool"),
    ],
)
def test_export_refuses_pools_that_make_no_sense(
    trained: Path, run: Run, tmp_path: Path, more: list[str], says: str
) -> None:
    words = ("export", trained, "--out", tmp_path / "bundle", "--variants", "tflite-float32")
    status, _, complaint = run(*words, "--pool", tmp_path / "nowhere", *more)
    assert status == 1
    assert says in complaint
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_ours_is_never_replaced(trained: Path, run: Run, tmp_path: Path) -> None:
    place = kept.beside(tmp_path / "bundle")
    place.mkdir()
    (place / "thesis.txt").write_text("mine", encoding="utf-8")
    words = ("export", trained, "--out", tmp_path / "bundle", "--variants", "tflite-float32")
    status, _, complaint = run(*words, "--pool", tmp_path)
    assert status == 1
    assert "thesis.txt" in complaint
    assert (place / "thesis.txt").exists()


@pytest.mark.parametrize(
    "changes",
    [{"drop_low": 0.5}, {"drop_high": 7.0}, {"drop": None}, {"images": -1}, {"look": 1.5}, {"won": "many"}],
)
def test_what_a_manifest_says_of_a_pool_is_read_with_suspicion(changes: dict[str, object]) -> None:
    told = {"images": 3000, "disputed": 60, "unresolved": 0, "look": 1, "won": 3}
    told |= {"drop": 0.001, "drop_low": -0.003, "drop_high": 0.006}  # type: ignore[dict-item]
    shares = ("accuracy", "drop", "drop_low", "drop_high", "agreement", "tie_agreement", "max_abs_error")
    parity = {"samples": 400, "verdict": "passed", "reason": "", **dict.fromkeys(shares, 0.0)}
    report = ParityReport.from_json(JsonObject({**parity, "pool": told}, "a manifest", BundleError))
    assert report.judged_drop == (0.001, -0.003, 0.006)
    with pytest.raises(BundleError):
        ParityReport.from_json(JsonObject({**parity, "pool": told | changes}, "a manifest", BundleError))
