"""No more is claimed than was seen: of unlabelled pictures no accuracy, of noise nothing about pictures."""

from __future__ import annotations

import dataclasses
import html
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewright.benchmarks.report import facts
from edgewright.benchmarks.report.sources import Given
from edgewright.runtime.bundle.manifest import EVIDENCE, MANIFEST, Bundle, FileEntry, Manifest
from edgewright.runtime.bundle.parity import Judging
from edgewright.runtime.errors import InputError

Run = Callable[..., tuple[int, str, str]]
LABELS = ("cat", "dog, wet", "猫")


def change(bundle: Path, *, scores: int, beside: dict[str, float] | None = None, **changes: Any) -> None:
    """Another head and judging: reports of what that says, over 300 images."""
    path = bundle / MANIFEST
    manifest = Manifest.from_bytes(path.read_bytes(), str(path))
    variants = tuple(
        dataclasses.replace(
            v,
            output=dataclasses.replace(v.output, shape=(1, scores)),
            parity=dataclasses.replace(
                v.parity,
                samples=300,
                accuracy=0.997,
                drop=0.003,
                drop_low=0.0,
                drop_high=0.009,
                agreement=0.98,
                beside=beside or {},
            ),
        )
        for v in manifest.variants
    )
    reference = {**manifest.reference, "samples": 300, "accuracy": 1.0}
    changes = {"evidence": None, "variants": variants, "reference": reference, **changes}
    path.write_bytes(dataclasses.replace(manifest, **changes).to_bytes())


def text(raw: str) -> str:
    """The words of a page, without style and script."""
    raw = re.sub(r"<(style|script).*?</\1>", " ", raw, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", raw)).split())


def report(run: Run, bundle: Path, folder: Path) -> tuple[str, str, str]:
    """Page, Markdown and what was printed."""
    found = []
    for name in ("r.html", "r.md", "r.json"):
        status, said, complaints = run("report", bundle, "--out", folder / name)
        assert (status, complaints) == (0, "")
        found.append((folder / name).read_text(encoding="utf-8"))
    return text(found[0]), found[1], said


@pytest.mark.parametrize("head", ["softmax", "sigmoid"])
def test_report_of_unlabelled_pictures_says_agreement_and_what_it_bounds(
    run: Run, bundle: Path, tmp_path: Path, head: str
) -> None:
    labels = LABELS if head == "softmax" else LABELS[:2]
    judging = Judging(by="agreement", images="unlabelled")
    change(bundle, scores=3 if head == "softmax" else 1, labels=labels, head=head, judging=judging)
    page, markdown, said = report(run, bundle, tmp_path)
    for found in (page, markdown.replace("\\", ""), said):
        assert "decides 99.70 % of 300 pictures without labels as the Keras model does" in found
        for claim in ("test picture", "pictures right", "accuracy of the Keras model"):
            assert claim not in found.lower(), claim
    assert "loses as much accuracy as it parts with the Keras model at most, 0.90 points" in page
    assert "0.30 0.00 to 0.90" in page
    assert '"dog, wet"' in page
    assert "accuracy costs" not in page


def test_report_of_noise_says_that_no_picture_was_seen(run: Run, bundle: Path, tmp_path: Path) -> None:
    judging = Judging(by="agreement", images="noise")
    change(bundle, scores=3, labels=LABELS, judging=judging)
    page, markdown, said = report(run, bundle, tmp_path)
    for found in (page, markdown.replace("\\", ""), said):
        assert "300 images of noise" in found
        assert "pictures right" not in found
    assert "No picture was seen: how it does on real ones is not known" in page
    assert "Where they disagree most" not in page
    assert "loses as much accuracy" not in page


def test_report_of_embeddings_has_neither_labels_nor_per_cent(run: Run, bundle: Path, tmp_path: Path) -> None:
    judging = Judging(by="cosine", images="unlabelled")
    change(bundle, scores=128, labels=(), head="embedding", judging=judging)
    page, markdown, said = report(run, bundle, tmp_path)
    for found in (page, markdown.replace("\\", ""), said):
        assert "gives embeddings of 300 pictures without labels whose mean cosine" in found
        assert "to the Keras model's is 0.9970" in found
    assert "turns it into 128 numbers, an embedding" in page
    for word in ("Class by class", "Where they disagree most", "accuracy", "99.70 %", "written before"):
        assert word not in page.rpartition(" Glossary ")[0], word
    assert "same nearest picture" in page


def evidence(bundle: Path, variants: int) -> None:
    """Three labels over 300 images: of the second the first variant has lost 40."""
    classes = np.zeros((variants, 4, 3), np.int32)
    classes[:, 0], classes[:, 1] = 300, 280
    classes[0, 2, 1] = 40
    none = {"images": np.zeros((0, 2, 2, 1), np.uint8), "truth": np.zeros(0, np.int32)}
    none |= {"worst": np.zeros((0, 4), np.int32), "probabilities": np.zeros((0, 2, 2), np.float32)}
    np.savez_compressed(bundle / EVIDENCE, allow_pickle=False, classes=classes, **none)


def test_report_of_several_labels_shows_how_each_fares(run: Run, bundle: Path, tmp_path: Path) -> None:
    evidence(bundle, len(Bundle.open(bundle).manifest.variants))
    change(
        bundle,
        scores=3,
        labels=LABELS,
        head="sigmoid",
        judging=Judging(by="label-accuracy"),
        beside={"macro_f1": 0.8765, "auc": 0.9432},
        evidence=FileEntry.of(bundle / EVIDENCE),
    )
    page, markdown, said = report(run, bundle, tmp_path)
    for found in (page, markdown.replace("\\", ""), said):
        assert (
            "gets 99.70 % of the labels of 300 test pictures right, where the Keras model gets 100" in found
        )
    assert "Label by label" in page and "Class by class" not in page
    assert "\N{MINUS SIGN}13.3*" in page
    assert "has lost 13.3 points of 'dog, wet', more than chance would" in page
    assert "says of each of 3 labels whether it has it" in page
    for word in ("macro F1", "0.8765", "AUC", "0.9432", "all labels the same"):
        assert word in page, word
    assert "| macro F1 | AUC |" in markdown
    assert "Where they disagree most" not in page


def test_report_does_not_compare_models_whose_truth_is_not_known(bundle: Path, tmp_path: Path) -> None:
    import shutil

    judging = Judging(by="agreement", images="unlabelled")
    data = {"data": {"name": "mine", "sha256": "5"}}
    other = Path(shutil.copytree(bundle, tmp_path / "other"))
    for folder in (bundle, other):
        change(folder, scores=3, labels=LABELS, judging=judging, provenance=data)
    assert len(facts.gather([bundle, other]).tasks) == 2


def test_report_refuses_figures_that_cannot_be(run: Run, bundle: Path, tmp_path: Path) -> None:
    change(bundle, scores=128, labels=(), head="embedding", judging=Judging(by="cosine", images="noise"))
    manifest = Bundle.open(bundle).manifest
    (bundle / MANIFEST).write_bytes(
        dataclasses.replace(manifest, reference={**manifest.reference, "accuracy": -1.5}).to_bytes()
    )
    status, _, complaints = run("report", bundle, "--out", tmp_path / "r.html")
    assert (status, complaints.count("\n")) == (1, 1)


def test_report_of_a_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.tflite, which does not exist"):
        Given.open(tmp_path / "none.tflite")
