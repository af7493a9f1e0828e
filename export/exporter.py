"""A model to a bundle: convert in a child, score in workers, judge, write what has passed."""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import platform
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewright.export import formats
from edgewright.export.finetuning import chains as tuning
from edgewright.export.finetuning.chains import Tuned
from edgewright.export.network.model import ONE_IMAGE, Edge
from edgewright.export.proof import evidence, gate
from edgewright.export.source import calibration as calibrating
from edgewright.export.source.source import DataOptions, Given, Source, open_source
from edgewright.export.variants import Variant
from edgewright.export.work import protocol as job
from edgewright.export.work.score import Scored, scorer
from edgewright.export.work.steps import Steps
from edgewright.runtime import backends, console, plugins, trust
from edgewright.runtime.backends import Scores
from edgewright.runtime.bundle.manifest import (
    EVIDENCE,
    GOLDEN,
    LABELS,
    MANIFEST,
    FileEntry,
    Manifest,
    ParityReport,
    Tolerance,
    VariantEntry,
    labels_file,
)
from edgewright.runtime.contract import ModelContract
from edgewright.runtime.disk import files
from edgewright.runtime.errors import InputError, MissingExtraError, ModelFileError
from edgewright.runtime.verification import GOLDEN_INPUTS, GOLDEN_REFERENCE
from edgewright.train import datasets
from edgewright.train.stack import versions

FINETUNE_EPOCHS = 6
GOLDEN_IMAGES = 16
GOLDEN_MARGIN = 0.25  # between the two best scores: rounding on another machine does not turn it
FLOAT_TOLERANCE = 1e-5
FAR_BELOW = (
    "an accuracy of the Keras model far below what its author states means a wrong --input-range, --mean and "
    "--std, --bgr or order of labels"
)


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a user may set of an export.

    `max_drop` is the largest accuracy drop that passes, a share; `data` and `data_dir` say where the
    checkpoint's data set lies if not where it was; `finetune_epochs` is how long each pass trains at
    most; `given` is what a model that is no checkpoint does not say itself; `edge` is what every file
    takes.
    """

    out: Path
    variants: Sequence[Variant]
    max_drop: float = 0.01
    calibration_size: int = 256
    seed: int = 0
    overwrite: bool = False
    data: str | None = None
    data_dir: Path | None = None
    edge: Edge = ONE_IMAGE
    finetune_epochs: int = FINETUNE_EPOCHS
    given: Given = field(default_factory=Given)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One variant that was tried: its report and sizes, or only the `reason` it could not be judged."""

    name: str
    reason: str = ""
    bytes: int = 0
    gzip_bytes: int = 0
    parity: ParityReport | None = None

    @property
    def passed(self) -> bool:
        return self.parity is not None and self.parity.verdict == "passed"

    def refusal(self) -> dict[str, Any]:
        """What the manifest says of a variant that was left out."""
        parity = dataclasses.asdict(self.parity) if self.parity else None
        sizes = {"bytes": self.bytes, "gzip_bytes": self.gzip_bytes}
        return {"name": self.name, "reason": self.reason, **sizes, "parity": parity}


@dataclass(frozen=True, kw_only=True)
class Result:
    """What an export did; `reference` are the Keras model's own figures. The bundle holds what `passed`;
    `notes` are lines that a user should read below the figures."""

    reference: dict[str, Any]
    outcomes: Sequence[Outcome]
    notes: Sequence[str] = ()


def export(path: Path, options: Options) -> Result:
    """Export a checkpoint or a model to a bundle at `options.out`; none is written if no variant passes.

    Raises:
        CheckpointError, DataError, OutputError, InputError: before any work is done.
        ExportError: the model cannot be loaded, run or written in the formats asked for.
    """
    if not 0 <= options.max_drop < 1:
        raise InputError(
            f"expected a largest drop from 0 up to 1 (0.01 is one point), got {options.max_drop:g}"
        )
    if options.finetune_epochs < 1:
        raise InputError(f"expected --finetune-epochs of at least 1, got {options.finetune_epochs}")
    passing = ("tf_keras", "tensorflow_model_optimization") if any(v.passes for v in options.variants) else ()
    for module in (
        "tensorflow",
        *passing,
        *(m for v in options.variants for m in formats.get(v.format).modules),
    ):
        if not plugins.installed(module):
            raise MissingExtraError(f"{module}, which export needs,", "export")
    if not 0 <= options.seed < 2**32:
        raise InputError(f"expected a seed from 0 to {2**32 - 1}, got {options.seed}")
    ours = _ours()
    files.check_output(options.out, overwrite=options.overwrite, ours=ours)
    data = DataOptions(
        calibration_size=options.calibration_size,
        seed=options.seed,
        data=options.data,
        data_dir=options.data_dir,
    )
    with Steps(options.edge) as steps:
        source = open_source(path, options.given, data, options.variants, steps.load)
        with files.new_folder(options.out, overwrite=options.overwrite, ours=ours) as (folder, scratch):
            tuned = {}
            if source.training is not None:
                tuned = tuning.run(
                    source.model,
                    source.training,
                    options.variants,
                    options.finetune_epochs,
                    options.seed,
                    scratch,
                )
            work = _Export(source, options, steps, tuned, folder, scratch)
            work.convert_and_judge()
            work.write_bundle()
    for entry in work.entries:
        trust.remember(options.out / entry.file.file)  # it was run here, on all test images
    notes = (*source.notes, *([FAR_BELOW] if source.foreign else []))
    return Result(reference=work.reference, outcomes=work.outcomes, notes=notes)


def _ours() -> tuple[str, ...]:
    """The files a bundle holds, as glob patterns: all that --overwrite may replace."""
    return (MANIFEST, GOLDEN, EVIDENCE, LABELS, *(f"*{formats.get(name).suffix}" for name in formats.names()))


class _Export:
    """One export under way. `folder` becomes the bundle, `scratch` is thrown away."""

    def __init__(
        self,
        source: Source,
        options: Options,
        steps: Steps,
        tuned: Mapping[str, Tuned],
        folder: Path,
        scratch: Path,
    ) -> None:
        self.source, self.options, self.steps, self.tuned = source, options, steps, tuned
        self.folder, self.scratch = folder, scratch
        self.reference: dict[str, Any] = {}
        self.outcomes: list[Outcome] = []
        self.entries: list[VariantEntry] = []
        self._golden: dict[str, NDArray[Any]] = {}
        self._judged: list[evidence.Judged] = []

    def convert_and_judge(self) -> None:
        variants = self.options.variants
        contracts = [self._contract(variant.name) for variant in variants]
        source, test = self.source, datasets.digest(self.source.test)
        np.save(self.scratch / job.TEST, source.test)
        conversions: dict[str, dict[str, Any]] = {}
        pending: dict[str, Callable[[], Scored]] = {}
        failed: dict[str, str] = {}
        with (
            scorer(self.scratch / job.TEST) as workers,
            contextlib.closing(
                self.steps.convert(
                    self.scratch,
                    source.model,
                    variants,
                    contracts,
                    source.calibration,
                    test,
                    {chain: tuned.model for chain, tuned in self.tuned.items()},
                )
            ) as events,
            console.progress("exporting", total=2 * len(variants)) as bar,
        ):
            by_name = {variant.name: variant for variant in variants}
            for event in events:
                if event.kind == "converted":
                    conversions[event.variant] = event.conversion or {}
                    variant = by_name[event.variant]
                    pending[event.variant] = self.steps.score(
                        workers, self.scratch / variant.file, test, self._places(variant)
                    )
                elif event.kind == "failed":
                    failed[event.variant] = event.reason
                if event.variant:
                    bar.advance(note=f"{event.variant} converted")
            reference = np.load(self.scratch / job.REFERENCE)
            self._note_reference(reference)
            for variant in variants:
                outcome = Outcome(name=variant.name, reason=failed.get(variant.name, ""))
                if variant.name in pending:
                    outcome = self._judge(
                        variant, pending[variant.name], reference, conversions[variant.name]
                    )
                self.outcomes.append(outcome)
                bar.advance(note=f"{variant.name} judged")

    def _contract(self, variant: str) -> ModelContract:
        return ModelContract(
            name=self.source.name,
            variant=variant,
            input=self.source.input,
            labels=self.source.labels,
            head=self.source.head,
        )

    def _places(self, *variants: Variant) -> NDArray[np.intp]:
        """The test images that all the variants are judged on, in their order: all, or as many as the
        slowest allows, of which those of a slower one are a part."""
        count = len(self.source.test)
        most = min(variant.settings.most_samples or count for variant in variants)
        return np.sort(np.random.default_rng(self.options.seed).permutation(count)[:most])

    def _note_reference(self, scores: Scores) -> None:
        self.source.check(scores)
        size, gzip_size = self.source.model.sizes()
        self.reference = {
            "samples": len(scores),
            "accuracy": float(np.mean(scores.argmax(1) == self.source.test_labels)),
            "bytes": size,
            "gzip_bytes": gzip_size,
            "model_sha256": self.source.model.sha256,
        }
        common = self._places(*self.options.variants)
        picked = self._picked = common[_pick_golden(scores[common], self.source.test_labels[common])]
        self._golden = {GOLDEN_INPUTS: self.source.test[picked], GOLDEN_REFERENCE: scores[picked]}

    def _judge(
        self,
        variant: Variant,
        pending: Callable[[], Scored],
        reference: Scores,
        conversion: dict[str, Any],
    ) -> Outcome:
        path = self.scratch / variant.file
        try:
            scored = pending()
        except ModelFileError as failure:
            return Outcome(name=variant.name, reason=f"cannot be run: {failure}")
        if not np.isfinite(scored.scores).all():
            return Outcome(name=variant.name, reason="gives scores that are NaN or infinite")
        places = self._places(variant)
        labels = self.source.test_labels[places]
        parity = gate.judge(reference[places], scored.scores, labels, self.options.max_drop)
        outcome = Outcome(
            name=variant.name,
            reason=parity.reason,
            bytes=path.stat().st_size,
            gzip_bytes=_gzip_bytes(path),
            parity=parity,
        )
        if outcome.passed:
            kept = self.folder / variant.file
            shutil.copyfile(path, kept)
            self._golden[variant.name] = scored.scores[np.searchsorted(places, self._picked)]
            head = self.source.head
            self._judged.append(evidence.look(reference[places], scored.scores, labels, places, head))
            self.entries.append(
                VariantEntry(
                    name=variant.name,
                    format=variant.format,
                    scheme=variant.scheme,
                    arithmetic=variant.settings.arithmetic,
                    rank=variant.settings.rank,
                    file=FileEntry.of(kept),
                    gzip_bytes=outcome.gzip_bytes,
                    input=scored.input,
                    output=scored.output,
                    tolerance=_tolerance(variant, scored, parity),
                    parity=parity,
                    passes=variant.passes,
                    peak_activation_bytes=_peak_activation_bytes(kept),
                    conversion={"scheme": variant.settings.summary, **conversion, **self._training(variant)},
                )
            )
        return outcome

    def _training(self, variant: Variant) -> dict[str, Any]:
        """How the passes of a variant have trained, for its entry in the manifest."""
        return {"passes": list(self.tuned[variant.chain].record)} if variant.passes else {}

    def write_bundle(self) -> None:
        """Golden outputs, evidence and manifest; leaves the folder empty if no variant passed."""
        if not self.entries:
            return
        np.savez_compressed(self.folder / GOLDEN, allow_pickle=False, **self._golden)
        evidence.write(self.folder / EVIDENCE, self._judged, self.source.test, self.source.test_labels)
        (self.folder / LABELS).write_bytes(labels_file(self.source.labels))
        manifest = Manifest(
            name=self.source.name,
            input=self.source.input,
            labels=self.source.labels,
            head=self.source.head,
            golden=FileEntry.of(self.folder / GOLDEN),
            evidence=FileEntry.of(self.folder / EVIDENCE),
            variants=tuple(self.entries),
            reference=self.reference,
            refused=tuple(outcome.refusal() for outcome in self.outcomes if not outcome.passed),
            calibration={
                "split": self.source.calibration_split,
                "images": len(self.source.calibration),
                "seed": self.options.seed,
                "sha256": datasets.digest(self.source.calibration),
            },
            provenance={
                **self.source.provenance,
                "max_drop": self.options.max_drop,
                "machine": platform.machine(),
            },
            versions=versions(
                "edgewright",
                "tensorflow",
                "keras",
                "tf-keras",
                "tensorflow-model-optimization",
                "tf2onnx",
                "onnx",
                "onnxruntime",
                "ai-edge-litert",
                "numpy",
            ),
        )
        (self.folder / MANIFEST).write_bytes(manifest.to_bytes())


def _pick_golden(scores: Scores, labels: NDArray[np.int64]) -> NDArray[np.intp]:
    """Test images whose class the reference is sure of, the classes in turn; else those it is surest of."""
    ordered = np.sort(scores, axis=1)
    margin = ordered[:, -1] - ordered[:, -2]
    sure = np.flatnonzero(margin >= GOLDEN_MARGIN)
    if len(sure) < GOLDEN_IMAGES:
        return np.sort(np.argsort(-margin, kind="stable")[:GOLDEN_IMAGES])
    return np.sort(sure[calibrating.in_turn(labels[sure])[:GOLDEN_IMAGES]])


def _tolerance(variant: Variant, scored: Scored, parity: ParityReport) -> Tolerance:
    """How closely other machines must repeat the scores.

    Where rounding differs, another machine may be as far off as the scheme itself is from the float
    model, and no further.
    """
    step = scored.output.scale or FLOAT_TOLERANCE
    loose = max(parity.max_abs_error, 2 * step)
    limits = {
        "float": (FLOAT_TOLERANCE, FLOAT_TOLERANCE),
        "step": (step * 1.01, loose),
        "kernel": (loose, loose),
    }
    near, far = limits[variant.settings.repeats]
    return Tolerance(kernels=scored.kernels, max_abs=near, max_abs_elsewhere=far)


def _peak_activation_bytes(path: Path) -> int | None:
    reader = backends.for_path(path)
    return reader.graph(reader.read(path)).peak_bytes()


def _gzip_bytes(path: Path) -> int:
    return len(gzip.compress(path.read_bytes(), mtime=0))
