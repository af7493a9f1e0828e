"""Gathers what a report says, once, for all the ways of writing it. Figures are derived here, not stored."""

from __future__ import annotations

import dataclasses
import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgewright.benchmarks.record import measurement, record
from edgewright.benchmarks.record.record import Record
from edgewright.benchmarks.record.stats import Estimate
from edgewright.benchmarks.report import advice, measured
from edgewright.benchmarks.report.measured import Figures
from edgewright.runtime.bundle.evidence import Evidence, read_evidence
from edgewright.runtime.bundle.manifest import MANIFEST, Bundle, Manifest, VariantEntry
from edgewright.runtime.errors import BundleError, InputError

MAX_CLASSES = 20  # that a table of classes shows; of more, those that changed most


@dataclass(frozen=True, kw_only=True, eq=False)
class Row:
    """One file of a bundle, equal to itself alone. `accuracy` is what it reaches where the Keras model
    reaches `keras_accuracy`: that less the drop, with the drop's interval, so that a file judged on fewer
    images stands beside the others. `figures` are those of the report's first place, None if it was not
    measured there."""

    model: str
    entry: VariantEntry
    keras_accuracy: float
    keras_bytes: int
    accuracy: Estimate
    limit: float
    figures: Figures | None

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
class Subject:
    """One bundle; `figures` are those of its `bench`. `classes` holds, by variant, a change for each class
    of `shown_classes`; `evidence` is None, and these are empty, for a bundle that has none."""

    model: str
    folder: Path
    manifest: Manifest
    bench: Record | None
    figures: tuple[Figures, ...]
    rows: tuple[Row, ...]
    evidence: Mapping[str, Evidence] | None
    shown_classes: tuple[int, ...]
    classes: Mapping[str, tuple[ClassChange | None, ...]]
    warnings: tuple[str, ...]

    @property
    def timed(self) -> bool:
        return any(row.latency for row in self.rows)

    @property
    def data(self) -> str:
        """What the test images are called, empty if that is not known."""
        return str(data_of(self.manifest).get("name") or "")

    @property
    def bench_command(self) -> str:
        return f"edgewright bench {shlex.quote(str(self.folder))}"


@dataclass(frozen=True, kw_only=True)
class Task:
    """Bundles that were judged on the same images, so that their accuracies may be compared."""

    subjects: tuple[Subject, ...]
    advice: advice.Advice

    @property
    def rows(self) -> tuple[Row, ...]:
        return tuple(row for subject in self.subjects for row in subject.rows)


@dataclass(frozen=True, kw_only=True)
class Report:
    """All there is to say. `place` is where the latencies of the rows were measured, empty if nowhere."""

    tasks: tuple[Task, ...]
    place: str

    @property
    def subjects(self) -> tuple[Subject, ...]:
        return tuple(subject for task in self.tasks for subject in task.subjects)

    @property
    def rows(self) -> tuple[Row, ...]:
        return tuple(row for task in self.tasks for row in task.rows)


def gather(bundles: Sequence[Path], benches: Sequence[Path] = ()) -> Report:
    """Read bundles and what was measured of them; arguments and errors are those of `write_report`."""
    if len({path.resolve() for path in bundles}) < len(bundles):
        raise InputError("expected different bundles, got one of them twice")
    opened = [Bundle.open(path) for path in bundles]
    for bundle in opened:
        _check(bundle)
    names = _names(opened)
    named = _given(opened, benches)
    beside = [measurement.default_out(path) for path in bundles]
    read = record.read_record
    records = [named.get(i) or (read(path) if path.exists() else None) for i, path in enumerate(beside)]
    figures = [measured.figures(bench) if bench else () for bench in records]
    place = next((f.place for shown in figures for f in shown if "p50" in f.times), "")
    groups: dict[Any, list[Subject]] = {}
    for bundle, name, bench, shown in zip(opened, names, records, figures, strict=True):
        groups.setdefault(_task_of(bundle), []).append(_subject(bundle, name, bench, shown, place))
    tasks = (
        Task(subjects=_compared(subjects), advice=advice.advise([row for s in subjects for row in s.rows]))
        for subjects in groups.values()
    )
    return Report(tasks=tuple(tasks), place=place)


def _compared(subjects: Sequence[Subject]) -> tuple[Subject, ...]:
    """The bundles of a task, with a warning if their times do not compare."""
    machines = {str(subject.bench.environment.get("cpu")) for subject in subjects if subject.bench}
    if len(machines) < 2:
        return tuple(subjects)
    warning = f"times do not compare: bundles were measured on {' and '.join(sorted(machines))}"
    return (dataclasses.replace(subjects[0], warnings=(*subjects[0].warnings, warning)), *subjects[1:])


def _names(bundles: Sequence[Bundle]) -> list[str]:
    """What each bundle is called: its model, and where two are of one model also its folder."""
    names = [b.manifest.name for b in bundles]
    return [n if names.count(n) == 1 else f"{n} ({b.folder})" for n, b in zip(names, bundles, strict=True)]


def _given(bundles: Sequence[Bundle], benches: Sequence[Path]) -> dict[int, Record]:
    names = [bundle.manifest.name for bundle in bundles]
    named: dict[int, Record] = {}
    for path in benches:
        bench = record.read_record(path)
        if names.count(bench.bundle) != 1:
            which = "several bundles are" if bench.bundle in names else "no bundle is"
            raise InputError(
                f"expected {path} to hold measurements of one of the bundles, got those of '{bench.bundle}', "
                f"as which {which} known here"
            )
        if names.index(bench.bundle) in named:
            raise InputError(f"expected one file of measurements for '{bench.bundle}', got a second, {path}")
        named[names.index(bench.bundle)] = bench
    return named


def _task_of(bundle: Bundle) -> Any:
    sha256 = data_of(bundle.manifest).get("sha256")
    samples = bundle.manifest.reference["samples"]
    return (sha256, bundle.manifest.labels, samples) if isinstance(sha256, str) else bundle.folder.resolve()


def data_of(manifest: Manifest) -> Mapping[str, Any]:
    """What the bundle says of its data; empty if nothing."""
    found = manifest.provenance.get("data")
    return found if isinstance(found, dict) else {}


def _check(bundle: Bundle) -> None:
    """Raises `BundleError` if shares are no shares: nothing could be drawn."""
    manifest = bundle.manifest
    sound = 0 <= manifest.reference["accuracy"] <= 1
    for entry in manifest.variants:
        p = entry.parity
        sound &= -1 <= p.drop_low <= p.drop <= p.drop_high <= 1
        sound &= 0 <= p.accuracy <= 1 and 0 <= p.agreement <= 1
    if not sound:
        raise BundleError(
            "expected accuracies from 0 to 1 and drops within their intervals in "
            f"{bundle.folder / MANIFEST}, got others; export the model again"
        )


def _subject(
    bundle: Bundle, model: str, bench: Record | None, shown: tuple[Figures, ...], place: str
) -> Subject:
    manifest, keras = bundle.manifest, float(bundle.manifest.reference["accuracy"])
    figures = {f.variant: f for f in shown if f.place == place}
    limit = manifest.provenance.get("max_drop")
    rows = tuple(
        Row(
            model=model,
            entry=entry,
            keras_accuracy=keras,
            keras_bytes=manifest.reference["bytes"],
            accuracy=Estimate(value=keras - p.drop, low=keras - p.drop_high, high=keras - p.drop_low),
            limit=float(limit) if isinstance(limit, float | int) and 0 <= limit < 1 else 0.01,
            figures=figures.get(entry.name),
        )
        for entry, p in ((entry, entry.parity) for entry in manifest.variants)
    )
    evidence = read_evidence(bundle)
    shown_classes = _shown_classes(evidence, len(manifest.labels))
    classes = {
        name: tuple(_change(judged, index, len(manifest.labels)) for index in shown_classes)
        for name, judged in (evidence or {}).items()
    }
    return Subject(
        model=model,
        folder=bundle.folder,
        manifest=manifest,
        bench=bench,
        figures=shown,
        rows=rows,
        evidence=evidence,
        shown_classes=shown_classes,
        classes=classes,
        warnings=tuple(_warnings(manifest, bench, shown, rows, evidence)),
    )


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


def _warnings(
    manifest: Manifest,
    bench: Record | None,
    figures: Sequence[Figures],
    rows: Sequence[Row],
    evidence: Mapping[str, Evidence] | None,
) -> list[str]:
    lines = [f"{entry.get('name')} was left out: {entry.get('reason')}" for entry in manifest.refused]
    samples = manifest.reference["samples"]
    lines += [
        f"{row.name} was judged on {row.entry.parity.samples:,} of {samples:,} images (it is slow here)"
        for row in rows
        if row.entry.parity.samples < samples
    ]
    for name, judged in (evidence or {}).items():
        for place, label in enumerate(manifest.labels):
            change = _change(judged, place, len(manifest.labels))
            if change and change.sure and change.variant < change.keras:
                points = 100 * (change.keras - change.variant)
                lines.append(f"{name} has lost {points:.1f} points of '{label}', more than chance would")
    if bench is None:
        return lines
    lines += dict.fromkeys(measured.warnings(bench, figures))
    sizes = {name: model.bytes for name, model in bench.models.items()}
    if stale := [row.name for row in rows if sizes.get(row.name, row.bytes) != row.bytes]:
        lines.append(f"measured as files of other sizes, measure again: {', '.join(stale)}")
    if missing := [row.name for row in rows if row.figures is None]:
        lines.append(f"not measured: {', '.join(missing)}")
    if strange := {f.variant for f in figures} - {row.name for row in rows}:
        lines.append(f"measured, but not in this bundle: {', '.join(sorted(strange))}")
    return lines
