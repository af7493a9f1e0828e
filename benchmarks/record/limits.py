"""Limits for a user's CI: no slower than a baseline, and within a budget. A line for each that is broken."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from edgewright.benchmarks.record import stats
from edgewright.benchmarks.record.record import COUNTS, TIMES, Key, Record, machine, place, speeds
from edgewright.runtime.errors import InputError, UnknownNameError

_TIME_UNITS = {"ns": 1e-6, "us": 1e-3, "ms": 1.0, "s": 1e3}  # in ms
_SIZE_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
# The budget's name: the metric, and the size of the metric's own unit.
_SIZES = {"bytes": ("bytes", 1), "rss": ("peak_rss", 2**20)}
_COUNTED = (*COUNTS, "macs", "_bytes")  # what the names of other metrics end in


@dataclass(frozen=True, kw_only=True)
class Limit:
    """The most that `metric` may be, in the unit that the metric has; `text` is how it was given."""

    metric: str
    most: float
    text: str


def parse_budget(text: str) -> list[Limit]:
    """Such as "p90=5ms,bytes=100k,rss=60M".

    Times take ns, us, ms or s; sizes and counts k, M, G (thousands) or KiB, MiB, GiB.

    Raises:
        UnknownNameError: a metric that there is not.
        InputError: no number, or another unit.
    """
    limits = []
    for part in text.split(","):
        name, _, value = (piece.strip() for piece in part.partition("="))
        if name not in TIMES and name not in _SIZES and not name.endswith(_COUNTED):
            raise UnknownNameError("metric of --budget", name, (*TIMES, *_SIZES, *COUNTS, "macs"))
        units: Mapping[str, float] = _TIME_UNITS if name in TIMES else _SIZE_UNITS
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)", value)
        unit = units.get(match[2], units.get(match[2].removesuffix("B"))) if match else None
        if match is None or unit is None:
            example = "5ms" if name in TIMES else "100k"
            raise InputError(
                f"expected {name} in --budget to be a number in {', '.join(filter(None, units))}, such as "
                f"{name}={example}, got '{value}'"
            )
        metric, own = _SIZES.get(name, (name, 1))
        limits.append(Limit(metric=metric, most=float(match[1]) * unit / own, text=f"{name}={value}"))
    return limits


def parse_share(text: str) -> float:
    """Such as "5%" or "0.05", as 0.05. Raises `InputError`."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(%?)\s*", text)
    if match is None:
        raise InputError(f"expected --max-slowdown to be a share such as 5%, got '{text}'")
    return float(match[1]) / (100 if match[2] else 1)


def over_budget(record: Record, limits: list[Limit], asked: Collection[Key] | None = None) -> list[str]:
    """A line for each limit that a variant breaks. Rows that a target gave besides those that were `asked`
    for, such as of a browser's GPU, may lack a metric.

    Raises:
        InputError: a metric that its target does not measure.
    """
    lines = []
    for key in record.by_key():
        figures = record.figures(key)
        for limit in limits:
            if limit.metric not in figures:
                if asked is not None and key not in asked:
                    continue
                raise InputError(
                    f"expected --budget to name what target {key[1]} measures of {key[0]} "
                    f"({', '.join(figures)}), got {limit.text}"
                )
            e, unit = figures[limit.metric].estimate, figures[limit.metric].unit
            if e.value > limit.most:
                lines.append(
                    f"{named(key)} is over budget {limit.text}: {limit.metric} is {e.value:,.6g} {unit} "
                    f"[{e.low:,.6g}, {e.high:,.6g}]"
                )
    return lines


def check_baseline(
    baseline: Record, bundle: str, keys: Iterable[Key], environment: Mapping[str, Any]
) -> None:
    """See that figures of `keys` that are taken in `environment` can be held against the baseline's.

    Raises:
        InputError: another model, times of another machine, or a variant that the baseline has not.
    """
    if baseline.bundle != bundle:
        raise InputError(f"expected a baseline of '{bundle}', got one of '{baseline.bundle}'; make it anew")
    before = baseline.by_key()
    for key in keys:
        if key not in before:
            known = ", ".join(map(named, before)) or "nothing"
            raise InputError(
                f"expected the baseline to hold {named(key)}, got {known}; make it again with these variants"
            )
        if "p50" not in speeds(before[key]):
            continue  # a count does not depend on the machine that counts
        theirs, ours = machine(baseline.environment), machine(environment)
        for name in dict.fromkeys((*ours, *theirs)):
            then, here = theirs.get(name), ours.get(name)
            if then != here:
                raise InputError(
                    f"expected a baseline of this machine ({name} {_short(here)}), got one of another "
                    f"({name} {_short(then)}), whose times say nothing here; make it anew here"
                )


def slower(now: Record, baseline: Record, most: float, asked: Collection[Key] | None = None) -> list[str]:
    """A line for each variant that became slower by more than the share `most`, and not by accident.

    The ratio of the medians has to be above the limit, and its 95 % interval over processes
    (`stats.unpaired_ratio`) above 1. Rows besides those that were `asked` for may be in one alone.

    Raises:
        InputError: the baseline has no such figures.
    """
    lines, before = [], baseline.by_key()
    for key, measured in now.by_key().items():
        values, old = speeds(measured), speeds(before.get(key, []))
        if asked is not None and key not in asked and not (values and old):
            continue
        if values.keys() != old.keys() or not values:
            raise InputError(
                f"expected the baseline to measure {', '.join(values) or 'the speed'} of {named(key)}, "
                f"got {', '.join(old) or 'nothing'}; make it again"
            )
        for metric in values:
            ratio = stats.unpaired_ratio(old[metric], values[metric])
            if ratio.value > 1 + most and ratio.low > 1:
                lines.append(
                    f"{named(key)} is {ratio.value - 1:.1%} slower than the baseline, {most:.1%} is allowed: "
                    f"ratio of {metric} {ratio.value:.3f} [{ratio.low:.3f}, {ratio.high:.3f}]"
                )
    return lines


def named(key: Key) -> str:
    """Such as "tflite-int8 (local, 2 threads)"."""
    return f"{key[0]} ({place(*key[1:])})"


def _short(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value or "unknown")
