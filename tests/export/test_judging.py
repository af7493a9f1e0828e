"""What is judged is held against the model's scores of the same images; nothing is converted here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edgewright.export import judging, variants
from edgewright.export.network.model import Model
from edgewright.export.source.options import Options
from edgewright.export.source.source import Source
from edgewright.export.work.score import Scored
from edgewright.runtime.bundle.parity import Judging
from edgewright.runtime.contract import InputContract, TensorSpec
from edgewright.runtime.contract.heads import Head
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


def judged(job: judging.Job, name: str, reference: Scores, scores: Scores) -> judging.Outcome:
    spec = TensorSpec(name="y", shape=(1, 3), dtype="float32")

    def waited() -> Scored:
        return Scored(scores=scores, kernels="none", input=spec, output=spec)

    conversions = judging.Conversions(
        reference=reference,
        of_pool=reference[:0],
        figures={},
        picked=np.arange(16),
        boundary=np.arange(16, 24),
        made={name: judging.Made(conversion={}, scored=waited, again=waited, plain=waited)},
        failed={},
    )
    (variant,) = (variant for variant in job.variants if variant.name == name)
    return judging.judge(job, conversions, variant).outcome


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
