"""A checkpoint that train wrote, with the data it was trained on."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgewright.export.finetuning.chains import Training
from edgewright.export.network.model import Model
from edgewright.export.source import calibration as calibrating
from edgewright.export.source import repairing
from edgewright.export.source.options import Given, Options
from edgewright.export.source.source import Load, Source
from edgewright.export.variants import Variant
from edgewright.runtime.bundle.parity import Judging
from edgewright.runtime.console import Progress
from edgewright.runtime.contract.heads import Head
from edgewright.runtime.errors import CheckpointError, InputError
from edgewright.train import datasets
from edgewright.train.checkpoint import MODEL, Checkpoint, split
from edgewright.train.datasets import Dataset
from edgewright.train.normalization import Normalization


def open_checkpoint(
    folder: Path, options: Options, variants: Sequence[Variant], load: Load, progress: Progress
) -> Source:
    """Raises as `edgewright.export.source.open.open_source`."""
    for field in dataclasses.fields(Given):
        if getattr(options.given, field.name) != field.default:
            flag = "input-range, --mean, --std or --bgr" if field.name == "normalization" else field.name
            raise InputError(
                f"expected --{flag.replace('_', '-')} with a model file only, got it with {folder}, "
                "a checkpoint, which says so itself; leave it out"
            )
    checkpoint = Checkpoint.open(folder)
    dataset = _dataset_of(checkpoint, options, progress)
    has_passes = any(variant.passes for variant in variants)
    if has_passes and checkpoint.head not in ("softmax", "logits"):
        raise InputError(
            f"expected a model of classes that exclude each other (softmax or logits) for passes, got "
            f"{checkpoint.head} in {folder}; leave the passes out"
        )
    normalization = Normalization.of_range(*checkpoint.input_range)
    training = None
    if has_passes:
        training = Training(
            x=dataset.x_train,
            y=dataset.y_train,
            groups=dataset.groups,
            sha256=dataset.sha256,
            validation=checkpoint.validation,
            seed=checkpoint.seed,
            head=checkpoint.head,
            normalization=normalization,
            recipe=checkpoint.recipe,
        )
    chosen = calibrating.choose(
        dataset, checkpoint.validation, checkpoint.seed, options.calibration_size, options.seed
    )
    calibration = dataset.x_train[chosen]
    calibrating.refuse_overlap(calibration, dataset.x_test)
    model = Model.at(folder / MODEL, normalization)
    facts = load(model, ())
    head = Head(kind=checkpoint.head, count=facts.classes, threshold=checkpoint.threshold)
    measure = "label-accuracy" if head.is_multi_label else "accuracy"
    repair = None
    if repairing.wanted(options, variants):
        trained, _ = split(dataset.y_train, checkpoint.validation, checkpoint.seed, dataset.groups)
        others = np.setdiff1d(trained, chosen)
        pictures, truth = dataset.x_train, dataset.y_train
        repair = repairing.beside(
            calibration, dataset.x_test, pictures, truth, others, options, measure, "train"
        )
    if (facts.shape, head.labels) != (checkpoint.input.shape, len(checkpoint.labels)):
        raise CheckpointError(
            f"expected {folder / MODEL} to take {checkpoint.input.shape} and give {len(checkpoint.labels)} "
            f"labels, got {facts.shape} and {head.labels}"
        )
    return Source(
        name=checkpoint.recipe,
        model=model,
        input=checkpoint.input,
        labels=checkpoint.labels,
        head=head,
        judging=Judging(by=measure),
        calibration=calibration,
        calibration_split="train",
        test=dataset.x_test,
        truth=dataset.y_test,
        repair=repair,
        training=training,
        trained_on=dataset.x_train,
        left_out=dataset.left_out,
        provenance={
            "recipe": checkpoint.recipe,
            "model_sha256": checkpoint.model_sha256,
            "data": {key: getattr(checkpoint.data, key) for key in ("name", "sha256", "licence", "citation")},
            **({"weights": dict(checkpoint.weights)} if checkpoint.weights else {}),
        },
    )


def _dataset_of(checkpoint: Checkpoint, options: Options, progress: Progress) -> Dataset:
    dataset = datasets.load(
        options.data or checkpoint.data.source,
        options.data_folder,
        contract=checkpoint.input,
        seed=checkpoint.seed,
        skip_bad=checkpoint.data.skip_bad,
        progress=progress,
    )
    if dataset.sha256 != checkpoint.data.sha256:
        raise CheckpointError(
            f"expected the data the checkpoint was trained on, {checkpoint.data.name} "
            f"({checkpoint.data.sha256[:12]}…), got other data ({dataset.sha256[:12]}…); "
            "say with --data where it lies"
        )
    return dataset
