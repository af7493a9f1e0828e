"""What becomes of each variant: its file made in a child, run by workers, held against the model."""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewright.export import formats
from edgewright.export.finetuning.chains import FineTuned
from edgewright.export.labelling import kept
from edgewright.export.labelling.kept import Undecided, consider
from edgewright.export.proof import evidence, gate, golden, together
from edgewright.export.proof.figures import Truth, own_figures
from edgewright.export.source.options import Options
from edgewright.export.source.source import Source
from edgewright.export.variants import Variant
from edgewright.export.work.events import Converted, Failed
from edgewright.export.work.protocol import REFERENCE, TEST
from edgewright.export.work.score import PLAIN, TWO_THREADS, Scored, Scorer
from edgewright.export.work.steps import Steps
from edgewright.runtime import backends, verification
from edgewright.runtime.backends import Scores
from edgewright.runtime.bundle.manifest import FileEntry, Tolerance, VariantEntry
from edgewright.runtime.bundle.parity import ParityReport
from edgewright.runtime.contract import NOT_PROVEN
from edgewright.runtime.errors import ExportError, ModelFileError
from edgewright.train import datasets


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
        with (self.scratch / TEST).open("wb") as file:  # a memory map ends in SIGBUS where the disk is full
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_2_0(file, header)
            for part in parts:
                file.write(np.ascontiguousarray(part, np.uint8).data)

    def images_digest(self) -> str:
        """SHA-256 of what is scored."""
        return datasets.digest(self.source.test, *([] if self.source.pool is None else [self.source.pool]))

    def truth(self, places: NDArray[np.intp]) -> Truth | None:
        """That of the test images at `places`, None where it is not known."""
        return None if self.source.truth is None else self.source.truth[places]


@dataclass(frozen=True, kw_only=True)
class Made:
    """How a file was made, and what waits for its scores of all images, and `again` and on `plain` kernels of
    the golden ones."""

    conversion: Mapping[str, Any]
    scored: Callable[[], Scored]
    again: Callable[[], Scored]
    plain: Callable[[], Scored]


@dataclass(frozen=True, kw_only=True)
class Conversions:
    """What converting gave: the model's own scores of all test images, and `of_pool`, with its `figures`,
    and by the name of each variant what was made, or why there is no file; `picked` are the places of the
    golden images, `boundary` those of the ones near a boundary."""

    reference: Scores
    of_pool: Scores
    figures: Mapping[str, Any]
    picked: NDArray[np.intp]
    boundary: NDArray[np.intp]
    made: Mapping[str, Made]
    failed: Mapping[str, str]
    needless: frozenset[str] = frozenset()

    @property
    def golden(self) -> NDArray[np.intp]:
        """The places of both, in the order in which they are scored again."""
        return np.concatenate([self.picked, self.boundary])

    def is_needless(self, variant: Variant) -> bool:
        """Whether it is one of float32 beside 8 bits that is not needed, or that there is nothing beside."""
        plain = variant.name.removesuffix("-mixed")
        return variant.name in self.needless or (plain != variant.name and plain in self.failed)


@dataclass(frozen=True, kw_only=True)
class Written:
    """What a bundle holds of a variant: its entry, its scores of the golden images and of those near a
    boundary, its evidence, which embeddings have none of."""

    entry: VariantEntry
    golden: Scores
    boundary: Scores
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
    converted: dict[str, tuple[Mapping[str, Any], Callable[[], Scored]]] = {}
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
                converted[event.variant] = (event.conversion, scored)
            elif isinstance(event, Failed):
                failed[event.variant] = event.reason
                needless |= {event.variant} if event.needless else set()
            if isinstance(event, Converted | Failed):
                advance(f"{event.variant} {'not needed' if event.variant in needless else 'converted'}")
    reference = np.load(job.scratch / REFERENCE)
    source.check(reference)
    reference, of_pool = np.split(reference, [len(source.test)])
    common = job.places(*job.variants)
    sure = golden.pick(source.head, reference[common], job.truth(common))
    picked, boundary = common[sure], common[golden.pick_boundary(source.head, reference[common], sure)]
    shown = np.concatenate([picked, boundary])
    made = {}
    for name, (conversion, scored) in converted.items():
        once_more = partial(steps.score, workers, job.scratch / by_name[name].file, test, shown)
        again, plain = once_more(TWO_THREADS), once_more(PLAIN)
        made[name] = Made(conversion=conversion, scored=scored, again=again, plain=plain)
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
        boundary=boundary,
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
    conversion = conversions.made[name].conversion
    try:
        scored = conversions.made[name].scored()
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
    shown = scores[np.searchsorted(places, conversions.golden)]
    made = {key: value for key, value in conversion.items() if key != "not_for_gpu"}
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
        tolerance=_tolerance(conversions, variant, path, scored, shown),
        parity=parity,
        passes=variant.passes,
        peak_activation_bytes=reader.graph(reader.read(path)).peak_bytes(),
        not_for_gpu=str(conversion.get("not_for_gpu", "")),
        conversion={"scheme": settings.summary, **made, **training},
    )
    found = Written(
        entry=entry,
        golden=shown[: len(conversions.picked)],
        boundary=shown[len(conversions.picked) :],
        evidence=evidence.look(source.head, reference, scores, truth, places),
    )
    if isinstance(undecided, Undecided):
        return Judgement(outcome=outcome, open=(undecided, found))
    return Judgement(outcome=outcome, written=found)


def _tolerance(
    conversions: Conversions, variant: Variant, path: Path, scored: Scored, given: Scores
) -> Tolerance:
    """How closely the golden scores, `given`, have to be repeated."""
    made, plain = conversions.made[variant.name], None
    with contextlib.suppress(ModelFileError, ExportError):  # plain kernels may lack something
        plain = made.plain().scores
    return golden.tolerance(
        scored.kernels,
        verification.machine(path),
        step=scored.output.scale,
        rounds=variant.settings.arithmetic == "int8",
        reference=conversions.reference[conversions.golden],
        given=given,
        again=made.again().scores,
        plain=plain,
    )


def judge_together(job: Job, judgements: Sequence[Judgement], asked: int) -> list[Judgement]:
    """Say of each variant whether it keeps its limits together with all others, and if that was asked for,
    leave out what does not."""
    chances = {
        judgement.outcome.name: judgement.outcome.parity.chance or 0.0
        for judgement in judgements
        if judgement.outcome.parity is not None and judgement.outcome.parity.is_proven
    }
    asked = max(asked, len(chances))
    held, allowed = together.holding(chances, asked), together.allowed(chances, asked)
    return [_together(job, judgement, held, asked, allowed) for judgement in judgements]


def _together(job: Job, given: Judgement, held: frozenset[str], asked: int, allowed: float) -> Judgement:
    name, parity = given.outcome.name, given.outcome.parity
    if parity is None:
        return given
    parity = replace(parity, bundle_wide=name in held)
    if given.written is None or name in held or not job.options.bundle_wide or not parity.is_proven:
        written = given.written and replace(given.written, entry=replace(given.written.entry, parity=parity))
        return replace(given, outcome=replace(given.outcome, parity=parity), written=written)
    reason = (
        f"by itself it is proven, a file at a limit would pass as clearly in {parity.chance:.2%} of exports; "
        f"together with all {asked} variants it may in {allowed:.2%}: ask for fewer, or give more test images"
    )
    parity = replace(parity, verdict=NOT_PROVEN, reason=reason)
    outcome = replace(given.outcome, parity=parity, reason=reason, is_written=False)
    return Judgement(outcome=outcome)


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
