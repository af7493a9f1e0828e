"""A model to a bundle: convert in a child, score in workers, judge, and assemble."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgewright.export import formats
from edgewright.export import variants as known_variants
from edgewright.export.assembling import assemble, leave_for_labelling
from edgewright.export.finetuning.chains import fine_tune
from edgewright.export.judging import Job, Judgement, Outcome, convert, judge, judge_together, point_to_mixed
from edgewright.export.labelling import kept
from edgewright.export.network.model import KERAS, kind_of
from edgewright.export.proof import tries
from edgewright.export.source.open import open_source, usual
from edgewright.export.source.options import Options
from edgewright.export.variants import Variant
from edgewright.export.work.protocol import TEST
from edgewright.export.work.score import scorer
from edgewright.export.work.steps import Steps
from edgewright.runtime import plugins, trust
from edgewright.runtime.bundle.manifest import OURS, SIGNATURE
from edgewright.runtime.bundle.parity import Judging
from edgewright.runtime.console import Progress, silent
from edgewright.runtime.disk import files
from edgewright.runtime.errors import InputError, MissingExtraError

FAR_BELOW = (
    "an accuracy of the float model far below what its author states means a wrong --input-range, --mean and "
    "--std, --bgr or order of labels"
)


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
    ours = (*OURS, *(f"*{formats.get(f).suffix}" for f in formats.names()))
    files.check_output(out, overwrite=options.overwrite, ours=ours)
    was_signed = (out / SIGNATURE).exists()
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
                judgements = judge_together(job, point_to_mixed(judgements), len(asked_for))
            entries = assemble(job, conversions, judgements, folder)
            wanted = leave_for_labelling(job, conversions, judgements, folder, suffixes)
    for entry in entries:
        trust.exported(out / entry.file.file)  # it was run here, on all test images
    stale = bool(entries) and was_signed
    return Result(
        reference=conversions.figures,
        outcomes=[judgement.outcome for judgement in judgements],
        judging=source.judging,
        notes=(
            *source.notes,
            *_of_all(judgements),
            *_of_seeds(job),
            *([FAR_BELOW] if source.foreign and source.truth is not None else []),
            *([f"the signature of {out} was of what it held before: sign it again"] if stale else []),
        ),
        left_out=source.left_out,
        wanted=wanted,
    )


def _of_seeds(job: Job) -> list[str]:
    """That this is not the first seed on these test images, which gives a file beyond its limit another
    chance."""
    model, seed = job.source.model.sha256, job.options.seed
    count = tries.count(model, job.images_digest(), seed)
    if count == 1:
        return []
    return [
        f"{count} seeds of this model were judged on these test images: of many, one passes by luck sooner"
    ]


def _of_all(judgements: Sequence[Judgement]) -> list[str]:
    """What is to be said of the variants together: which are proven each, but not as one claim."""
    outcomes = [judgement.outcome for judgement in judgements]
    apart = [one.name for one in outcomes if one.passed and one.parity and not one.parity.bundle_wide]
    if not apart:
        return []
    return [
        f"each is proven by itself; as one claim about all files of the bundle (--bundle-wide) it would be "
        f"without {', '.join(apart)}"
    ]


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
    if options.bundle_wide and (options.pool is not None or options.keep_unproven):
        other = "--keep-unproven" if options.keep_unproven else "--pool"
        raise InputError(
            f"expected --bundle-wide or {other}, got both: labels and what is kept unproven are a file's own"
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
