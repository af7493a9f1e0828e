"""Reads what `edgewright bench` wrote, tolerantly: a stage or count that is not there is not shown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgewright.benchmarks.record import measurement, stats
from edgewright.benchmarks.record import record as figures
from edgewright.benchmarks.record.stats import Estimate
from edgewright.runtime.disk import jsonio
from edgewright.runtime.disk.jsonio import JsonObject
from edgewright.runtime.errors import BundleError, InputError

_WORDS = {"first_run": "first run", "jpeg_to_label": "JPEG to label", "png_to_label": "PNG to label"}
TIMES = {_WORDS.get(name, name): taken for name, taken in figures.TIMES.items()}  # as the report calls them
_MOST = 1e18  # nanoseconds, instructions, …: 30 years
FEWEST_PROCESSES = 6  # of which the median has a 95 % interval


@dataclass(frozen=True, kw_only=True)
class Figures:
    """One variant at one place: `times` in milliseconds by the names of `TIMES`, `counts` as they were
    counted, each with its interval; `peak_rss_bytes` 0 where it is not known."""

    variant: str
    target: str
    threads: int
    processes: int
    kernels: str
    times: Mapping[str, Estimate]
    counts: Mapping[str, Estimate]
    peak_rss_bytes: int

    @property
    def place(self) -> str:
        return f"{self.target}, {self.threads} thread{'' if self.threads == 1 else 's'}"


@dataclass(frozen=True, kw_only=True)
class Bench:
    """All figures of one bundle; `warnings` are lines that name a cause, `environment` as bench wrote it,
    `file_bytes` the sizes of the files that were measured, by variant, where it says so."""

    name: str
    figures: tuple[Figures, ...]
    warnings: tuple[str, ...]
    environment: Mapping[str, Any]
    file_bytes: Mapping[str, int]

    def places(self) -> list[str]:
        """Where was measured, the first one first."""
        return list(dict.fromkeys(f.place for f in self.figures))


def default_file(bundle: Path) -> Path:
    """Where `edgewright bench` puts a bundle's measurements."""
    return measurement.default_out(bundle)


def read(path: Path) -> Bench:
    """Read a file of measurements.

    Raises:
        BundleError: no such file, or not one that `edgewright bench` writes.
    """
    found = jsonio.read(path, BundleError)
    groups: dict[tuple[str, str, int], list[JsonObject]] = {}
    measurements = found.objects("measurements")
    for one in measurements:
        groups.setdefault((one.text("variant"), one.text("target"), one.integer("threads")), []).append(one)
    if not groups:
        raise InputError(f"expected measurements in {path}, got none; measure again with edgewright bench")
    environment = found.object("environment").data
    models = found.object("models") if found.has("models") else JsonObject({}, str(path), BundleError)
    figures = tuple(_figures(key, group) for key, group in groups.items())
    return Bench(
        name=found.text("bundle"),
        figures=figures,
        warnings=tuple(dict.fromkeys(_warnings(found, measurements, figures, environment))),
        environment=environment,
        file_bytes={name: models.object(name).integer("bytes") for name in models.data},
    )


def _figures(key: tuple[str, str, int], group: Sequence[JsonObject]) -> Figures:
    variant, target, threads = key
    counted = [one.object("counts") for one in group if one.has("counts")]
    return Figures(
        variant=variant,
        target=target,
        threads=threads,
        processes=len(group),
        kernels=group[0].text("kernels"),
        times={
            name: Estimate(value=e.value / 1e6, low=e.low / 1e6, high=e.high / 1e6)
            for name, (stage, percent) in TIMES.items()
            if (e := _estimate([one.object("samples_ns") for one in group], stage, percent))
        },
        counts={
            name: e
            for name in dict.fromkeys(name for one in counted for name in one.data)
            if (e := _estimate(counted, name, 50))
        },
        peak_rss_bytes=max(one.integer("peak_rss_bytes") for one in group),
    )


def _estimate(group: Sequence[JsonObject], key: str, percent: float) -> Estimate | None:
    """The percentile over those processes that have samples called `key`, or within one; None if none has."""
    samples = [[_number(one, key, value) for value in one.array(key)] for one in group if one.has(key)]
    samples = [some for some in samples if some]
    if len(samples) == 1:
        return stats.percentile(samples[0], percent)
    return stats.across(samples, percent) if samples else None


def _number(obj: JsonObject, key: str, value: Any) -> float:
    found = JsonObject({key: value}, obj.where, BundleError)
    if not 0 <= (number := found.number(key)) < _MOST:
        raise found.fail(key, f"a number from 0 to {_MOST:g}")
    return number


def _warnings(
    found: JsonObject,
    measurements: Sequence[JsonObject],
    figures: Iterable[Figures],
    environment: Mapping[str, Any],
) -> Iterable[str]:
    yield from _notes(found)
    yield from _causes([(one.text("variant"), note) for one in measurements for note in _notes(one)], figures)
    loads = [_load(one) for one in measurements]
    cores = environment.get("cores")
    busy = max(loads, default=0.0)
    if isinstance(cores, int) and busy > cores:
        yield (
            f"the machine was busy while measuring (load up to {busy:.1f} on {cores} cores): "
            "times are too long; measure again when it is idle"
        )
    if environment.get("virtual_machine") is True:
        yield "measured on a virtual machine: work of its neighbours shows in the times"
    few = [f for f in figures if f.times and f.processes < FEWEST_PROCESSES]
    if few:
        yield (
            f"{few[0].variant} was measured in {few[0].processes} processes only: "
            f"an interval takes {FEWEST_PROCESSES} to be one of 95 %"
        )


def _causes(notes: Sequence[tuple[str, str]], figures: Iterable[Figures]) -> Iterable[str]:
    """A line for each cause - what stands before a note's colon - of variants and notes: the worst of it."""
    everywhere = {f.variant for f in figures}
    causes: dict[str, list[tuple[str, str]]] = {}
    for variant, note in notes:
        causes.setdefault(note.partition(":")[0], []).append((variant, note))
    for cause, told in causes.items():
        worst = max((note for _, note in told), key=lambda note: _first_number(note.removeprefix(cause)))
        most = f" (the most of {len(told)})" if len({note for _, note in told}) > 1 else ""
        variants = dict.fromkeys(variant for variant, _ in told)
        yield f"{worst}{most}" + ("" if set(variants) == everywhere else f", measuring {', '.join(variants)}")


def _first_number(text: str) -> float:
    found = re.search(r"\d+(\.\d+)?", text)
    return float(found[0]) if found else 0.0


def _notes(noted: JsonObject) -> tuple[str, ...]:
    return tuple(line for key in ("notes", "warnings") if noted.has(key) for line in noted.texts(key))


def _load(one: JsonObject) -> float:
    surroundings = one.data.get("environment")
    load = surroundings.get("load_1min") if isinstance(surroundings, dict) else None
    return float(load) if isinstance(load, int | float) else 0.0
