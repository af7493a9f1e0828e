"""A bundle of what was judged, and what labelling needs beside it."""

from __future__ import annotations

import dataclasses
import platform
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewright.export.attestation import provenance, sbom
from edgewright.export.attestation.provenance import Input
from edgewright.export.judging import Conversions, Job, Judgement
from edgewright.export.labelling import kept
from edgewright.export.proof import evidence, tries
from edgewright.runtime import trust
from edgewright.runtime.bundle.manifest import (
    EVIDENCE,
    GOLDEN,
    LABELS,
    MANIFEST,
    PROVENANCE,
    SBOM,
    FileEntry,
    Manifest,
    VariantEntry,
    labels_file,
)
from edgewright.runtime.disk import files
from edgewright.runtime.verification import GOLDEN_BOUNDARY, GOLDEN_INPUTS, GOLDEN_REFERENCE
from edgewright.train import datasets
from edgewright.train.stack import versions

_MADE_WITH = (
    *("edgewright", "tensorflow", "keras", "tf-keras", "tensorflow-model-optimization", "tf2onnx", "onnx"),
    *("onnxruntime", "ai-edge-litert", "numpy"),
)


def assemble(
    job: Job, conversions: Conversions, judgements: Sequence[Judgement], folder: Path
) -> list[VariantEntry]:
    """Write a bundle of all that is to be written into `folder`: files, golden outputs, evidence, manifest.
    Gives its entries; if there are none, nothing is written."""
    source, picked = job.source, conversions.picked
    written = [judgement.written for judgement in judgements if judgement.written]
    if not written:
        return []
    for each in written:
        shutil.copyfile(job.scratch / each.entry.file.file, folder / each.entry.file.file)
    scores: dict[str, NDArray[Any]] = {
        GOLDEN_INPUTS: source.test[picked],
        GOLDEN_REFERENCE: conversions.reference[picked],
    }
    scores |= {each.entry.name: each.golden for each in written}
    if len(conversions.boundary):
        near: dict[str, NDArray[Any]] = {
            GOLDEN_INPUTS: source.test[conversions.boundary],
            GOLDEN_REFERENCE: conversions.reference[conversions.boundary],
            **{each.entry.name: each.boundary for each in written},
        }
        scores |= {f"{GOLDEN_BOUNDARY}{name}": array for name, array in near.items()}
    np.savez_compressed(folder / GOLDEN, allow_pickle=False, **scores)
    judged = [each.evidence for each in written if each.evidence]
    if judged:
        truth = source.head.decisions(conversions.reference) if source.truth is None else source.truth
        evidence.write(folder / EVIDENCE, judged, source.test, truth)
    (folder / LABELS).write_bytes(labels_file(source.labels))
    golden, judgings = FileEntry.of(folder / GOLDEN), FileEntry.of(folder / EVIDENCE) if judged else None
    models = [each.entry.file for each in written]
    (folder / SBOM).write_bytes(sbom.make(source.name, models))
    bill = FileEntry.of(folder / SBOM)
    files_ = [*models, golden, *([judgings] if judgings else []), FileEntry.of(folder / LABELS), bill]
    (folder / PROVENANCE).write_bytes(
        provenance.make(files_, _parameters(job, judgements), _inputs(job), _MADE_WITH)
    )
    manifest = Manifest(
        name=source.name,
        input=source.input,
        labels=source.labels,
        head=source.head.kind,
        threshold=source.head.threshold,
        judging=source.judging,
        golden=golden,
        evidence=judgings,
        slsa_provenance=FileEntry.of(folder / PROVENANCE),
        sbom=bill,
        variants=tuple(each.entry for each in written),
        reference=conversions.figures,
        refused=tuple(j.outcome.refusal() for j in judgements if not j.outcome.is_written),
        calibration={
            "split": source.calibration_split,
            "images": len(source.calibration),
            "seed": job.options.seed,
            "sha256": datasets.digest(source.calibration),
            **({"repair": source.repair.to_json()} if source.repair else {}),
        },
        provenance={
            **source.provenance,
            **{key: limit for key, limit in vars(job.options.limits).items() if limit is not None},
            "machine": platform.machine(),
            "seeds_tried": tries.count(source.model.sha256, job.images_digest(), job.options.seed),
        },
        versions=versions(*_MADE_WITH),
    )
    (folder / MANIFEST).write_bytes(manifest.to_bytes())
    return [each.entry for each in written]


def _parameters(job: Job, judgements: Sequence[Judgement]) -> dict[str, Any]:
    """What the command was told, no path among it."""
    return {
        "command": "edgewright export",
        "model": job.source.model.path.name,
        "variants": [judgement.outcome.name for judgement in judgements],
        **job.options.to_json(),
    }


def _inputs(job: Job) -> list[Input]:
    """What the files were made of, with SHA-256."""
    source, pixels = job.source, "the pixels: uint8, count x height x width x channels"
    model = source.model
    found = [
        Input(name=model.path.name, sha256=model.sha256, of="the file, or names and SHA-256 of its files")
    ]
    if model.code is not None:
        found.append(Input(name=model.code.name, sha256=model.code_sha256))
    data, weights = source.provenance["data"], source.provenance.get("weights", {})
    found.append(Input(name=str(data["name"]), sha256=str(data["sha256"]), of="the data set's arrays"))
    if "sha256" in weights:
        found.append(Input(name=str(weights["name"]), sha256=str(weights["sha256"])))
    images = {"test images": source.test, "calibration images": source.calibration, "pool": source.pool}
    found += [
        Input(name=name, sha256=datasets.digest(each), of=pixels)
        for name, each in images.items()
        if each is not None and len(each)
    ]
    return found


def leave_for_labelling(
    job: Job,
    conversions: Conversions,
    judgements: Sequence[Judgement],
    bundle: Path,
    suffixes: Sequence[str],
) -> tuple[int, int] | None:
    """Leave beside the bundle what `edgewright label` needs, if labels of the pool could let a variant pass.

    Args:
        bundle: the folder that becomes the bundle, filled.

    Returns:
        How many pictures want a label, disputed ones and others; None where that would be of no use.
    """
    source, options = job.source, job.options
    undecided = [judgement.open[0] for judgement in judgements if judgement.open]
    if source.pool is None or not undecided:
        return None
    questions, undecided = kept.choose(source.pool, conversions.of_pool, source.head, undecided, options.seed)
    names = {variant.name for variant in undecided}
    candidates = [
        Judgement(outcome=j.outcome, written=j.open[1]) if j.open and j.open[0].name in names else j
        for j in judgements
    ]
    if not undecided:
        return None
    place = kept.beside(Path(options.out))
    with files.new_folder(place, overwrite=True, ours=kept.ours(suffixes)) as (folder, _):
        assemble(job, conversions, candidates, folder)
        kept.write(
            folder,
            questions,
            undecided,
            max_drop=options.max_drop,
            label_error=options.label_error,
            settings={
                "calibration": datasets.digest(source.calibration),
                "interface": dataclasses.asdict(options.interface),
                "finetune_epochs": options.finetune_epochs,
                "seed": options.seed,
            },
            digest=job.images_digest(),
            bundle=bundle,
            former=place,
        )
        for file in folder.iterdir():
            if file.suffix in suffixes:
                trust.exported(file)
    disputed = int((~questions.agreeing).sum())
    return disputed, len(questions.agreeing) - disputed
