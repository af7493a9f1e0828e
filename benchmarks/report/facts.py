"""Gathers what a report says, once, for all the ways of writing it. Figures are derived here, not stored."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgewright.benchmarks.record import merging
from edgewright.benchmarks.record.measurement import VERDICTS, Check
from edgewright.benchmarks.record.record import Record
from edgewright.benchmarks.record.stats import Estimate
from edgewright.benchmarks.report import advice, judged, measured, sources
from edgewright.benchmarks.report.explained import Explained, read
from edgewright.benchmarks.report.judged import Words
from edgewright.benchmarks.report.measured import Figures
from edgewright.benchmarks.report.sources import Given
from edgewright.runtime.bundle.evidence import Evidence, read_evidence
from edgewright.runtime.bundle.manifest import Bundle, Manifest, VariantEntry
from edgewright.runtime.errors import InputError

MAX_CLASSES = 20  # that a table of classes shows; of more, those that changed most


@dataclass(frozen=True, kw_only=True, eq=False)
class Row:
    """One file of a bundle, equal to itself alone. `accuracy` is what it reaches where the Keras model
    reaches `keras_accuracy`: that less the drop, with the drop's interval, so that a file judged on fewer
    images stands beside the others. `figures` are those of the report's first place, None if it was not
    measured there; `checks` say, by target, how far another engine's answers are from the CPU's."""

    model: str
    entry: VariantEntry
    keras_accuracy: float
    keras_bytes: int
    accuracy: Estimate
    limit: float
    figures: Figures | None
    checks: Mapping[str, Check] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.entry.name

    @property
    def format(self) -> str:
        """`tflite`, `onnx`, …"""
        return Path(self.entry.file.file).suffix.removeprefix(".")

    @property
    def bytes(self) -> int:
        return self.entry.file.bytes

    @property
    def gzip_bytes(self) -> int:
        return self.entry.gzip_bytes

    @property
    def latency(self) -> Estimate | None:
        """Median milliseconds of one run."""
        return self.figures.times.get("p50") if self.figures else None


@dataclass(frozen=True, kw_only=True)
class ClassChange:
    """One class of one variant: shares right of `images`; `sure` if chance alone would not change it so."""

    images: int
    keras: float
    variant: float
    sure: bool


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What was measured of a bundle or a file at `path`: a record a machine, the figures of each variant at
    each place, and what is doubtful about it."""

    model: str
    path: Path
    benches: tuple[Record, ...]
    figures: tuple[Figures, ...]
    warnings: tuple[str, ...]

    @property
    def bench_command(self) -> str:
        return f"edgewright bench {shlex.quote(str(self.path))}"


@dataclass(frozen=True, kw_only=True)
class Subject(Measured):
    """One bundle; `words` are those of its judging. `classes` holds, by variant, a change for each class of
    `shown_classes`; `evidence` is None, and these are empty, for a bundle that has none. `explained` is what
    layers were found to lose, None if nobody looked."""

    manifest: Manifest
    words: Words
    rows: tuple[Row, ...]
    evidence: Mapping[str, Evidence] | None
    shown_classes: tuple[int, ...]
    classes: Mapping[str, tuple[ClassChange | None, ...]]
    explained: Explained | None

    @property
    def timed(self) -> bool:
        return any(row.latency for row in self.rows)

    @property
    def data(self) -> str:
        """What the test images are called, empty if that is not known."""
        return str(data_of(self.manifest).get("name") or "")


@dataclass(frozen=True, kw_only=True)
class FileRow:
    """A model file of no bundle, which nothing is known of but what was measured."""

    name: str
    bytes: int
    figures: Figures | None
    gzip_bytes: int = 0


@dataclass(frozen=True, kw_only=True)
class LoneFile(Measured):
    """A model file of no bundle."""

    row: FileRow


@dataclass(frozen=True, kw_only=True)
class Task:
    """Bundles that were judged on the same images, so that their accuracies may be compared."""

    subjects: tuple[Subject, ...]
    advice: advice.Advice

    @property
    def rows(self) -> tuple[Row, ...]:
        return tuple(row for subject in self.subjects for row in subject.rows)

    @property
    def words(self) -> Words:
        return self.subjects[0].words


@dataclass(frozen=True, kw_only=True)
class Report:
    """All there is to say. `place` is where the latencies of the rows were measured, empty if nowhere."""

    tasks: tuple[Task, ...]
    files: tuple[LoneFile, ...]
    place: str

    @property
    def measured(self) -> tuple[Measured, ...]:
        return (*self.subjects, *self.files)

    @property
    def subjects(self) -> tuple[Subject, ...]:
        return tuple(subject for task in self.tasks for subject in task.subjects)

    @property
    def rows(self) -> tuple[Row, ...]:
        return tuple(row for task in self.tasks for row in task.rows)


def gather(paths: Sequence[Path], benches: Sequence[Path] = (), explained: Path | None = None) -> Report:
    """Read bundles, lone model files and what was measured of them; arguments and errors are those of
    `write_report`."""
    if len({path.resolve() for path in paths}) < len(paths):
        raise InputError("expected different bundles and files, got one of them twice")
    given = [Given.open(path) for path in paths]
    found = sources.records(given, benches)
    kept = [merging.current(one, thing.present(one)) for thing, one in zip(given, found, strict=True)]
    flat = [one for records, _ in kept for one in records]
    machines = iter(measured.machines(flat))
    common = []
    for thing, name, (records, dropped) in zip(given, sources.names(given), kept, strict=True):
        named = [(one, next(machines)) for one in records]
        shown = tuple(f for one, machine in named for f in measured.figures(one, machine))
        lines = [f"what was measured of {variant} is left out: it {why}" for variant, why in dropped.items()]
        lines += [line for one, machine in named for line in _doubts(one, machine, shown)]
        common.append(
            Measured(
                model=name,
                path=thing.path,
                benches=tuple(records),
                figures=shown,
                warnings=tuple(dict.fromkeys(lines)),
            )
        )
    place = _place([f for one in common for f in one.figures])
    manifests = [thing.bundle.manifest for thing in given if thing.bundle]
    looked = iter(read(explained, manifests) if explained else [])
    groups: dict[Any, list[Subject]] = {}
    lone = []
    for thing, one in zip(given, common, strict=True):
        if thing.bundle:
            subject = _subject(thing.bundle, one, place, next(looked, None))
            groups.setdefault(_task_of(thing.bundle), []).append(subject)
        else:
            here = next((f for f in one.figures if f.place == place), None)
            row = FileRow(name=one.model, bytes=thing.bytes, figures=here)
            lone.append(LoneFile(**vars(one), row=row))
    tasks = (
        Task(
            subjects=tuple(subjects),
            advice=advice.advise([row for s in subjects for row in s.rows], subjects[0].words),
        )
        for subjects in groups.values()
    )
    return Report(tasks=tuple(tasks), files=tuple(lone), place=place)


def _place(figures: Sequence[Figures]) -> str:
    """Where most files were timed; of equal ones the first, which was measured last. Empty if nowhere."""
    places = [f.place for f in figures if "p50" in f.times]
    return max(places, key=places.count, default="")


def _doubts(bench: Record, machine: str, shown: Sequence[Figures]) -> list[str]:
    on = f" (on {machine})" if machine else ""
    mine = [f for f in shown if f.machine == machine]
    return [f"{line}{on}" for line in measured.warnings(bench, mine)]


def _task_of(bundle: Bundle) -> Any:
    manifest = bundle.manifest
    sha256 = data_of(manifest).get("sha256")
    if isinstance(sha256, str) and judged.of(manifest).compares_models:
        return (sha256, manifest.labels, manifest.reference["samples"], manifest.judging)
    return bundle.folder.resolve()


def data_of(manifest: Manifest) -> Mapping[str, Any]:
    """What the bundle says of its data; empty if nothing."""
    found = manifest.provenance.get("data")
    return found if isinstance(found, dict) else {}


def _subject(bundle: Bundle, found: Measured, place: str, explained: Explained | None) -> Subject:
    manifest, keras = bundle.manifest, float(bundle.manifest.reference["accuracy"])
    figures = {f.variant: f for f in found.figures if f.place == place}
    limit = manifest.provenance.get("max_drop")
    rows = tuple(
        Row(
            model=found.model,
            entry=entry,
            keras_accuracy=keras,
            keras_bytes=manifest.reference["bytes"],
            accuracy=Estimate(value=keras - p.drop, low=keras - p.drop_high, high=keras - p.drop_low),
            limit=float(limit) if isinstance(limit, float | int) and 0 <= limit < 1 else 0.01,
            figures=figures.get(entry.name),
            checks=_checks([f for f in found.figures if f.variant == entry.name]),
        )
        for entry, p in ((entry, entry.parity) for entry in manifest.variants)
    )
    evidence = read_evidence(bundle)
    shown_classes = _shown_classes(evidence, len(manifest.labels))
    classes = {
        name: tuple(_change(one, index, len(manifest.labels)) for index in shown_classes)
        for name, one in (evidence or {}).items()
    }
    stale = explained.stale if explained else ()
    lines = [f"what was explained of {variant} is left out: the file has changed since" for variant in stale]
    warnings = (*_warnings(manifest, rows, evidence), *found.warnings, *_missing(rows, found, place), *lines)
    return Subject(
        **{**vars(found), "warnings": warnings},
        manifest=manifest,
        words=judged.of(manifest),
        rows=rows,
        evidence=evidence,
        shown_classes=shown_classes,
        classes=classes,
        explained=explained,
    )


def _checks(figures: Sequence[Figures]) -> dict[str, Check]:
    """By target; of several machines and numbers of threads the worst."""
    told = [(f.target, f.check) for f in figures if f.check]
    return dict(sorted(told, key=lambda one: VERDICTS.index(one[1].verdict)))


def _shown_classes(evidence: Mapping[str, Evidence] | None, count: int) -> tuple[int, ...]:
    if evidence is None:
        return ()
    if count <= MAX_CLASSES:
        return tuple(range(count))

    def changed(place: int) -> float:
        """The largest share of the class's images that came or went, in any variant."""
        return max(
            (abs(int(one.won[place]) - int(one.lost[place])) / max(int(one.images[place]), 1))
            for one in evidence.values()
        )

    return tuple(sorted(sorted(range(count), key=changed, reverse=True)[:MAX_CLASSES]))


def _change(evidence: Evidence, place: int, classes: int) -> ClassChange | None:
    """How a class fares; None if no image of it was judged."""
    e = evidence
    images, right, lost, won = (int(x[place]) for x in (e.images, e.keras_right, e.lost, e.won))
    if images == 0:
        return None
    return ClassChange(
        images=images,
        keras=right / images,
        variant=(right - lost + won) / images,
        sure=chance(lost, won) < 0.05 / classes,
    )


def chance(lost: int, won: int) -> float:
    """How likely so uneven a split is if either way is as likely: McNemar's exact test, two-sided."""
    changed = lost + won
    if changed > 1000:  # the normal approximation, with continuity correction
        return math.erfc(max(abs(lost - won) - 1, 0) / math.sqrt(2 * changed))
    tail = sum(math.comb(changed, k) for k in range(min(lost, won) + 1))
    return float(min(1.0, 2 * tail / 2**changed))


def _warnings(manifest: Manifest, rows: Sequence[Row], evidence: Mapping[str, Evidence] | None) -> list[str]:
    words = judged.of(manifest)
    lines = [f"{entry.get('name')} was left out: {entry.get('reason')}" for entry in manifest.refused]
    unproven = (row for row in rows if not row.entry.parity.is_proven)
    lines += [f"{row.name} is not proven: {row.entry.parity.reason}" for row in unproven]
    lines += [f"{row.name} is not for GPU: {row.entry.not_for_gpu}" for row in rows if row.entry.not_for_gpu]
    lines += [
        f"{row.name} is not for target {target}: {wrong}"
        for row in rows
        for target, check in row.checks.items()
        if (wrong := check.told)
    ]
    if not words.labelled:
        lines.append(f"nothing here is a share of right answers: the files were judged on {words.images}")
    samples = manifest.reference["samples"]
    lines += [
        f"{row.name} was judged on {row.entry.parity.samples:,} of {samples:,} images (it is slow here)"
        for row in rows
        if row.entry.parity.samples < samples
    ]
    for name, found in (evidence or {}).items():
        for place, label in enumerate(manifest.labels if words.labelled else ()):
            change = _change(found, place, len(manifest.labels))
            if change and change.sure and change.variant < change.keras:
                points = 100 * (change.keras - change.variant)
                lines.append(f"{name} has lost {points:.1f} points of '{label}', more than chance would")
    return lines


def _missing(rows: Sequence[Row], found: Measured, place: str) -> list[str]:
    """Which files have no figures where the others do."""
    missing = ", ".join(row.name for row in rows if row.figures is None)
    if not missing or not found.benches:
        return []
    return [f"not measured ({place}): {missing}" if place else f"no time was measured of {missing}"]
