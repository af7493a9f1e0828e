"""A model that someone else made, with what the user says of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgewright.export.network.model import Model
from edgewright.export.source import calibration as calibrating
from edgewright.export.source.labels import Classes, read_labels
from edgewright.export.source.options import Options
from edgewright.export.source.source import Load, Source
from edgewright.export.variants import Variant
from edgewright.runtime.console import Progress
from edgewright.runtime.contract import InputContract
from edgewright.runtime.errors import DataError, InputError
from edgewright.train import datasets
from edgewright.train.datasets import Images, Labels
from edgewright.train.datasets.part import open_part


def open_foreign(
    path: Path, options: Options, variants: Sequence[Variant], load: Load, progress: Progress
) -> Source:
    """Raises as `edgewright.export.source.open.open_source`."""
    given = options.given
    for variant in variants:
        if variant.passes:
            raise InputError(
                f"expected a checkpoint for {variant.name}, whose data and recipe its passes train with, got "
                f"{path}; make one with edgewright train --model, or leave {variant.chain} out"
            )
    if given.normalization is None:
        raise InputError(
            f"expected what {path} wants pixels brought to, got nothing of it; add --input-range 0..1, "
            "-1..1 or 0..255, or --mean and --std"
        )
    _refuse_missing_data(options, variants)
    labels = read_labels(Path(given.labels)) if given.labels else None
    model = Model.at(path, given.normalization, size=given.size, unsafe=given.unsafe_load)
    facts = load(model, sorted({variant.format for variant in variants}))
    if labels is not None and len(labels) != facts.classes:
        raise InputError(f"expected {facts.classes} labels, one a score, got {len(labels)} in {given.labels}")
    height, width, channels = facts.shape
    contract = InputContract(height=height, width=width, channels=channels, fit=given.fit or "stretch")
    read = _from_data if options.data else _from_parts
    images = read(options, contract, Classes(labels, facts.classes), progress)
    calibrating.refuse_overlap(images.calibration, images.test)
    notes: tuple[str, ...] = ()
    if labels is None and images.labels == tuple(str(i) for i in range(facts.classes)):
        notes = (f"no --labels were given: classes are called 0 to {facts.classes - 1}",)
    return Source(
        name=path.resolve().stem,
        model=model,
        input=contract,
        labels=images.labels,
        head=given.head or facts.head,
        calibration=images.calibration,
        calibration_split=images.split,
        test=images.test,
        test_labels=images.test_labels,
        provenance={
            "model": {
                "file": path.resolve().name,
                "kind": model.kind,
                "input": facts.input,
                "output": facts.output,
                "normalization": model.normalization.to_json(),
                "unsafe_load": model.unsafe,
            },
            "model_sha256": model.sha256,
            "data": images.data,
        },
        foreign=True,
        notes=notes,
    )


def _refuse_missing_data(options: Options, variants: Sequence[Variant]) -> None:
    given = options.given
    if options.data and (given.calibration or given.test):
        raise InputError(
            "expected either --data, which gives both parts, or --calibration and --test, got both"
        )
    if not options.data and not given.test:
        raise InputError(
            "expected labelled test images, without which nothing can be proven, got none; add --test FOLDER "
            "(a folder of pictures a class) or an .npz, or --data"
        )
    static = [variant.name for variant in variants if variant.settings.calibrated]
    if static and not options.data and not given.calibration:
        others = ",".join(variant.name for variant in variants if not variant.settings.calibrated)
        raise InputError(
            f"expected calibration images for {', '.join(static)}, got none; add --calibration FOLDER or an "
            f".npz, or leave them out{f' with --variants {others}' if others else ''}"
        )


@dataclass(frozen=True, kw_only=True)
class _Images:
    """The images of a foreign model's export; `split` is where those that calibrate were taken from."""

    labels: tuple[str, ...]
    calibration: Images
    split: str
    test: Images
    test_labels: Labels
    data: Mapping[str, str]


def _from_data(options: Options, contract: InputContract, classes: Classes, progress: Progress) -> _Images:
    assert options.data is not None
    dataset = datasets.load(
        options.data, options.data_folder, contract=contract, seed=options.seed, progress=progress
    )
    if dataset.x_test.shape[1:] != contract.shape:
        raise DataError(
            f"expected images {contract.shape} as the model takes them, got {dataset.x_test.shape[1:]} "
            f"in {dataset.name}"
        )
    named = dataset.labels != tuple(str(i) for i in range(len(dataset.labels)))
    by_name = named and (classes.labels is None or {*dataset.labels} <= {*classes.labels})
    labels, test_labels = classes.settle(dataset.labels if by_name else (), dataset.y_test, dataset.name)
    chosen = calibrating.draw(
        np.arange(len(dataset.x_train)), dataset.y_train, options.calibration_size, options.seed
    )
    return _Images(
        labels=labels,
        calibration=dataset.x_train[chosen],
        split="train",
        test=dataset.x_test,
        test_labels=test_labels,
        data={key: getattr(dataset, key) for key in ("name", "sha256", "licence", "citation")},
    )


def _from_parts(options: Options, contract: InputContract, classes: Classes, progress: Progress) -> _Images:
    given = options.given
    assert given.test is not None
    folder = Path(given.test)
    test = open_part(folder, contract, (("x", "y"), ("x_test", "y_test")), progress, labelled=True)
    assert test.labels is not None
    labels, numbers = classes.settle(test.classes, test.labels, folder)
    calibration, split = np.empty((0, *contract.shape), np.uint8), "none"
    if given.calibration:
        split = Path(given.calibration).name
        names = (("x", "y"), ("x_train", "y_train"))
        part = open_part(Path(given.calibration), contract, names, progress, labelled=False)
        chosen = calibrating.draw(np.arange(part.count), part.labels, options.calibration_size, options.seed)
        calibration = part.take(chosen)
    pixels = test.all()
    return _Images(
        labels=labels,
        calibration=calibration,
        split=split,
        test=pixels,
        test_labels=numbers,
        data={
            "name": folder.resolve().name,
            "sha256": datasets.digest(pixels, numbers),
            "licence": "unknown",
            "citation": "unknown",
        },
    )
