"""How figures, rows and circumstances are put into words, the same in every kind of report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from edgewright.benchmarks import targets
from edgewright.benchmarks.record.stats import Estimate
from edgewright.benchmarks.report import advice
from edgewright.benchmarks.report.facts import Report, Row, Subject, Task, data_of
from edgewright.benchmarks.report.measured import TIMES, Figures
from edgewright.runtime.bundle.manifest import ParityReport
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
    """A column of the table of files; `several`: only where there are several models."""

    title: str
    cell: Callable[[Row], Cell]
    number: bool = True
    several: bool = False


GLOSSARY = (
    ("Keras model", "The model as it was trained. Every file is held against it."),
    (
        "TFLite, ONNX",
        "Two kinds of model file: .tflite runs on LiteRT (phones, small boards), .onnx on onnxruntime.",
    ),
    (
        "float32, float16, int8",
        "How precisely numbers are kept: in 32, 16 or 8 bits. Fewer bits make a file smaller and often "
        "faster; some accuracy may be lost. int8 computes in whole numbers; dynamic-int8 and weight-int8 "
        "keep the weights so.",
    ),
    ("accuracy", "The share of test pictures that are put into the right class."),
    (
        "95 % interval",
        "Where the true value lies, 95 times in 100. Other test pictures, or another run, would give a "
        "slightly different figure. Of two intervals that overlap much, neither is shown to be better.",
    ),
    ("points", "Percentage points: from 99.0 % to 98.5 % is half a point less."),
    ("limit", "A file is written only if even the bad end of its interval loses less accuracy than this."),
    (
        "same answer",
        "The share of test pictures put into the same class as by the Keras model, right or wrong.",
    ),
    ("p50, p90, p99", "50, 90 or 99 of 100 runs are at least as fast as this. p50 is the median."),
    ("JPEG to label", "The whole way: decode a JPEG photo, bring it to size, run the model, name the class."),
    ("decode … postprocess", "The parts of that way, one after the other."),
    ("load, first run", "Opening the file, and the first picture: paid once, at the start of an app."),
    ("peak memory", "The most memory that the whole process has held, the interpreter included."),
    ("Pareto front", "The files that no other file beats in both things that a picture compares."),
)


def title(report: Report) -> str:
    models = list(dict.fromkeys(subject.model for subject in report.subjects))
    return f"Which file to ship: {', '.join(models)}"


def named(row: Row, task: Task) -> str:
    """A file's name, with its model where the task has several."""
    return f"{row.name} of {row.model}" if len(task.subjects) > 1 else row.name


def ms_interval(e: Estimate) -> str:
    return f"{advice.digits(e.low)} to {advice.milliseconds(e.high)}"


def points(value: float, digits: int = 2) -> str:
    """With a sign, and so many digits behind the point; `0` for what rounds to it."""
    text = f"{value:+.{digits}f}"
    return "0" if float(text) == 0 else text.replace("-", "\N{MINUS SIGN}")


def change(parity: ParityReport) -> str:
    """What became of the accuracy, in points: less is negative."""
    return points(-100 * parity.drop)


def change_interval(parity: ParityReport) -> str:
    return f"{points(-100 * parity.drop_high)} to {points(-100 * parity.drop_low)}"


def differing(row: Row) -> int:
    """Test images that a file puts into another class than Keras."""
    parity = row.entry.parity
    return round((1 - parity.agreement) * parity.samples)


def _time(name: str) -> Callable[[Row], Cell]:
    def cell(row: Row) -> Cell:
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


def _size(row: Row) -> Cell:
    gzip = f"gzip {advice.size(row.entry.gzip_bytes)}"
    return Cell(value=row.bytes, text=advice.size(row.bytes), note=gzip)


def _accuracy(row: Row) -> Cell:
    p = row.entry.parity
    return Cell(value=p.accuracy, text=advice.percent(p.accuracy), note=f"{p.samples:,} pictures")


def _change(row: Row) -> Cell:
    p = row.entry.parity
    return Cell(value=-p.drop, text=change(p), interval=change_interval(p))


def _agreement(row: Row) -> Cell:
    agreement = row.entry.parity.agreement
    return Cell(value=agreement, text=advice.percent(agreement))


# The times to look at first, as the table of files calls them; the others stand with the circumstances.
_FIRST = {"p50": "time, p50", "p90": "time, p90", "JPEG to label": "JPEG to label"}


def columns(rows: Iterable[Row]) -> tuple[Column, ...]:
    """The columns of the table of files; of what was measured, those that any row has."""
    rows = list(rows)
    measured = [name for name in _FIRST if any(row.figures and name in row.figures.times for row in rows)]
    cells: dict[str, Callable[[Row], Cell]] = {
        "size": _size,
        "accuracy": _accuracy,
        "change, points": _change,
        "same answer": _agreement,
    }
    cells |= {_FIRST[name]: _time(name) for name in measured}
    if any(row.figures and row.figures.peak_rss_bytes for row in rows):
        cells["peak memory"] = lambda row: _memory(row.figures)
    return (
        Column(title="file", cell=lambda row: _said(row.name), number=False),
        Column(title="model", cell=lambda row: _said(row.model), number=False, several=True),
        *(Column(title=title, cell=cell) for title, cell in cells.items()),
    )


def places(subject: Subject) -> list[tuple[str, str, list[str], list[tuple[Figures, list[Cell]]]]]:
    """Of each place: its name, what its figures mean, the columns, and a row a variant."""
    found = []
    for place in dict.fromkeys(f.place for f in subject.figures):
        figures = [f for f in subject.figures if f.place == place]
        times = [name for name in TIMES if any(name in f.times for f in figures)]
        counts = list(dict.fromkeys(name for f in figures for name in f.counts))
        memory = any(f.peak_rss_bytes for f in figures)
        rows = []
        for f in figures:
            cells = [_time_cell(f.times.get(name), interval=True) for name in times]
            cells += [_count_cell(f.counts.get(name)) for name in counts]
            rows.append((f, cells + [_memory(f)] * memory))
        names = [f"{name}, ms" for name in times] + [name.replace("_", " ") for name in counts]
        found.append((place, _summary(figures[0].target), names + ["peak memory"] * memory, rows))
    return found


def _count_cell(e: Estimate | None) -> Cell:
    return Cell() if e is None else Cell(value=e.value, text=f"{e.value:,.0f}")


def _summary(target: str) -> str:
    try:
        return targets.get(target).summary
    except EdgewrightError:
        return ""


def circumstances(subject: Subject) -> list[tuple[str, str]]:
    """What the figures depend on, as names and values."""
    manifest, found = subject.manifest, []
    if subject.bench:
        env = subject.bench.environment
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
    data, images = data_of(manifest), manifest.calibration.get("images")
    found += [
        ("versions, exporting", _versions(manifest.versions)),
        ("Keras model's SHA-256", _text(manifest.reference.get("model_sha256"))),
        ("test data", _text(data.get("name"))),
        ("licence of the data", _text(data.get("licence"))),
        ("citation", _text(data.get("citation"))),
        ("calibrated with", f"{_text(images)} images" if images else ""),
        ("bundle", str(subject.folder)),
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
