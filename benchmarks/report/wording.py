"""How figures, rows and circumstances are put into words, the same in every kind of report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgewright.benchmarks import targets
from edgewright.benchmarks.record.measurement import Check
from edgewright.benchmarks.record.stats import Estimate
from edgewright.benchmarks.report import advice, judged
from edgewright.benchmarks.report.facts import FileRow, Measured, Report, Row, Subject, Task, data_of
from edgewright.benchmarks.report.glossary import BESIDE, CALIBRATION
from edgewright.benchmarks.report.judged import Words
from edgewright.benchmarks.report.measured import TIMES, Figures
from edgewright.runtime.bundle.parity import ParityReport
from edgewright.runtime.contract.labels import quoted
from edgewright.runtime.errors import EdgewrightError


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A cell of a table: what to sort by (empty if not known), what to read, below it the 95 % interval,
    or a note."""

    value: float | str = ""
    text: str = "-"
    interval: str = ""
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of a table of files."""

    title: str
    cell: Callable[[Any], Cell]
    number: bool = True


UNPROVEN = (
    "These files are of no bundle: whether they do what their models did is not known here, so none is "
    "advised."
)


def title(report: Report) -> str:
    if not report.tasks:
        return f"What it costs: {', '.join(file.model for file in report.files)}"
    models = list(dict.fromkeys(subject.model for subject in report.subjects))
    return f"Which file to ship: {', '.join(models)}"


def does(subject: Subject) -> str:
    """What the model does with a picture."""
    labels = subject.manifest.labels
    if not labels:
        size = subject.manifest.scores
        return f"turns it into {size or 'some'} numbers, an embedding, by which pictures are compared"
    listed = f": {quoted(labels)}" if len(labels) <= 12 else ""
    if subject.words.several:
        return f"says of each of {len(labels):,} labels whether it has it{listed}"
    return f"says which of {len(labels):,} classes it shows{listed}"


def judged_on(subject: Subject) -> str:
    """On which pictures the files were compared with the Keras model."""
    count = f"{subject.manifest.reference['samples']:,} {subject.words.images}"
    of = f" of {subject.data}" if subject.data and subject.words.labelled else ""
    return count + of


def speed_note(task: Task) -> str:
    """What is missing of the speed of the files; empty if nothing."""
    several = len(task.subjects) > 1
    if task.advice.timed:
        if not task.advice.unmeasured:
            return ""
        names = advice.listed(task.advice.unmeasured, several)
        return f"Not all files were measured, and those are left out of this advice: {names}."
    rows = [row for row in task.rows if row.latency]
    if len(task.rows) == 1 and rows:
        return ""
    if not rows:
        why = "was not measured"
    elif len(rows) == 1 and not several:
        why = f"was measured of {rows[0].name} alone, which leaves nothing to compare"
    else:
        why = "was not measured of every model" if several else "was measured of too few files"
    return f"Speed {why}, so it is left out of this advice."


def named(row: Row, task: Task) -> str:
    """A file's name, with its model where the task has several."""
    return f"{row.name} of {row.model}" if len(task.subjects) > 1 else row.name


def ms_interval(e: Estimate) -> str:
    return f"{advice.digits(e.low)} to {advice.milliseconds(e.high)}"


def points(value: float, digits: int = 2) -> str:
    """With a sign, and so many digits behind the point; `0` for what rounds to it."""
    text = f"{value:+.{digits}f}"
    return "0" if float(text) == 0 else text.replace("-", "\N{MINUS SIGN}")


def change(parity: ParityReport, words: Words) -> str:
    """What became of what it was judged by: less is negative, but of a share of disagreement."""
    return _changed(parity.judged_drop[0], words)


def change_interval(parity: ParityReport, words: Words) -> str:
    _, lowest, highest = parity.judged_drop
    ends = (_changed(highest, words), _changed(lowest, words))
    low, high = ends[::-1] if words.judging.by == "agreement" else ends
    return f"{low} to {high}"


def _changed(drop: float, words: Words) -> str:
    if words.judging.by == "agreement":
        return f"{100 * drop:.2f}"
    return points(-100 * drop) if words.is_share else points(-drop, 4)


def differing(row: Row) -> int:
    """Test images that a file puts into another class than Keras."""
    parity = row.entry.parity
    return round((1 - parity.agreement) * parity.samples)


def _time(name: str) -> Callable[[Row | FileRow], Cell]:
    def cell(row: Row | FileRow) -> Cell:
        return _time_cell(row.figures.times.get(name) if row.figures else None, interval=name == "p50")

    return cell


def _time_cell(e: Estimate | None, *, interval: bool) -> Cell:
    if e is None:
        return Cell()
    ends = f"{advice.digits(e.low)} to {advice.digits(e.high)}" if interval else ""
    return Cell(value=e.value, text=advice.digits(e.value), interval=ends)


def _memory(figures: Figures | None) -> Cell:
    peak = figures.peak_rss_bytes if figures else 0
    return Cell(value=peak, text=advice.size(peak)) if peak else Cell()


def _said(name: str) -> Cell:
    return Cell(value=name, text=name)


def _file(row: Row) -> Cell:
    """Its name, with what stands against shipping it."""
    return Cell(
        value=row.name, text=row.name, note="" if row.entry.parity.is_proven else row.entry.parity.verdict
    )


def _size(row: Row | FileRow) -> Cell:
    gzip = f"gzip {advice.size(row.gzip_bytes)}" if row.gzip_bytes else ""
    return Cell(value=row.bytes, text=advice.size(row.bytes), note=gzip)


def _proof(words: Words, rows: Sequence[Row]) -> dict[str, Callable[[Row], Cell]]:
    """The columns of what was proven."""

    def value(row: Row) -> Cell:
        p = row.entry.parity
        return Cell(value=p.accuracy, text=words.value(p.accuracy), note=f"{p.samples:,} pictures")

    def changed(row: Row) -> Cell:
        p = row.entry.parity
        return Cell(value=-p.drop, text=change(p, words), interval=change_interval(p, words))

    def agreement(row: Row) -> Cell:
        share = row.entry.parity.agreement
        return Cell(value=share, text=judged.percent(share))

    def beside(name: str) -> Callable[[Row], Cell]:
        def cell(row: Row) -> Cell:
            found = row.entry.parity.beside.get(name)
            return Cell() if found is None else Cell(value=found, text=f"{found:.4f}")

        return cell

    cells: dict[str, Callable[[Row], Cell]] = {words.measure: value, words.change: changed}
    if words.judging.by == "cosine":
        cells["same nearest picture"] = agreement
    elif words.several:
        cells["all labels the same"] = agreement
    elif words.compares_models:
        cells["same answer"] = agreement
    for name in dict.fromkeys(name for row in rows for name in row.entry.parity.beside):
        if name not in CALIBRATION:
            cells[BESIDE[name][0] if name in BESIDE else name.replace("_", " ")] = beside(name)
    return cells


def limits(rows: Iterable[Row]) -> tuple[Column, ...]:
    """The columns of what is judged beside the drop; none of bundles that do not say it."""
    rows = list(rows)
    if all(row.entry.parity.agreement_low is None for row in rows):
        return ()

    def worst(row: Row) -> Cell:
        p = row.entry.parity
        if p.worst_class_drop is None or p.worst_class_drop_low is None or p.worst_class_drop_high is None:
            return Cell()
        ends = f"{points(-100 * p.worst_class_drop_high)} to {points(-100 * p.worst_class_drop_low)}"
        told = f"{p.worst_class} {points(-100 * p.worst_class_drop)}"
        return Cell(value=-p.worst_class_drop, text=told, interval=ends)

    def agreement(row: Row) -> Cell:
        p = row.entry.parity
        if p.agreement_low is None or p.agreement_high is None:
            return Cell()
        ends = f"{judged.percent(p.agreement_low)} to {judged.percent(p.agreement_high)}"
        return Cell(value=p.agreement, text=judged.percent(p.agreement), interval=ends)

    def brier(row: Row) -> Cell:
        p = row.entry.parity
        if p.calibration_drop is None or p.calibration_drop_low is None or p.calibration_drop_high is None:
            return Cell()
        ends = f"{points(p.calibration_drop_low, 4)} to {points(p.calibration_drop_high, 4)}"
        return Cell(value=p.calibration_drop, text=points(p.calibration_drop, 4), interval=ends)

    def ece(row: Row) -> Cell:
        found = row.entry.parity.beside.get("ece")
        return Cell() if found is None else Cell(value=found, text=f"{found:.4f}")

    def blind(row: Row) -> Cell:
        p = row.entry.parity
        count = len(p.not_judged)
        return Cell(value=count, text=f"{count} of {len(p.class_images)}") if p.class_images else Cell()

    return (
        Column(title="file", cell=_file, number=False),
        Column(title="worst class, points", cell=worst, number=False),
        Column(title="same answer", cell=agreement),
        Column(title="change of Brier score", cell=brier),
        Column(title="ECE", cell=ece),
        Column(title="classes not judged", cell=blind),
    )


# The times to look at first, as the table of files calls them; the others stand with the circumstances.
_FIRST = {"p50": "time, p50", "p90": "time, p90", "JPEG to label": "JPEG to label"}


def columns(task: Task) -> tuple[Column, ...]:
    """The columns of the table of files; of what was measured, those that any row has."""
    model = Column(title="model", cell=lambda row: _said(row.model), number=False)
    return (
        Column(title="file", cell=_file, number=False),
        *([model] if len(task.subjects) > 1 else []),
        Column(title="size", cell=_size),
        *(Column(title=title, cell=cell) for title, cell in _proof(task.words, task.rows).items()),
        *_costs(task.rows),
        *_checked(task.rows),
    )


def file_columns(rows: Sequence[FileRow]) -> tuple[Column, ...]:
    """The same of files of no bundle."""
    file = Column(title="file", cell=lambda row: _said(row.name), number=False)
    return (file, Column(title="size", cell=_size), *_costs(rows))


def _costs(rows: Sequence[Row] | Sequence[FileRow]) -> list[Column]:
    times = [name for name in _FIRST if any(row.figures and name in row.figures.times for row in rows)]
    found = [Column(title=_FIRST[name], cell=_time(name)) for name in times]
    if any(row.figures and row.figures.peak_rss_bytes for row in rows):
        found.append(Column(title="peak memory", cell=lambda row: _memory(row.figures)))
    return found


def _checked(rows: Sequence[Row]) -> list[Column]:
    """A column a target whose answers were held against the CPU's."""

    def of(target: str) -> Callable[[Row], Cell]:
        def cell(row: Row) -> Cell:
            check = row.checks.get(target)
            if check is None:
                return Cell()
            return Cell(value=check.verdict, text=check.verdict, note=_alike(check))

        return cell

    found = dict.fromkeys(target for row in rows for target in row.checks)
    return [Column(title=f"right on {target}", cell=of(target), number=False) for target in found]


def _alike(check: Check) -> str:
    at = f", {check.first_wrong_op}" if check.first_wrong_op else ""
    return f"{judged.percent(check.agreement)} of {check.images:,} labels{at}"


def places(subject: Measured) -> list[tuple[str, str, list[str], list[tuple[Figures, list[Cell]]]]]:
    """Of each place: its name, what its figures mean, the columns, and a row a variant."""
    found = []
    for place in dict.fromkeys(f.place for f in subject.figures):
        figures = [f for f in subject.figures if f.place == place]
        times = [name for name in TIMES if any(name in f.times for f in figures)]
        counts = list(dict.fromkeys(name for f in figures for name in f.counts))
        memory = any(f.peak_rss_bytes for f in figures)
        checked = any(f.check for f in figures)
        rows = []
        for f in figures:
            cells = [_time_cell(f.times.get(name), interval=True) for name in times]
            cells += [_count_cell(f.counts.get(name)) for name in counts]
            cells += _check_cells(f.check) if checked else []
            rows.append((f, cells + [_memory(f)] * memory))
        names = [f"{name}, ms" for name in times] + [name.replace("_", " ") for name in counts]
        names += _CHECK_NAMES if checked else []
        found.append((place, _summary(figures[0].target), names + ["peak memory"] * memory, rows))
    return found


_CHECK_NAMES = ["verdict", "images", "agreement", "largest difference", "operator", "layer", "what to do"]


def _check_cells(check: Check | None) -> list[Cell]:
    """Those of `_CHECK_NAMES`."""
    if check is None:
        return [Cell()] * len(_CHECK_NAMES)
    return [
        _said(check.verdict),
        Cell(value=check.images, text=f"{check.images:,}"),
        Cell(value=check.agreement, text=judged.percent(check.agreement)),
        Cell(value=check.max_abs_error, text=f"{check.max_abs_error:.2g}"),
        *(Cell(value=text, text=text or "-") for text in (check.first_wrong_op, check.layer, check.remedy)),
    ]


def _count_cell(e: Estimate | None) -> Cell:
    if e is None:
        return Cell()
    whole = e.value >= 1000 or e.value == round(e.value)  # else it is a share, or heat
    return Cell(value=e.value, text=f"{e.value:,.0f}" if whole else f"{e.value:.4g}")


def _summary(target: str) -> str:
    try:
        return targets.get(target).summary
    except EdgewrightError:
        return ""


def circumstances(subject: Measured) -> list[tuple[str, str]]:
    """What the figures depend on, as names and values."""
    found: list[tuple[str, str]] = []
    for bench in subject.benches:
        env = bench.environment
        cores = f", {env['cores']} cores" if env.get("cores") else ""
        machine = " (virtual machine)" if env.get("virtual_machine") is True else ""
        found += [
            ("measured on", f"{env.get('cpu', 'unknown')}{cores}{machine}"),
            ("instruction sets", _list(env.get("isa"))),
            ("clock governor", _text(env.get("governor"))),
            ("load at the start", _text(env.get("load_1min"))),
            ("system", _text(env.get("system"))),
            ("Python", _text(env.get("python"))),
            ("versions, measuring", _versions(env.get("versions"))),
        ]
    if not isinstance(subject, Subject):
        return [(name, value) for name, value in (*found, ("file", str(subject.path))) if value]
    manifest = subject.manifest
    data, images = data_of(manifest), manifest.calibration.get("images")
    found += [
        ("versions, exporting", _versions(manifest.versions)),
        ("Keras model's SHA-256", _text(manifest.reference.get("model_sha256"))),
        ("test data" if subject.words.labelled else "pictures", _text(data.get("name"))),
        ("licence of the data", _text(data.get("licence"))),
        ("citation", _text(data.get("citation"))),
        ("calibrated with", f"{_text(images)} images" if images else ""),
        ("bundle", str(subject.path)),
    ]
    return [(name, value) for name, value in found if value]


def _text(value: Any) -> str:
    return f"{value:.2f}" if isinstance(value, float) else "" if value is None else str(value)


def _list(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else ""


def _versions(value: Any) -> str:
    if not isinstance(value, Mapping):
        return ""
    return ", ".join(f"{name} {version}" for name, version in value.items() if version)
