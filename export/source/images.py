"""The images that a model of one's own is judged on and calibrated with: labelled, unlabelled, or noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgewright.export.proof.figures import Truth
from edgewright.export.repair.task import Repair
from edgewright.export.source import calibration as calibrating
from edgewright.export.source import repairing
from edgewright.export.source.labels import Classes
from edgewright.export.source.options import Options
from edgewright.runtime.bundle.parity import Judging
from edgewright.runtime.console import Progress
from edgewright.runtime.contract import InputContract
from edgewright.runtime.contract.heads import Head
from edgewright.runtime.errors import DataError
from edgewright.train import datasets
from edgewright.train.datasets import Dataset, Images, Labels
from edgewright.train.datasets.part import Part, open_part

NOISE = 400  # images: with 381 that agree a drop of one point is excluded
MOST_PICTURES = 10_000  # unlabelled ones that are judged on
_CALIBRATION_SHARE = 4  # of unlabelled pictures one in so many calibrates
_TEST_ARRAYS = (("x", "y"), ("x_test", "y_test"))


@dataclass(frozen=True, kw_only=True)
class Judged:
    """Images of a foreign model's export; `split` is where those that calibrate were taken from, `truth` as
    `edgewright.export.proof.gate.judge` takes it, `trained_on` the training images where they are known,
    `dataset` all of a data set, its training classes in the order of the model's scores."""

    labels: tuple[str, ...]
    calibration: Images
    split: str
    test: Images
    truth: Truth | None
    judging: Judging
    data: Mapping[str, str]
    repair: Repair | None = None
    left_out: tuple[str, ...] = ()
    trained_on: Images | None = None
    dataset: Dataset | None = None


def read(
    options: Options,
    contract: InputContract,
    head: Head,
    classes: Classes,
    progress: Progress,
    *,
    repair: bool = False,
) -> Judged:
    """Those that the options name, noise if they name none; with those for a `repair`. Raises `DataError`."""
    found = _read(options, contract, head, classes, progress, repair)
    if not repair or found.repair or not len(found.calibration):
        return found
    by = found.judging.by
    return replace(found, repair=repairing.of_calibration(found.calibration, options, by, found.split))


def _read(
    options: Options,
    contract: InputContract,
    head: Head,
    classes: Classes,
    progress: Progress,
    repair: bool,
) -> Judged:
    given = options.given
    if options.data:
        return _from_data(options, contract, head, classes, progress, repair)
    if given.test and not head.is_embedding:
        return _labelled(options, Path(given.test), contract, head, classes, progress)
    if given.test or given.pictures:
        return _unlabelled(options, contract, head, classes, progress)
    return _noise(options, contract, head, classes)


def _measure(head: Head, *, labelled: bool) -> str:
    if head.is_embedding:
        return "cosine"
    return "agreement" if not labelled else "label-accuracy" if head.is_multi_label else "accuracy"


def _from_data(
    options: Options,
    contract: InputContract,
    head: Head,
    classes: Classes,
    progress: Progress,
    repair: bool,
) -> Judged:
    assert options.data is not None
    dataset = datasets.load(
        options.data, options.data_folder, contract=contract, seed=options.seed, progress=progress
    )
    if dataset.x_test.shape[1:] != contract.shape:
        raise DataError(
            f"expected images {contract.shape} as the model takes them, got {dataset.x_test.shape[1:]} "
            f"in {dataset.name}"
        )
    labels: tuple[str, ...] = ()
    truth: Truth | None = None
    if not head.is_embedding:
        named = dataset.labels != tuple(str(i) for i in range(len(dataset.labels)))
        by_name = named and (classes.labels is None or {*dataset.labels} <= {*classes.labels})
        labels, truth = classes.settle(dataset.labels if by_name else (), dataset.y_test, dataset.name)
    chosen = _draw(len(dataset.x_train), dataset.y_train, options.calibration_size, options.seed)
    calibration, others = dataset.x_train[chosen], np.setdiff1d(np.arange(len(dataset.x_train)), chosen)
    measure = _measure(head, labelled=True)
    known: Truth | None = None
    if not head.is_embedding:
        _, known = classes.settle(dataset.labels if by_name else (), dataset.y_train, dataset.name)
    beside = None
    if repair:
        beside = repairing.beside(
            calibration, dataset.x_test, dataset.x_train, known, others, options, measure, "train"
        )
    return Judged(
        labels=labels,
        calibration=calibration,
        repair=beside,
        split="train",
        test=dataset.x_test,
        truth=truth,
        judging=Judging(by=measure),
        trained_on=dataset.x_train,
        dataset=None if known is None else replace(dataset, y_train=known),
        data={key: getattr(dataset, key) for key in ("name", "sha256", "licence", "citation")},
    )


def _labelled(
    options: Options,
    place: Path,
    contract: InputContract,
    head: Head,
    classes: Classes,
    progress: Progress,
) -> Judged:
    test = open_part(place, contract, _TEST_ARRAYS, progress, labelled=True)
    assert test.labels is not None
    labels, truth = classes.settle(test.classes, test.labels, place)
    calibration, split = _calibration(options, contract, progress)
    pixels = test.all()
    return Judged(
        labels=labels,
        calibration=calibration,
        split=split,
        test=pixels,
        truth=truth,
        judging=Judging(by=_measure(head, labelled=True)),
        data=_data(place.resolve().name, datasets.digest(pixels, truth)),
    )


def _calibration(options: Options, contract: InputContract, progress: Progress) -> tuple[Images, str]:
    given = options.given
    if not given.calibration:
        return np.empty((0, *contract.shape), np.uint8), "none"
    place = Path(given.calibration)
    part = open_part(place, contract, (("x", "y"), ("x_train", "y_train")), progress, labelled=False)
    return part.take(_draw(part.count, part.labels, options.calibration_size, options.seed)), place.name


def _draw(count: int, labels: Labels | None, size: int, seed: int) -> NDArray[np.intp]:
    """As `calibrating.draw`; images of several labels are drawn without regard to these."""
    single = labels if labels is not None and labels.ndim == 1 else None
    return calibrating.draw(np.arange(count), single, size, seed)


def _unlabelled(
    options: Options, contract: InputContract, head: Head, classes: Classes, progress: Progress
) -> Judged:
    """Of pictures without labels a part calibrates, unless others are given for that, and the rest judges."""
    given = options.given
    place = Path(given.pictures or given.test or "")
    part = open_part(place, contract, _TEST_ARRAYS, progress, labelled=False)
    order = np.random.default_rng(options.seed).permutation(part.count)
    calibration, split = _calibration(options, contract, progress)
    if not given.calibration:
        count = min(options.calibration_size, part.count // _CALIBRATION_SHARE)
        calibration, split = part.take(np.sort(order[:count])), f"{place.name}, apart from those that judge"
        order = order[count:]
    if not len(order):
        raise DataError(f"expected at least two pictures in {place}, got {part.count}")
    test = _without(part.take(np.sort(order[:MOST_PICTURES])), calibration, place)
    return Judged(
        labels=classes.labels or classes.numbered,
        calibration=calibration,
        split=split,
        test=test,
        truth=None,
        judging=Judging(by=_measure(head, labelled=False), images="unlabelled"),
        data=_data(place.resolve().name, datasets.digest(test)),
        left_out=_left(part, test, calibration, order),
    )


def _without(test: Images, calibration: Images, place: Path) -> Images:
    """Pictures that do not calibrate too, as the same one may lie in a folder twice. Raises `DataError`."""
    known = {image.tobytes() for image in calibration}
    kept = [i for i, image in enumerate(test) if image.tobytes() not in known]
    if not kept:
        raise DataError(f"expected different pictures in {place}, got the same one again and again")
    return test if len(kept) == len(test) else test[kept]


def _left(part: Part, test: Images, calibration: Images, order: NDArray[np.intp]) -> tuple[str, ...]:
    beyond = len(order) - MOST_PICTURES
    twice = min(len(order), MOST_PICTURES) - len(test)
    lines = []
    if beyond > 0:
        lines.append(f"{beyond:,} of {part.count:,} pictures, as {MOST_PICTURES:,} are judged on at most")
    if twice > 0:
        lines.append(f"{twice:,} pictures that calibrate already")
    return tuple(lines)


def _noise(options: Options, contract: InputContract, head: Head, classes: Classes) -> Judged:
    test = noise(contract, NOISE, options.seed)
    return Judged(
        labels=classes.labels or classes.numbered,
        calibration=np.empty((0, *contract.shape), np.uint8),
        split="none",
        test=test,
        truth=None,
        judging=Judging(by=_measure(head, labelled=False), images="noise"),
        data={"name": "seeded noise", "sha256": datasets.digest(test), "licence": "none", "citation": "none"},
    )


def noise(contract: InputContract, count: int, seed: int) -> Images:
    """Pictures of nothing, uint8 `(count, height, width, channels)`: colour patches of random size, place,
    brightness and contrast, from single pixels to a whole picture, as networks answer the same to any
    picture of plain noise."""
    random = np.random.default_rng(seed)
    size = (contract.width, contract.height)
    made = np.empty((count, *contract.shape), np.uint8)
    for image in made:
        total = np.zeros(contract.shape, np.float32)
        for cells in random.choice((2, 3, 5, 9, 17, 33, 65), 3, replace=False):
            grid = random.integers(0, 256, (cells, cells, contract.channels), np.uint8)
            for channel in range(contract.channels):
                patch = Image.fromarray(grid[..., channel]).resize(size, Image.Resampling.BICUBIC)
                total[..., channel] += np.asarray(patch, np.float32) - 128
        total *= random.uniform(0.4, 1.6)
        total += random.uniform(64, 192) + random.normal(0, random.uniform(0, 20), contract.shape)
        image[...] = np.clip(np.round(total), 0, 255).astype(np.uint8)
    return made


def _data(name: str, sha256: str) -> dict[str, str]:
    return {"name": name, "sha256": sha256, "licence": "unknown", "citation": "unknown"}
