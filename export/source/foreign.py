"""A model that someone else made, with what the user says of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from edgewright.export import passes
from edgewright.export.finetuning.chains import Training
from edgewright.export.network.model import KERAS, Facts, Model, kind_of
from edgewright.export.source import calibration as calibrating
from edgewright.export.source import images as reading
from edgewright.export.source import repairing
from edgewright.export.source.labels import Classes, read_labels
from edgewright.export.source.options import Options
from edgewright.export.source.source import Load, Source
from edgewright.export.variants import Variant
from edgewright.runtime.console import Progress
from edgewright.runtime.contract import THRESHOLD, InputContract
from edgewright.runtime.contract.heads import Head
from edgewright.runtime.errors import DataError, InputError
from edgewright.train import datasets
from edgewright.train.checkpoint import split

_VALIDATION = 0.1  # of the training pictures: the epoch that passes keep is chosen by them
_SHOWN = 20  # of what was let through


def open_foreign(
    path: Path, options: Options, variants: Sequence[Variant], load: Load, progress: Progress
) -> Source:
    """Raises as `edgewright.export.source.open.open_source`."""
    given = options.given
    _refuse_passes_without_data(path, options, variants)
    if given.normalization is None:
        raise InputError(
            f"expected what {path} wants pixels brought to, got nothing of it; add --input-range 0..1, "
            "-1..1 or 0..255, or --mean and --std"
        )
    _refuse_missing_data(options, variants)
    labels = read_labels(Path(given.labels)) if given.labels else None
    model = Model.at(
        path,
        given.normalization,
        size=given.size,
        unsafe=given.unsafe_load,
        output=given.output,
        code=None if given.code is None else Path(given.code),
    )
    facts = load(model, sorted({variant.format for variant in variants}))
    head = _head(options, facts)
    if labels is not None and len(labels) != head.labels:
        one = "two labels of one sigmoid score, that of a no first" if head.is_binary else "one a score"
        expected = "no labels of an embedding" if head.is_embedding else f"{head.labels} labels, {one}"
        raise InputError(f"expected {expected}, got {len(labels)} in {given.labels}")
    has_passes = any(variant.passes for variant in variants)
    if has_passes and head.kind not in ("softmax", "logits"):
        raise InputError(
            f"expected a model of classes that exclude each other (softmax or logits) for passes, got "
            f"{head.kind} in {path}; leave the passes out"
        )
    height, width, channels = facts.shape
    contract = InputContract(height=height, width=width, channels=channels, fit=given.fit or "stretch")
    images = reading.read(
        options, contract, head, Classes(labels, head), progress, repair=repairing.wanted(options, variants)
    )
    calibrating.refuse_overlap(images.calibration, images.test)
    return Source(
        name=path.resolve().stem,
        model=model,
        input=contract,
        labels=images.labels,
        head=head,
        judging=images.judging,
        calibration=images.calibration,
        calibration_split=images.split,
        test=images.test,
        truth=images.truth,
        repair=images.repair,
        training=_training(images, model, head, options) if has_passes else None,
        provenance={
            "model": {
                "file": path.resolve().name,
                "kind": model.kind,
                "input": facts.input,
                "output": facts.output,
                "normalization": model.normalization.to_json(),
                "unsafe_load": model.unsafe,
                **({"code_sha256": model.code_sha256} if model.code else {}),
            },
            "model_sha256": model.sha256,
            "data": images.data,
        },
        trained_on=images.trained_on,
        foreign=True,
        notes=(*_let_through(path, facts), *_notes(head, images, labels)),
        left_out=images.left_out,
    )


def _refuse_passes_without_data(path: Path, options: Options, variants: Sequence[Variant]) -> None:
    """See that there is what passes train, and with what. Raises `InputError`."""
    for variant in variants:
        if not options.data and any(passes.get(name).labelled for name in variant.passes):
            raise InputError(
                f"expected labelled training pictures for {variant.name}, whose passes train, got none; add "
                f"--data FOLDER (a folder of pictures a class) or a data set, or leave {variant.chain} out"
            )
        given = options.given
        if variant.passes and not (options.data or given.pictures or (given.test and given.calibration)):
            raise InputError(
                f"expected pictures for {variant.name}, whose passes train, got none; add --pictures FOLDER "
                f"(no labels), or --test with --calibration FOLDER, or leave {variant.chain} out"
            )
        if variant.passes and (kind_of(path) != KERAS or options.given.output):
            got = f"one output of {path}" if options.given.output else str(path)
            raise InputError(
                f"expected a .keras or .h5 file of one output for {variant.name}, whose passes train its "
                f"layers, got {got}; leave {variant.chain} out"
            )


def _training(images: reading.Judged, model: Model, head: Head, options: Options) -> Training:
    """What passes of a model of one's own train with: without --data those that calibrate, of no class.

    Raises:
        DataError: too few of them to hold some out.
    """
    dataset = images.dataset
    x = images.calibration if dataset is None else dataset.x_train
    training = Training(
        x=x,
        y=np.zeros(len(x), np.int64) if dataset is None else dataset.y_train,
        groups=None if dataset is None else dataset.groups,
        sha256=datasets.digest(x) if dataset is None else dataset.sha256,
        validation=_VALIDATION,
        seed=options.seed,
        head=head.kind,
        normalization=model.normalization,
    )
    try:
        split(training.y, training.validation, training.seed, training.groups)
    except ValueError as failure:
        got = f"{len(x)} pictures"
        if dataset is None:
            got += " that calibrate, a quarter of --pictures or all of --calibration"
        raise DataError(
            f"expected pictures enough for passes to train with and a tenth of them, of every class, to be "
            f"held out, got {got}; add some, or leave the passes out"
        ) from failure
    return training


def _head(options: Options, facts: Facts) -> Head:
    """What the user says the scores are, else what the network's last operator makes of them."""
    given = options.given
    kind = given.head or facts.head
    threshold = THRESHOLD if given.threshold is None else given.threshold
    if not 0 < threshold < 1:
        raise InputError(f"expected --threshold between 0 and 1, got {threshold:g}")
    head = Head(kind=kind, count=facts.classes, threshold=threshold)
    if given.threshold is not None and not head.is_sigmoid:
        raise InputError(f"expected --threshold with a sigmoid, got it with {kind}; leave it out")
    if facts.classes == 1 and kind in ("softmax", "logits"):
        raise InputError(f"expected at least two scores for {kind}, got one; add --head sigmoid-logits")
    return head


def _let_through(path: Path, facts: Facts) -> Iterator[str]:
    """What `--unsafe-load` was needed for, as a line for the user."""
    if facts.lets_through:
        shown = ", ".join(facts.lets_through[:_SHOWN])
        more = f" and {len(facts.lets_through) - _SHOWN} more" * (len(facts.lets_through) > _SHOWN)
        yield f"--unsafe-load let through what does more than compute in {path}: {shown}{more}"


def _notes(head: Head, images: reading.Judged, labels: Sequence[str] | None) -> Iterator[str]:
    """Lines for the user: what was assumed, and what was not seen."""
    if head.kind == "sigmoid-logits" and head.is_binary:
        yield "the one score is taken for what comes before a sigmoid; --head says otherwise"
    if labels is None and images.labels and images.labels == tuple(map(str, range(head.labels))):
        yield f"no --labels were given: classes are called 0 to {head.labels - 1}"
    if images.judging.images == "noise":
        yield (
            f"no pictures were given: files were judged on {len(images.test)} pictures of noise, which shows "
            "that they compute what the model computes, not how they do on photographs; add --pictures "
            "FOLDER, or --test with labels"
        )
    elif images.judging.by == "agreement":
        yield (
            f"judged on {len(images.test):,} unlabelled pictures: accuracy drops by at most the share on "
            "which a file disagrees with the model, which is held against --max-drop"
        )


def _refuse_missing_data(options: Options, variants: Sequence[Variant]) -> None:
    """See that there are images for what is asked. Raises `InputError`."""
    given = options.given
    named = {"--data": options.data, "--test": given.test, "--pictures": given.pictures}
    used = [flag for flag, value in named.items() if value]
    if len(used) > 1 or (options.data and given.calibration):
        got = " and ".join([*used, *["--calibration"] * bool(options.data and given.calibration)])
        raise InputError(
            f"expected --data, which gives all images, or --test with --calibration, or --pictures, got {got}"
        )
    if not used:
        tried = [v.name for v in variants if not v.is_float]
        if tried:
            raise InputError(
                f"expected pictures for {', '.join(tried)}, got none; add --pictures FOLDER (no labels), "
                "or --test FOLDER (a folder of pictures a class) with --calibration FOLDER"
            )
    static = [variant.name for variant in variants if variant.settings.calibrated]
    if static and given.test and not given.calibration:
        others = ",".join(variant.name for variant in variants if not variant.settings.calibrated)
        raise InputError(
            f"expected calibration images for {', '.join(static)}, got none; add --calibration FOLDER or an "
            f".npz, or leave them out{f' with --variants {others}' if others else ''}"
        )
