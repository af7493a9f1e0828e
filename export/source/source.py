"""What is exported: a checkpoint that train wrote, or anyone's model with what its file does not say.

Both become a `Source`, and the exporter knows nothing else.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewright.export.finetuning.chains import Training
from edgewright.export.network.model import Facts, Model, kind_of
from edgewright.export.source import calibration as calibrating
from edgewright.export.variants import Variant
from edgewright.runtime.backends import Scores
from edgewright.runtime.contract import InputContract
from edgewright.runtime.disk import files
from edgewright.runtime.errors import CheckpointError, DataError, ExportError, InputError
from edgewright.train import datasets
from edgewright.train.checkpoint import CHECKPOINT, MODEL, Checkpoint
from edgewright.train.datasets import Dataset, Images, Labels
from edgewright.train.datasets.part import Part, open_part
from edgewright.train.normalization import Normalization

Load = Callable[[Model, Sequence[str]], Facts]  # see `edgewright.export.work.protocol.Child.load`


@dataclass(frozen=True, kw_only=True)
class Given:
    """What a user says of a model that is no checkpoint; None and the like where nothing was said.

    `head` is found in the network unless it is given; `calibration` and `test` are folders of pictures
    or .npz files; `unsafe_load` lets Keras run Python code that the file holds.
    """

    labels: Path | None = None
    normalization: Normalization | None = None
    fit: str | None = None
    size: tuple[int, int] | None = None
    head: str | None = None
    calibration: Path | None = None
    test: Path | None = None
    unsafe_load: bool = False


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """Where images come from and which of them calibrate; `data` and `data_dir` as `datasets.load` takes."""

    calibration_size: int
    seed: int
    data: str | None = None
    data_dir: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Source:
    """A model with all that an export needs to know of it.

    `calibration` and `test` are raw pixels, uint8 `(n, height, width, channels)`, none of them for
    calibration where no variant needs any; `training` is there if a variant has passes; `notes` are lines
    for the user.
    """

    name: str
    model: Model
    input: InputContract
    labels: tuple[str, ...]
    head: str
    calibration: Images
    calibration_split: str
    test: Images
    test_labels: Labels
    provenance: Mapping[str, Any]
    training: Training | None = None
    foreign: bool = False
    notes: tuple[str, ...] = ()

    def check(self, scores: Scores) -> None:
        """See that the Keras model's own scores of the test images `(n, classes)` can be compared with.

        Raises:
            CheckpointError, ExportError: they are not finite, all the same, or not what `head` says.
        """
        if not np.isfinite(scores).all():
            if not self.foreign:
                raise CheckpointError(
                    "expected finite scores of the Keras model, got NaN or infinity; train it again"
                )
            raise ExportError(
                "expected finite scores of the model, got NaN or infinity; look at its weights and at "
                "--input-range or --mean and --std"
            )
        if len(scores) > 1 and np.ptp(scores, axis=0).max() == 0:
            raise ExportError(
                f"expected scores that depend on the image, got the same for all {len(scores):,} test "
                "images; look at the model's weights"
            )
        sums = scores.sum(axis=1)
        probabilities = bool((scores >= 0).all() and np.abs(sums - 1).max() < 0.01)
        if self.foreign and probabilities != (self.head == "softmax"):
            other = "softmax" if probabilities else "logits"
            got = (
                "that add up to 1"
                if probabilities
                else f"with sums from {sums.min():.3g} to {sums.max():.3g}"
            )
            raise ExportError(f"expected {self.head}, got scores {got}; add --head {other}")


def open_source(
    path: Path, given: Given, options: DataOptions, variants: Sequence[Variant], load: Load
) -> Source:
    """Open what lies at `path` and have `load` look into its model before any picture is decoded.

    Raises:
        InputError, CheckpointError, DataError, ExportError: it, or what was said of it, cannot be used.
    """
    files.mend(path)
    if (path / CHECKPOINT).exists():
        return _checkpoint(path, given, options, variants, load)
    if kind_of(path) is None:
        got = f"{path}, which does not exist" if not path.exists() else str(path)
        raise InputError(
            "expected a checkpoint folder (edgewright train makes one), a .keras or .h5 file or a SavedModel "
            f"folder, got {got}"
        )
    return _foreign(path, given, options, variants, load)


def _checkpoint(
    folder: Path, given: Given, options: DataOptions, variants: Sequence[Variant], load: Load
) -> Source:
    for field in dataclasses.fields(Given):
        if getattr(given, field.name) != field.default:
            flag = "input-range, --mean, --std or --bgr" if field.name == "normalization" else field.name
            raise InputError(
                f"expected --{flag.replace('_', '-')} with a model file only, got it with {folder}, "
                "a checkpoint, which says so itself; leave it out"
            )
    checkpoint = Checkpoint.open(folder)
    dataset = _dataset_of(checkpoint, options)
    has_passes = any(variant.passes for variant in variants)
    training = Training.of(checkpoint, dataset) if has_passes else None
    chosen = calibrating.choose(
        dataset, checkpoint.validation, checkpoint.seed, options.calibration_size, options.seed
    )
    calibration = dataset.x_train[chosen]
    calibrating.refuse_overlap(calibration, dataset.x_test)
    model = Model.at(folder / MODEL, Normalization.of_range(*checkpoint.input_range))
    facts = load(model, ())
    if (facts.shape, facts.classes) != (checkpoint.input.shape, len(checkpoint.labels)):
        raise CheckpointError(
            f"expected {folder / MODEL} to take {checkpoint.input.shape} and give {len(checkpoint.labels)} "
            f"scores, got {facts.shape} and {facts.classes}"
        )
    return Source(
        name=checkpoint.recipe,
        model=model,
        input=checkpoint.input,
        labels=checkpoint.labels,
        head=checkpoint.head,
        calibration=calibration,
        calibration_split="train",
        test=dataset.x_test,
        test_labels=dataset.y_test,
        training=training,
        provenance={
            "recipe": checkpoint.recipe,
            "model_sha256": checkpoint.model_sha256,
            "data": {key: getattr(checkpoint.data, key) for key in ("name", "sha256", "licence", "citation")},
            **({"weights": dict(checkpoint.weights)} if checkpoint.weights else {}),
        },
    )


def _dataset_of(checkpoint: Checkpoint, options: DataOptions) -> Dataset:
    dataset = datasets.load(
        options.data or checkpoint.data.source,
        options.data_dir,
        contract=checkpoint.input,
        seed=checkpoint.seed,
        skip_bad=checkpoint.data.skip_bad,
    )
    if dataset.sha256 != checkpoint.data.sha256:
        raise CheckpointError(
            f"expected the data the checkpoint was trained on, {checkpoint.data.name} "
            f"({checkpoint.data.sha256[:12]}…), got other data ({dataset.sha256[:12]}…); "
            "say with --data where it lies"
        )
    return dataset


def _foreign(
    path: Path, given: Given, options: DataOptions, variants: Sequence[Variant], load: Load
) -> Source:
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
    _refuse_missing_data(given, options, variants)
    labels = _read_labels(given.labels) if given.labels else None
    model = Model.at(path, given.normalization, size=given.size, unsafe=given.unsafe_load)
    facts = load(model, sorted({variant.format for variant in variants}))
    if labels is not None and len(labels) != facts.classes:
        raise InputError(f"expected {facts.classes} labels, one a score, got {len(labels)} in {given.labels}")
    height, width, channels = facts.shape
    contract = InputContract(height=height, width=width, channels=channels, fit=given.fit or "stretch")
    read = _from_data if options.data else _from_parts
    images = read(given, options, contract, _Classes(labels, facts.classes))
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


def _refuse_missing_data(given: Given, options: DataOptions, variants: Sequence[Variant]) -> None:
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


def _read_labels(path: Path) -> tuple[str, ...]:
    try:
        lines = path.read_text(encoding="utf-8-sig").rstrip().splitlines()
    except (OSError, UnicodeDecodeError) as failure:
        raise InputError(f"cannot read labels from {path}: {failure}") from failure
    labels = tuple(line.strip() for line in lines)
    if "" in labels:
        raise InputError(f"expected a label a line in {path}, got an empty line {labels.index('') + 1}")
    return labels


@dataclass(frozen=True)
class _Classes:
    """Which score stands for which class: `labels` where the user gave them, else only how many."""

    labels: tuple[str, ...] | None
    count: int

    def settle(
        self, folders: Sequence[str], numbers: Labels, where: object
    ) -> tuple[tuple[str, ...], Labels]:
        """The labels of all scores, and `numbers`, which count `folders`, as numbers of scores.

        Without labels, as many class folders as scores are taken in the order of their names, as
        Keras and torchvision read them; fewer must be called by the numbers of their scores.

        Raises:
            DataError: a folder or number that stands for no score.
        """
        if not folders:
            return self.labels or self.numbered, self.checked(numbers, where)
        if self.labels is None and len(folders) == self.count:
            return tuple(folders), numbers
        labels = self.labels or self.numbered
        for folder in folders:
            if labels.count(folder) != 1:
                known = (
                    f"one of {self.count} labels" if self.labels else f"a number from 0 to {self.count - 1}"
                )
                cure = "call folders by the labels" if self.labels else "add --labels"
                raise DataError(f"expected class folders in {where} to be {known}, got '{folder}'; {cure}")
        return labels, np.array([labels.index(folder) for folder in folders], np.int64)[numbers]

    @property
    def numbered(self) -> tuple[str, ...]:
        return tuple(str(i) for i in range(self.count))

    def checked(self, numbers: Labels, where: object) -> Labels:
        if int(numbers.max()) >= self.count:
            raise DataError(
                f"expected class numbers from 0 to {self.count - 1} in {where}, got {int(numbers.max())}"
            )
        return numbers


@dataclass(frozen=True, kw_only=True)
class _Images:
    """The images of a foreign model's export; `split` is where those that calibrate were taken from."""

    labels: tuple[str, ...]
    calibration: Images
    split: str
    test: Images
    test_labels: Labels
    data: Mapping[str, str]


def _from_data(given: Given, options: DataOptions, contract: InputContract, classes: _Classes) -> _Images:
    assert options.data is not None
    dataset = datasets.load(options.data, options.data_dir, contract=contract, seed=options.seed)
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


def _from_parts(given: Given, options: DataOptions, contract: InputContract, classes: _Classes) -> _Images:
    assert given.test is not None
    test = open_part(given.test, contract, (("x", "y"), ("x_test", "y_test")), labelled=True)
    assert test.labels is not None
    labels, numbers = classes.settle(test.classes, test.labels, given.test)
    calibration = np.empty((0, *contract.shape), np.uint8)
    if given.calibration:
        part = open_part(given.calibration, contract, (("x", "y"), ("x_train", "y_train")), labelled=False)
        calibration = part.take(_drawn(part, options))
    pixels = test.all()
    return _Images(
        labels=labels,
        calibration=calibration,
        split=given.calibration.name if given.calibration else "none",
        test=pixels,
        test_labels=numbers,
        data={
            "name": given.test.resolve().name,
            "sha256": datasets.digest(pixels, numbers),
            "licence": "unknown",
            "citation": "unknown",
        },
    )


def _drawn(part: Part, options: DataOptions) -> NDArray[np.intp]:
    return calibrating.draw(np.arange(part.count), part.labels, options.calibration_size, options.seed)
