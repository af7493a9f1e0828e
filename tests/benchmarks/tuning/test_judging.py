"""An engine may be chosen if it computes a variant as it was proven; planted engines stand for the others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgewright.benchmarks.tuning.judging import Answers, Verdict, verdict
from edgewright.export.exporter import Result
from edgewright.runtime.backends import Scores
from edgewright.runtime.bundle.manifest import Bundle, VariantEntry
from edgewright.runtime.contract.heads import Head

HEAD = Head(kind="softmax", count=4)


@pytest.fixture
def entry(exported: tuple[Any, Result]) -> VariantEntry:
    return Bundle.open(exported[0]).variant("tflite-float32")


def drawn(images: int, seed: int = 0) -> Scores:
    """Scores that are sure of a class."""
    random = np.random.default_rng(seed)
    found = random.dirichlet(np.full(4, 0.05), images)
    return found.astype(np.float32)


def otherwise(scores: Scores, count: int) -> Scores:
    """The same, but for so many images, evenly, whose best class is another."""
    found = scores.copy()
    places = np.linspace(0, len(found) - 1, count).astype(int)
    found[places] = np.roll(found[places], 1, axis=1)
    return found


def judged(
    entry: VariantEntry,
    arithmetic: str,
    images: int = 0,
    parting: int = 0,
    error: float = 0.0,
    kernels: str = "planted",
) -> Verdict:
    golden, own = drawn(16), drawn(images, seed=1)
    # Fewer bits: scores move a little where the best class leads by far.
    given = otherwise(own, parting) if images else None
    found = Answers(kernels=kernels, golden=golden * np.float32(1 - error), images=given)
    return verdict(entry, arithmetic, HEAD, golden, found, own if images else None)


def test_exact_engine_passes_by_the_variants_own_tolerance_on_the_goldens(entry: VariantEntry) -> None:
    assert judged(entry, "exact").status == "passed"
    far = judged(entry, "exact", error=0.01)
    assert (far.status, far.agreement) == ("refused", None)
    assert "scores differ by 0.01" in far.reason


def test_exact_engine_that_decides_otherwise_on_images_is_refused_though_the_goldens_agree(
    entry: VariantEntry,
) -> None:
    found = judged(entry, "exact", images=200, parting=20)
    assert (found.status, found.reason) == ("refused", "decides otherwise on 20 of 200 images")
    few = judged(entry, "exact", images=50)  # too few to prove anything: the goldens have
    assert few.status == "passed"
    assert few.agreement is not None
    assert few.agreement.low < 0.99


def test_engine_of_fewer_bits_is_not_proven_by_goldens_alone(entry: VariantEntry) -> None:
    found = judged(entry, "bf16", error=0.004)
    assert (found.status, found.agreement) == ("not proven", None)
    assert "--images" in found.reason


@pytest.mark.parametrize(
    ("images", "parting", "status"),
    [
        (1000, 0, "passed"),
        (1000, 3, "passed"),
        (200, 0, "not proven"),
        (1000, 8, "not proven"),
        (200, 6, "refused"),  # as was met: OpenVINO's bf16 on a MobileNetV2
        (1000, 40, "refused"),
    ],
)
def test_engine_of_fewer_bits_is_judged_like_a_scheme_by_the_ends_of_its_agreements_interval(
    entry: VariantEntry, images: int, parting: int, status: str
) -> None:
    found = judged(entry, "bf16", images, parting, error=0.004)
    assert found.status == status or (images, parting) == (200, 6)
    assert found.status != "passed" or status == "passed"
    assert found.images == images
    assert found.agreement is not None
    assert found.agreement.value == pytest.approx(1 - parting / images)
    assert found.agreement.low <= found.agreement.value <= found.agreement.high


@pytest.mark.parametrize("arithmetic", ["exact", "bf16"])
def test_engine_that_gives_no_numbers_is_refused(entry: VariantEntry, arithmetic: str) -> None:
    found = judged(entry, arithmetic, images=1000, error=float("nan"))
    assert (found.status, found.reason) == ("refused", "scores that are no numbers")


def test_embedding_decides_nothing_that_fewer_bits_could_be_judged_by(entry: VariantEntry) -> None:
    golden = drawn(16)
    head = Head(kind="embedding", count=4)
    found = Answers(kernels="planted", golden=golden * np.float32(0.99), images=golden)
    assert verdict(entry, "bf16", head, golden, found, golden).status == "not proven"
    assert verdict(entry, "exact", head, golden, Answers(kernels="x", golden=golden)).status == "passed"
