"""What is kept of the judging is what the scores say, and the worst of it comes first."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgewright.export.exporter import Result
from edgewright.export.proof.evidence import look, write
from edgewright.runtime.bundle.evidence import MAX_SIDE, MAX_WORST, read_evidence
from edgewright.runtime.bundle.manifest import Bundle
from edgewright.runtime.contract.heads import Head
from edgewright.train.datasets import Dataset


def test_evidence_look_has_the_surest_mistakes_first_and_counts_every_class() -> None:
    reference = np.array([[0.6, 0.4, 0], [0.9, 0.1, 0], [0, 0.2, 0.8], [0, 0.3, 0.7]], np.float32)
    scores = np.array([[0.4, 0.6, 0], [0.1, 0.9, 0], [0.1, 0.9, 0], [0, 0.3, 0.7]], np.float32)
    labels = np.array([0, 1, 2, 2])
    found = look(
        Head(kind="softmax", count=reference.shape[1]), reference, scores, labels, np.array([10, 20, 30, 40])
    )
    assert found.places.tolist() == [20, 30, 10]  # leads of 0.8, 0.6 and 0.2
    assert found.tops.tolist() == [[0, 1], [2, 1], [0, 1]]
    np.testing.assert_allclose(found.probabilities[0], [[0.9, 0.1], [0.1, 0.9]], atol=1e-6)
    images, right, lost, won = found.classes.tolist()
    assert (images, right, lost, won) == ([1, 1, 2], [1, 0, 2], [1, 0, 1], [0, 1, 0])


def test_evidence_look_keeps_logits_as_probabilities() -> None:
    reference, scores = np.array([[0.0, 2.0]], np.float32), np.array([[30.0, -30.0]], np.float32)
    found = look(
        Head(kind="logits", count=reference.shape[1]), reference, scores, np.array([1]), np.array([0])
    )
    expected = 1 / (1 + np.exp(-2))
    np.testing.assert_allclose(found.probabilities[0], [[expected, 1 - expected], [0, 1]], atol=1e-6)


def test_evidence_look_keeps_few_of_many() -> None:
    random = np.random.default_rng(0)
    reference, scores = random.dirichlet(np.ones(5), (2, 500)).astype(np.float32)
    found = look(
        Head(kind="softmax", count=reference.shape[1]),
        reference,
        scores,
        random.integers(0, 5, 500),
        np.arange(500),
    )
    assert len(found.places) == MAX_WORST
    margins = np.diff(np.sort(reference[found.places], axis=1)[:, -2:])[:, 0]
    assert (np.diff(margins) <= 0).all()


@pytest.mark.parametrize(("shape", "small"), [((300, 150, 3), (96, 48, 3)), ((97, 500, 1), (19, 96, 1))])
def test_evidence_write_scales_large_images_down(
    tmp_path: Path, shape: tuple[int, int, int], small: tuple[int, int, int]
) -> None:
    test = np.full((3, *shape), 90, np.uint8)
    reference, scores = np.array([[1, 0]] * 3, np.float32), np.array([[1, 0], [0, 1], [1, 0]], np.float32)
    judged = look(
        Head(kind="softmax", count=reference.shape[1]), reference, scores, np.array([0, 0, 1]), np.arange(3)
    )
    write(tmp_path / "evidence.npz", [judged], test, np.array([0, 0, 1]))
    with np.load(tmp_path / "evidence.npz") as found:
        assert found["images"].shape == (1, *small)
        assert max(small) == MAX_SIDE
        assert (found["images"] == 90).all()


def test_evidence_of_a_bundle_says_what_its_own_parity_says(
    exported: tuple[Path, Result], fashion_mini: Dataset
) -> None:
    bundle = Bundle.open(exported[0])
    found = read_evidence(bundle)
    assert found is not None
    places = {image.tobytes(): i for i, image in enumerate(fashion_mini.x_test)}
    for variant in bundle.manifest.variants:
        one, parity = found[variant.name], variant.parity
        assert one.images.tolist() == np.bincount(fashion_mini.y_test).tolist()
        assert int(one.keras_right.sum()) == round(bundle.manifest.reference["accuracy"] * parity.samples)
        assert (one.lost.sum() - one.won.sum()) / parity.samples == pytest.approx(parity.drop)
        assert len(one.worst) == min(MAX_WORST, round((1 - parity.agreement) * parity.samples))
        for d in one.worst:
            assert fashion_mini.y_test[places[d.image.tobytes()]] == d.truth
            assert d.keras != d.variant
            assert d.probabilities[0, 0] >= d.probabilities[0, 1]
            assert d.probabilities[1, 1] >= d.probabilities[1, 0]
    assert found["tflite-int8"].worst  # the test sees some
    assert not found["onnx-float32"].worst
