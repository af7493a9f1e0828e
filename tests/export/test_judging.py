"""What is judged is held against the model's scores of the same images; nothing is converted here."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edgewright.export import assembling, judging, variants
from edgewright.export.network.model import Model
from edgewright.export.source.options import Options
from edgewright.export.source.source import Source
from edgewright.export.work.score import Scored
from edgewright.runtime.bundle.parity import Judging
from edgewright.runtime.contract import InputContract, TensorSpec
from edgewright.runtime.contract.heads import Head
from edgewright.runtime.errors import ExportError, ModelFileError
from edgewright.train.normalization import Normalization

SLOW, PLAIN = "tflite-int16x8", "tflite-float32"
Scores = NDArray[np.float32]


@pytest.fixture
def job(tmp_path: Path) -> judging.Job:
    """3,000 test images of three classes, of which a slow variant is judged on 2,000."""
    (tmp_path / "model.keras").write_bytes(b"not looked into")
    truth = np.arange(3000) % 3
    source = Source(
        name="x",
        model=Model.at(tmp_path / "model.keras", Normalization.of_range(0, 1)),
        input=InputContract(height=2, width=2, channels=1),
        labels=("a", "b", "c"),
        head=Head(kind="softmax", count=3),
        judging=Judging(),
        calibration=np.zeros((0, 2, 2, 1), np.uint8),
        calibration_split="train",
        test=np.zeros((3000, 2, 2, 1), np.uint8),
        truth=truth,
        provenance={},
    )
    chosen = variants.parse((SLOW, PLAIN))
    for variant in chosen:
        (tmp_path / variant.file).write_bytes(b"not looked into")
    options = Options(out=tmp_path / "out", variants=(SLOW, PLAIN))
    return judging.Job(source=source, options=options, variants=chosen, fine_tuned={}, scratch=tmp_path)


def giving(scores: Scores) -> Scored:
    """What running a file gave."""
    spec = TensorSpec(name="y", shape=scores.shape[1:], dtype="float32")
    return Scored(scores=scores, kernels="none", input=spec, output=spec)


def conversions(
    reference: Scores, made: Mapping[str, Callable[[], Scored]], failed: Mapping[str, str] | None = None
) -> judging.Conversions:
    """Of files that give the same each time, and on plain kernels."""
    return judging.Conversions(
        reference=reference,
        of_pool=reference[:0],
        figures={},
        picked=np.arange(16),
        boundary=np.arange(16, 24),
        made={
            name: judging.Made(conversion={}, scored=scored, again=scored, plain=scored)
            for name, scored in made.items()
        },
        failed=failed or {},
    )


def judged(job: judging.Job, name: str, reference: Scores, scores: Scores) -> judging.Outcome:
    (variant,) = (variant for variant in job.variants if variant.name == name)
    return judging.judge(job, conversions(reference, {name: lambda: giving(scores)}), variant).outcome


def surely(classes: NDArray[np.intp]) -> Scores:
    """Scores that are sure of a class each, of some more than of others."""
    scores = np.full((len(classes), 3), 0.1, np.float32)
    scores[np.arange(len(classes)), classes] = np.linspace(0.5, 0.9, len(classes))
    return scores


def test_a_slow_variant_is_held_against_the_models_scores_of_the_images_that_it_has_seen(
    job: judging.Job,
) -> None:
    """All of its decisions are others than the model's, and each score is off by one of the model's own."""
    reference = surely(np.arange(3000) % 3)
    (places,) = (job.places(variant) for variant in job.variants if variant.name == SLOW)
    assert len(places) == 2000
    assert places.tolist() != list(range(2000))
    turned = np.roll(reference[places], 1, axis=1)
    parity = judged(job, SLOW, reference, turned).parity
    assert parity is not None
    assert (parity.samples, parity.verdict, parity.agreement) == (2000, "refused", 0.0)
    assert (parity.drop, parity.accuracy) == (1.0, 0.0)
    assert parity.max_abs_error == pytest.approx(float(np.abs(reference[places] - turned).max()))


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_one_score_that_is_no_number_refuses_a_variant(job: judging.Job, wrong: float) -> None:
    reference = surely(np.arange(3000) % 3)
    scores = reference.copy()
    scores[1234, 0] = wrong
    outcome = judged(job, PLAIN, reference, scores)
    assert (outcome.reason, outcome.parity) == ("gives scores that are NaN or infinite", None)


def test_judge_takes_a_variant_alone_by_its_scores(job: judging.Job, tmp_path: Path) -> None:
    names = ("tflite-float32", "tflite-float16", "onnx-float32", "onnx-int8")
    job = dataclasses.replace(job, variants=variants.parse(names))
    right = surely(np.arange(3000) % 3)

    def damaged() -> Scored:
        raise ModelFileError("it is damaged")

    made = {
        "tflite-float32": lambda: giving(right * np.float32(np.nan)),
        "tflite-float16": lambda: giving(np.roll(right, 1, axis=1)),
        "onnx-float32": damaged,
    }
    tried = conversions(right, made, {"onnx-int8": "cannot be converted: no"})
    for variant in job.variants:
        (tmp_path / variant.file).write_bytes(b"not looked into")
    found = [judging.judge(job, tried, variant) for variant in job.variants]
    assert [judgement.written for judgement in found] == [None] * 4
    nan, wrong, unread, failed = (judgement.outcome for judgement in found)
    assert nan.reason == "gives scores that are NaN or infinite"
    assert wrong.parity is not None
    assert (wrong.parity.verdict, wrong.parity.accuracy) == ("refused", 0)
    assert unread.reason == "cannot be run: it is damaged"
    assert failed.reason == "cannot be converted: no"
    assert assembling.assemble(job, tried, found, tmp_path / "nowhere") == []
    assert not (tmp_path / "nowhere").exists()


def test_tolerance_where_plain_kernels_cannot_run_a_file_is_by_the_model_itself() -> None:
    reference = np.full((24, 2), 0.5, np.float32)
    given = reference + np.float32(0.01)

    def lost() -> Scored:
        raise ExportError("a scoring process was ended from outside")

    tried = conversions(reference, {PLAIN: lambda: giving(given)})
    made = {PLAIN: dataclasses.replace(tried.made[PLAIN], plain=lost)}
    (variant,) = variants.parse([PLAIN])
    found = judging._tolerance(
        dataclasses.replace(tried, made=made), variant, Path("x.tflite"), giving(given), given
    )
    assert (found.max_abs, found.max_abs_elsewhere) == pytest.approx((1e-5, 0.02), rel=1e-4)
