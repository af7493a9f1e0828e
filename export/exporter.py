"""A model to a bundle: convert in a child, score in workers, judge, and assemble."""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import platform
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewright.export import formats
from edgewright.export import variants as known_variants
from edgewright.export.finetuning.chains import FineTuned, fine_tune
from edgewright.export.labelling import kept
from edgewright.export.labelling.kept import Undecided, consider
from edgewright.export.network.model import KERAS, kind_of
from edgewright.export.proof import evidence, gate, golden
from edgewright.export.proof.figures import Truth, own_figures
from edgewright.export.source.open import open_source, usual
from edgewright.export.source.options import Options
from edgewright.export.source.source import Source
from edgewright.export.variants import Variant
from edgewright.export.work.events import Converted, Failed
from edgewright.export.work.protocol import REFERENCE, TEST
from edgewright.export.work.score import Scored, Scorer, scorer
from edgewright.export.work.steps import Steps
from edgewright.runtime import backends, plugins, trust
from edgewright.runtime.backends import Scores
from edgewright.runtime.bundle.manifest import (
    EVIDENCE,
    GOLDEN,
    LABELS,
    MANIFEST,
    FileEntry,
    Judging,
    Manifest,
    ParityReport,
    VariantEntry,
    labels_file,
)
from edgewright.runtime.console import Progress, silent
from edgewright.runtime.disk import files
from edgewright.runtime.errors import InputError, MissingExtraError, ModelFileError
from edgewright.runtime.verification import GOLDEN_INPUTS, GOLDEN_REFERENCE
from edgewright.train import datasets
from edgewright.train.stack import versions

FAR_BELOW = (
    "an accuracy of the float model far below what its author states means a wrong --input-range, --mean and "
    "--std, --bgr or order of labels"
)
_MADE_WITH = (
    *("edgewright", "tensorflow", "keras", "tf-keras", "tensorflow-model-optimization", "tf2onnx", "onnx"),
    *("onnxruntime", "ai-edge-litert", "numpy"),
)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One variant that was tried: its report and sizes, or only the `reason` it could not be judged;
    `is_written` if its file is in the bundle, as of all that passed, and if asked for, what is not proven."""

    name: str
    reason: str = ""
    bytes: int = 0
    gzip_bytes: int = 0
    parity: ParityReport | None = None
    is_written: bool = False

    @property
    def passed(self) -> bool:
        return self.parity is not None and self.parity.is_proven

    def refusal(self) -> dict[str, Any]:
        """What the manifest says of a variant that was left out."""
        parity = dataclasses.asdict(self.parity) if self.parity else None
        sizes = {"bytes": self.bytes, "gzip_bytes": self.gzip_bytes}
        return {"name": self.name, "reason": self.reason, **sizes, "parity": parity}


@dataclass(frozen=True, kw_only=True)
class Result:
    """What an export did; `reference` are the float model's own figures. The bundle holds what `is_written`;
    `notes` are lines that a user should read below the figures, `left_out` says what is wrong with pictures
    that were left out; `wanted` how many pictures want a label, disputed ones and others, where labels could
    let more pass."""

    reference: Mapping[str, Any]
    judging: Judging
    outcomes: Sequence[Outcome]
    notes: Sequence[str] = ()
    left_out: Sequence[str] = ()
    wanted: tuple[int, int] | None = None


def export(path: Path | str, options: Options, progress: Progress = silent) -> Result:
    """Export a checkpoint or a model to a bundle at `options.out`; none is written if no variant is.

    Args:
        path: a checkpoint folder that `train` wrote, a .keras, .h5 or .onnx file, or a SavedModel folder.
        options: what to write, on which images, and what the model does not say itself.
        progress: is told how far the work is.

    Returns:
        What became of each variant; a refused one is no error, so look at it.

    Raises:
        UnknownNameError, CheckpointError, DataError, OutputError, InputError, MissingExtraError: before any
            work is done.
        ExportError: the model cannot be loaded, run or written in the formats asked for.
    """
    kind = kind_of(Path(path)) or KERAS  # which a checkpoint holds
    asked = options.variants
    variants = known_variants.parse(asked, kind) if asked else usual(Path(path), options)
    known_variants.check(variants, kind, path)
    _check(options, variants, kind)
    out = Path(options.out)
    ours = (MANIFEST, GOLDEN, EVIDENCE, LABELS, *(f"*{formats.get(f).suffix}" for f in formats.names()))
    files.check_output(out, overwrite=options.overwrite, ours=ours)
    suffixes = [formats.get(f).suffix for f in formats.names()]
    if options.pool is not None:
        files.check_output(kept.beside(out), overwrite=True, ours=kept.ours(suffixes))
    with Steps(options.interface) as steps:
        source = open_source(Path(path), options, variants, steps.load, progress)
        if options.limits.need_labels and (source.truth is None or source.head.is_embedding):
            got = "an embedding" if source.head.is_embedding else f"{source.judging.images} ones"
            raise InputError(
                "expected labelled test images for --max-class-drop and --max-calibration-drop, got "
                f"{got}; give --test with labels, or leave the limit out"
            )
        asked_for, variants = variants, known_variants.with_mixed(variants) if source.repair else variants
        with files.new_folder(out, overwrite=options.overwrite, ours=ours) as (folder, scratch):
            epochs, seed = options.finetune_epochs, options.seed
            fine_tuned = fine_tune(source.model, source.training, variants, epochs, seed, scratch, progress)
            job = Job(
                source=source, options=options, variants=variants, fine_tuned=fine_tuned, scratch=scratch
            )
            job.write_images()
            done = 0

            def advance(note: str) -> None:
                nonlocal done
                progress("exporting", done, 2 * len(variants), note)
                done += 1

            advance("")
            with scorer(scratch / TEST) as workers:
                conversions = convert(job, steps, workers, advance)
                judgements = []
                for variant in variants:
                    if variant in asked_for or not conversions.is_needless(variant):
                        judgements.append(judge(job, conversions, variant))
                    advance(f"{variant.name} judged")
                judgements = point_to_mixed(judgements)
            entries = assemble(job, conversions, judgements, folder)
            wanted = leave_for_labelling(job, conversions, judgements, folder, suffixes)
    for entry in entries:
        trust.remember(out / entry.file.file)  # it was run here, on all test images
    return Result(
        reference=conversions.figures,
        outcomes=[judgement.outcome for judgement in judgements],
        judging=source.judging,
        notes=(*source.notes, *([FAR_BELOW] if source.foreign and source.truth is not None else [])),
        left_out=source.left_out,
        wanted=wanted,
    )


def _check(options: Options, variants: Sequence[Variant], kind: str) -> None:
    """See that the options can be used and all packages are there."""
    if not 0 <= options.max_drop < 1:
        raise InputError(
            f"expected a largest drop from 0 up to 1 (0.01 is one point), got {options.max_drop:g}"
        )
    shares = (options.max_class_drop, options.min_agreement, options.max_calibration_drop)
    for name, share in zip(
        ("--max-class-drop", "--min-agreement", "--max-calibration-drop"), shares, strict=True
    ):
        if share is not None and not 0 <= share <= 1:
            raise InputError(f"expected a share from 0 to 1 for {name} (0.01 is one point), got {share:g}")
    if not 0 <= options.label_error < 0.5:
        raise InputError(
            f"expected a --label-error from 0 to below 0.5, got {options.label_error:g}: such labels tell "
            "nothing"
        )
    if options.pool is not None and options.keep_unproven:
        raise InputError(
            "expected --pool or --keep-unproven, got both: labels may still prove what would be kept unproven"
        )
    if options.finetune_epochs < 1:
        raise InputError(f"expected --finetune-epochs of at least 1, got {options.finetune_epochs}")
    passing = ("tf_keras", "tensorflow_model_optimization") if any(v.passes for v in variants) else ()
    written = [formats.get(variant.format) for variant in variants]
    needed = (module for each in written for module in (*each.takes[kind], *each.modules))
    for module in (*passing, *needed):
        if not plugins.installed(module):
            raise MissingExtraError(f"{module}, which export needs,", "export")
    mixed = next((variant.name for variant in variants if variant.settings.mixed), None)
    if mixed and not options.repair:
        raise InputError(f"expected --repair with {mixed}, which is what it makes, got --no-repair")
    if not 0 <= options.seed < 2**32:
        raise InputError(f"expected a seed from 0 to {2**32 - 1}, got {options.seed}")


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is exported, and into what; `fine_tuned` by `Variant.chain`, files are made in `scratch`."""

    source: Source
    options: Options
    variants: Sequence[Variant]
    fine_tuned: Mapping[str, FineTuned]
    scratch: Path

    def places(self, *variants: Variant) -> NDArray[np.intp]:
        """The test images that all the variants are judged on, in their order: all, or as many as the
        slowest allows, of which those of a slower one are a part."""
        count = len(self.source.test)
        most = min(variant.settings.most_samples or count for variant in variants)
        return np.sort(np.random.default_rng(self.options.seed).permutation(count)[:most])

    def in_pool(self, variant: Variant) -> NDArray[np.intp]:
        """Where the pictures of the pool that a variant is judged on lie behind the test images: all, or
        none of a slow one."""
        pool, first = self.source.pool, len(self.source.test)
        skipped = pool is None or variant.settings.most_samples
        return np.arange(first, first if skipped or pool is None else first + len(pool))

    def write_images(self) -> None:
        """Put what is scored into `scratch`: the test images, and behind them the pool."""
        parts = [self.source.test, *([] if self.source.pool is None else [self.source.pool])]
        shape = (sum(map(len, parts)), *self.source.test.shape[1:])
        images = np.lib.format.open_memmap(self.scratch / TEST, "w+", np.uint8, shape)
        np.concatenate(parts, out=images)
        images.flush()

    def images_digest(self) -> str:
        """SHA-256 of what is scored."""
        return datasets.digest(self.source.test, *([] if self.source.pool is None else [self.source.pool]))

    def truth(self, places: NDArray[np.intp]) -> Truth | None:
        """That of the test images at `places`, None where it is not known."""
        return None if self.source.truth is None else self.source.truth[places]


@dataclass(frozen=True, kw_only=True)
class Conversions:
    """What converting gave: the model's own scores of all test images, and `of_pool`, with its `figures`,
    and by the name of each variant how its file was made and what waits for its scores, or why there is no
    file; `picked` are the places of the golden images."""

    reference: Scores
    of_pool: Scores
    figures: Mapping[str, Any]
    picked: NDArray[np.intp]
    made: Mapping[str, tuple[Mapping[str, Any], Callable[[], Scored]]]
    failed: Mapping[str, str]
    needless: frozenset[str] = frozenset()

    def is_needless(self, variant: Variant) -> bool:
        """Whether it is one of float32 beside 8 bits that is not needed, or that there is nothing beside."""
        plain = variant.name.removesuffix("-mixed")
        return variant.name in self.needless or (plain != variant.name and plain in self.failed)


@dataclass(frozen=True, kw_only=True)
class Written:
    """What a bundle holds of a variant: its entry, its scores of the golden images, its evidence, which
    embeddings have none of."""

    entry: VariantEntry
    golden: Scores
    evidence: evidence.Judged | None


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What became of a variant; `written` where its file goes into the bundle, `open` where labels of the
    pool could let it."""

    outcome: Outcome
    written: Written | None = None
    open: tuple[Undecided, Written] | None = None


def convert(job: Job, steps: Steps, workers: Scorer, advance: Callable[[str], None]) -> Conversions:
    """Have all files made, and each scored as soon as it is there.

    Raises:
        ExportError: nothing can be converted, or the model's own scores cannot be compared with.
    """
    source, test = job.source, job.images_digest()
    by_name = {variant.name: variant for variant in job.variants}
    made: dict[str, tuple[Mapping[str, Any], Callable[[], Scored]]] = {}
    failed: dict[str, str] = {}
    needless: set[str] = set()
    events = steps.convert(
        job.scratch,
        source.model,
        job.variants,
        {name: source.contract(name) for name in by_name},
        source.calibration,
        test,
        {chain: result.model for chain, result in job.fine_tuned.items()},
        source.repair,
    )
    with contextlib.closing(events):
        for event in events:
            if isinstance(event, Converted):
                variant = by_name[event.variant]
                places = np.concatenate([job.places(variant), job.in_pool(variant)])
                scored = steps.score(workers, job.scratch / variant.file, test, places)
                made[event.variant] = (event.conversion, scored)
            elif isinstance(event, Failed):
                failed[event.variant] = event.reason
                needless |= {event.variant} if event.needless else set()
            if isinstance(event, Converted | Failed):
                advance(f"{event.variant} {'not needed' if event.variant in needless else 'converted'}")
    reference = np.load(job.scratch / REFERENCE)
    source.check(reference)
    reference, of_pool = np.split(reference, [len(source.test)])
    common = job.places(*job.variants)
    picked = common[golden.pick(source.head, reference[common], job.truth(common))]
    size, gzip_size = source.model.sizes()
    figures = {
        "samples": len(reference),
        **own_figures(source.head, reference, source.truth),
        "bytes": size,
        "gzip_bytes": gzip_size,
        "model_sha256": source.model.sha256,
    }
    return Conversions(
        reference=reference,
        of_pool=of_pool,
        figures=figures,
        picked=picked,
        made=made,
        failed=failed,
        needless=frozenset(needless),
    )


def judge(job: Job, conversions: Conversions, variant: Variant) -> Judgement:
    """Wait for a variant's scores and compare them with the model's own. Raises `ExportError`: there are none
    because a worker was killed."""
    name, source = variant.name, job.source
    if name not in conversions.made:
        return Judgement(outcome=Outcome(name=name, reason=conversions.failed.get(name, "")))
    conversion, wait = conversions.made[name]
    try:
        scored = wait()
    except ModelFileError as failure:
        return Judgement(outcome=Outcome(name=name, reason=f"cannot be run: {failure}"))
    if not np.isfinite(scored.scores).all():
        return Judgement(outcome=Outcome(name=name, reason="gives scores that are NaN or infinite"))
    path, places, settings = job.scratch / variant.file, job.places(variant), variant.settings
    reference, truth = conversions.reference[places], job.truth(places)
    scores, of_pool = np.split(scored.scores, [len(places)])
    limits, by = job.options.limits, source.judging.by
    parity = gate.judge(source.head, reference, scores, truth, limits, by, source.labels)
    undecided: Undecided | str = ""
    if truth is not None and by == "accuracy" and parity.verdict == "not proven":
        others, most = dataclasses.replace(limits, max_drop=1.0), (limits.max_drop, job.options.label_error)
        settles = gate.judge(source.head, reference, scores, truth, others, by, source.labels).is_proven
        if not len(of_pool):
            undecided = kept.forecast(source.head, reference, scores, truth, *most) if settles else ""
        elif settles:
            both = ((reference, conversions.of_pool), (scores, of_pool))
            undecided = consider(name, source.head, *both, truth, *most)
        else:
            undecided = "judged on the test alone, as a pool settles the accuracy drop only"
        if isinstance(undecided, str) and undecided:
            parity = dataclasses.replace(parity, reason=f"{parity.reason}; {undecided}")
    is_flagged = job.options.keep_unproven and parity.verdict == "not proven"
    if is_flagged:
        contract = dataclasses.replace(source.contract(name), verdict=parity.verdict)
        formats.get(variant.format).attach(path, contract)
    outcome = Outcome(
        name=name,
        reason=parity.reason,
        bytes=path.stat().st_size,
        gzip_bytes=len(gzip.compress(path.read_bytes(), mtime=0)),
        parity=parity,
        is_written=parity.is_proven or is_flagged,
    )
    if not outcome.is_written and not isinstance(undecided, Undecided):
        return Judgement(outcome=outcome)
    reader = backends.for_path(path)
    training = {"passes": list(job.fine_tuned[variant.chain].record)} if variant.passes else {}
    entry = VariantEntry(
        name=name,
        format=variant.format,
        scheme=variant.scheme,
        arithmetic=settings.arithmetic,
        rank=settings.rank,
        file=FileEntry.of(path),
        gzip_bytes=outcome.gzip_bytes,
        input=scored.input,
        output=scored.output,
        tolerance=golden.tolerance(
            settings.repeats, scored.kernels, scored.output.scale, parity.max_abs_error
        ),
        parity=parity,
        passes=variant.passes,
        peak_activation_bytes=reader.graph(reader.read(path)).peak_bytes(),
        conversion={"scheme": settings.summary, **conversion, **training},
    )
    found = Written(
        entry=entry,
        golden=scores[np.searchsorted(places, conversions.picked)],
        evidence=evidence.look(source.head, reference, scores, truth, places),
    )
    if isinstance(undecided, Undecided):
        return Judgement(outcome=outcome, open=(undecided, found))
    return Judgement(outcome=outcome, written=found)


def point_to_mixed(judgements: Sequence[Judgement]) -> list[Judgement]:
    """Say of each 8-bit file that was left out which one beside it was not."""
    written = {judgement.outcome.name for judgement in judgements if judgement.written}
    return [
        judgement
        if judgement.written or f"{judgement.outcome.name}-mixed" not in written
        else replace(
            judgement,
            outcome=replace(
                judgement.outcome, reason=f"{judgement.outcome.reason}; see {judgement.outcome.name}-mixed"
            ),
        )
        for judgement in judgements
    ]


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
    np.savez_compressed(folder / GOLDEN, allow_pickle=False, **scores)
    judged = [each.evidence for each in written if each.evidence]
    if judged:
        truth = source.head.decisions(conversions.reference) if source.truth is None else source.truth
        evidence.write(folder / EVIDENCE, judged, source.test, truth)
    (folder / LABELS).write_bytes(labels_file(source.labels))
    manifest = Manifest(
        name=source.name,
        input=source.input,
        labels=source.labels,
        head=source.head.kind,
        threshold=source.head.threshold,
        judging=source.judging,
        golden=FileEntry.of(folder / GOLDEN),
        evidence=FileEntry.of(folder / EVIDENCE) if judged else None,
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
        },
        versions=versions(*_MADE_WITH),
    )
    (folder / MANIFEST).write_bytes(manifest.to_bytes())
    return [each.entry for each in written]


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
                trust.remember(file)
    disputed = int((~questions.agreeing).sum())
    return disputed, len(questions.agreeing) - disputed
