"""What `edgewright bench` prints of a record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgewright.benchmarks.record.measurement import Plan
from edgewright.benchmarks.record.record import TIMES, WAY, WORDS, Figure, Key, Record
from edgewright.runtime import console

_RATE = "inferences_per_second"
# In a narrow terminal, the first ones first.
_DROPPED = (
    *("kernels", "of peak", "MACs", "runs/s", "first run", "p99", "load", "peak RSS MiB", "threads"),
    "p50, 95 % interval",
)
_ELSEWHERE = {*TIMES, "peak_rss", "bytes", "macs", "peak_share", _RATE}


def show(record: Record, plans: Sequence[Plan]) -> None:
    """Tables of what was measured: times where there are any, the way from a picture, and counts."""
    every = {key: record.figures(key) for key in record.by_key()}
    timed = {key: found for key, found in every.items() if "p50" in found}
    if timed:
        for target in dict.fromkeys(key[1] for key in timed):
            _times(record, {key: found for key, found in timed.items() if key[1] == target}, plans[0])
        for threads, rates in record.peaks.items():
            if rates:
                peak = ", ".join(f"{arithmetic} {rate / 1e9:,.0f}" for arithmetic, rate in rates.items())
                console.say(f"peak of a matrix product, threads {threads}, in 1e9 MAC/s: {peak}")
        if any("decode" in found for found in timed.values()):
            rows = [(*_name(key), *(_value(f, metric) for metric in WAY)) for key, f in timed.items()]
            console.table(
                f"From picture to label in ms, median; pictures of {plans[0].picture_pixels} pixels",
                ("variant", "threads", *(WORDS.get(metric, metric) for metric in WAY)),
                rows,
                left=2,
                drop=("postprocess", "preprocess", "threads"),
            )
    _checks(record)
    for target in dict.fromkeys(key[1] for key in every):
        _counts({key: found for key, found in every.items() if key[1] == target})


def _checks(record: Record) -> None:
    """Whose answers were held against the CPU's: how far off, and where."""
    for target in dict.fromkeys(m.target for m in record.measurements if m.check):
        rows = [
            (
                *(m.variant, f"{check.images:,}", f"{check.max_abs_error:.2g}", f"{check.agreement:.4g}"),
                *(check.verdict, check.first_wrong_op or "-", check.layer or "-", check.remedy or "-"),
            )
            for (_, place, _), (m, *_) in record.by_key().items()
            if place == target and (check := m.check)
        ]
        columns = (
            *("variant", "images", "largest difference", "agreement"),
            *("verdict", "operator", "layer", "what to do"),
        )
        console.table(
            f"Scores of target {target} beside the CPU's", columns, rows, left=1, drop=("what to do", "layer")
        )


def _counts(every: Mapping[Key, Mapping[str, Figure]]) -> None:
    """What one target counted: a row a count, a column a variant; as many tables as that takes."""
    names = [name for name in dict.fromkeys(n for f in every.values() for n in f) if name not in _ELSEWHERE]
    if names:
        rows = [(name, *(_counted(found, name) for found in every.values())) for name in (*names, "macs")]
        columns = ("count", *(key[0] for key in every))
        console.spread(f"Counted, target {next(iter(every))[1]}", columns, rows)


def _times(record: Record, timed: Mapping[Key, Mapping[str, Figure]], plan: Plan) -> None:
    measured = record.by_key()
    columns = (
        *("variant", "threads", "load", "first run", "p50", "p50, 95 % interval", "p90", "p99"),
        *("runs/s", "MACs", "of peak", "peak RSS MiB", "kernels"),
    )
    rows = []
    for key, found in timed.items():
        p50 = found["p50"].estimate
        rows.append(
            (
                *_name(key),
                *(_value(found, metric) for metric in ("load", "first_run", "p50")),
                f"{p50.low:.4g} to {p50.high:.4g}",
                *(_value(found, metric) for metric in ("p90", "p99")),
                _value(found, _RATE, ",.0f"),
                _counted(found, "macs"),
                _value(found, "peak_share", ".2g", " %"),
                _value(found, "peak_rss", ".1f"),
                measured[key][0].kernels,
            )
        )
    first = next(iter(timed))
    cpu = measured[first][0].environment.get("cpu", "unknown")
    spent = (
        f"; {plan.processes} processes each, {plan.seconds * plan.processes:g} s and "
        f"{plan.runs * plan.processes} runs at least"
    )
    console.table(
        f"Latency in ms, batch 1, target {first[1]}: {cpu}{spent if first[1] == 'local' else ''}",
        columns,
        rows,
        left=2,
        drop=_DROPPED,
    )


def show_profiles(profiles: Mapping[str, Mapping[str, float] | None]) -> None:
    """A line a variant: its operators by the time they take."""
    for name, spent in profiles.items():
        if spent is None:
            console.say(f"operators of {name}: its interpreter's Python API does not tell their times")
            continue
        total = sum(spent.values()) or 1.0
        parts = ", ".join(f"{operator} {ns / total:.0%}" for operator, ns in spent.items())
        console.say(f"operators of {name}: {parts} of {total / 1e6:.4g} ms, traced")


def warnings(record: Record) -> list[str]:
    """What disturbed, a line a cause, with the variants that it came up in."""
    lines = record.disturbed()
    if found := record.overload():
        busy = f"load up to {found[0]:.1f} on {found[1]} cores"
        lines.append(f"the machine was busy: {busy}; measure again when it is idle")
    return lines


def _name(key: Key) -> tuple[str, str]:
    return key[0], str(key[2])


def _value(found: Mapping[str, Figure], metric: str, form: str = ".4g", unit: str = "") -> str:
    return f"{found[metric].estimate.value:{form}}{unit}" if metric in found else "-"


def _counted(found: Mapping[str, Figure], metric: str) -> str:
    value = found[metric].estimate.value if metric in found else None
    return "-" if value is None else f"{value:,.0f}" if value == round(value) else f"{value:,.6g}"
