"""From raw samples to the figures that are shown, published and held against limits, in one place."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from edgewright.benchmarks.record import stats
from edgewright.benchmarks.record.measurement import VERDICTS, Check, Measurement, Plan
from edgewright.benchmarks.record.notes import gather
from edgewright.benchmarks.record.stats import Estimate
from edgewright.runtime.contract import SCHEMA_VERSION, check_schema
from edgewright.runtime.disk import files, jsonio
from edgewright.runtime.errors import BundleError, InputError

Key: TypeAlias = tuple[str, str, int]  # variant, target, threads
Number = TypeVar("Number", int, float)

# from a picture to its label: the parts of the way, and the whole of it
WAY = ("decode", "preprocess", "invoke", "postprocess", "jpeg_to_label", "png_to_label")
# metric: stage and percentile
TIMES = {
    **{stage: (stage, 50) for stage in ("load", "first_run")},
    **{f"p{percent}": ("warm_run", percent) for percent in (50, 90, 99)},
    **{stage: (stage, 50) for stage in WAY},
}
# What people read instead of a metric's name, where that differs.
WORDS = {"first_run": "first run", "jpeg_to_label": "JPEG to label", "png_to_label": "PNG to label"}
COUNTS = ("instructions", "cycles")  # what the names of counts that stand for speed end in
_KINDS = {int: "whole numbers", float: "numbers"}
_MOST = 1e18  # nanoseconds, instructions, …: 30 years


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A metric with its 95 % interval, in `unit`."""

    estimate: Estimate
    unit: str


@dataclass(frozen=True, kw_only=True)
class Model:
    """What a variant's file says: its bytes, the multiply-accumulates of a run, None if unknown, the
    `arithmetic` that it mostly computes with and its SHA-256, both empty in files of older versions."""

    bytes: int
    macs: int | None
    arithmetic: str = ""
    sha256: str = ""


@dataclass(frozen=True, kw_only=True)
class Record:
    """What `edgewright bench` measured of a bundle on one machine: raw, with the circumstances.

    `environment` is that of the last run; a measurement of an earlier one has its own. `models` is by
    variant; `peaks` multiply-accumulates a second of this machine by arithmetic (`float32`, `int8`), by
    number of threads; `profiles` nanoseconds by operator, by variant; `plans` how much was to be measured,
    as a `Plan` is written.
    """

    bundle: str
    environment: Mapping[str, Any]
    measurements: Sequence[Measurement]
    models: Mapping[str, Model]
    peaks: Mapping[int, Mapping[str, float]]
    profiles: Mapping[str, Mapping[str, float]] = dataclasses.field(default_factory=dict)
    plans: Sequence[Mapping[str, Any]] = ()

    def by_key(self) -> dict[Key, list[Measurement]]:
        """The measurements of each variant, target and number of threads."""
        groups: dict[Key, list[Measurement]] = {}
        for m in self.measurements:
            groups.setdefault((m.variant, m.target, m.threads), []).append(m)
        return groups

    def figures(self, key: Key) -> dict[str, Figure]:
        """Every metric that can be told of one variant, by name; times in milliseconds."""
        measured = self.by_key()[key]
        figures = {metric: Figure(estimate=e, unit="ms") for metric, e in times(measured).items()}
        figures |= {name: Figure(estimate=e, unit=_unit(name)) for name, e in counts(measured).items()}
        peaks = [m.peak_rss_bytes / 2**20 for m in measured if m.peak_rss_bytes]
        if peaks:
            estimate = Estimate(value=max(peaks), low=min(peaks), high=max(peaks))
            figures["peak_rss"] = Figure(estimate=estimate, unit="MiB")
        model = self.models.get(key[0])
        if model is not None:
            figures["bytes"] = Figure(estimate=stats.exactly(model.bytes), unit="bytes")
            if model.macs is not None:
                figures["macs"] = Figure(estimate=stats.exactly(model.macs), unit="MAC")
            peak = self.peaks.get(key[2], {}).get(model.arithmetic)
            if peak and model.macs and "p50" in figures:
                p50 = figures["p50"].estimate
                value, low, high = (
                    100 * model.macs / (ms / 1000 * peak) for ms in (p50.value, p50.high, p50.low)
                )
                figures["peak_share"] = Figure(estimate=Estimate(value=value, low=low, high=high), unit="%")
        return figures

    def disturbed(self, *, where: str = " in ", alike: bool = True) -> list[str]:
        """The notes of all measurements, as `notes.gather` puts them together."""
        noted = ((m.variant, note) for m in self.measurements for note in m.notes)
        return gather(noted, {m.variant for m in self.measurements}, where=where, alike=alike)

    def overload(self) -> tuple[float, int] | None:
        """The highest load while it was measured, and the cores it was too much for; None if it was not."""
        loads = (m.environment.get("load_1min") for m in self.measurements)
        busiest = max((load for load in loads if isinstance(load, int | float)), default=0.0)
        cores = self.environment.get("cores")
        return (busiest, cores) if isinstance(cores, int) and busiest > cores else None


def machine(environment: Mapping[str, Any]) -> dict[str, Any]:
    """What a machine is, for times to be comparable; empty values are left out."""
    told = {name: environment.get(name) for name in ("cpu", "machine", "isa", "cores_allowed")}
    if isinstance(told["isa"], list):  # older records did not tell that of f16c
        told["isa"] = [flag for flag in told["isa"] if flag != "f16c"]
    return {name: value for name, value in told.items() if value not in (None, [], "")}


def same_machine(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two environments are of one machine, by all that both of them tell."""
    a, b = machine(one), machine(other)
    return all(a[name] == b[name] for name in a.keys() & b.keys())


def write_record(path: Path, record: Record, plans: Sequence[Plan] = ()) -> None:
    """Write a record as JSON, in the place of what is there, and how much was planned to be measured.

    `merging.add` puts it beside what the file holds.
    """
    files.write_file(path, dump([planned(record, plans)]))


def planned(record: Record, plans: Sequence[Plan]) -> Record:
    """The record with these plans, if there are any."""
    told = tuple(dataclasses.asdict(plan) for plan in plans)
    return dataclasses.replace(record, plans=told) if told else record


def dump(records: Sequence[Record]) -> bytes:
    """The file of one bundle's records, each of another machine: the first one's keys, and `elsewhere`."""
    first, *others = (dataclasses.asdict(record) for record in records)
    told = {"schema_version": SCHEMA_VERSION, **first}
    if others:
        told["elsewhere"] = [{key: other[key] for key in other if key != "bundle"} for other in others]
    return jsonio.dump(told, indent=None)


def read_record(path: Path) -> Record:
    """The first of `read_records`: what was measured where it was measured last. Raises as that does."""
    return read_records(path)[0]


def read_records(path: Path) -> tuple[Record, ...]:
    """Read what `edgewright bench` wrote: a record a machine, that which was measured last first.

    Models, peaks, counts and notes, which older files lack, are empty there.

    Raises:
        BundleError: no such file, not one of bench's, or a broken one.
        InputError: nothing was measured in it.
    """
    obj = jsonio.read(path, BundleError)
    check_schema(obj, BundleError)
    bundle = obj.text("bundle")
    elsewhere = obj.objects("elsewhere") if obj.has("elsewhere") else []
    return tuple(_record(part, bundle, path) for part in (obj, *elsewhere))


def _record(obj: jsonio.JsonObject, bundle: str, path: Path) -> Record:
    measurements = [measurement_of(entry) for entry in obj.objects("measurements")]
    if not measurements:
        raise InputError(f"expected measurements in {path}, got none; measure again with edgewright bench")
    environment = obj.object("environment")
    environment.text("cpu")
    models, peaks, profiles = (_part(obj, key) for key in ("models", "peaks", "profiles"))
    if not all(threads.isdecimal() for threads in peaks.data):
        raise obj.fail("peaks", "figures by number of threads")
    rates = {threads: peaks.object(threads) for threads in peaks.data}
    spent = {name: profiles.object(name) for name in profiles.data}
    return Record(
        bundle=bundle,
        environment=environment.data,
        measurements=measurements,
        models={name: _model(models.object(name)) for name in models.data},
        peaks={int(threads): {name: of.number(name) for name in of.data} for threads, of in rates.items()},
        profiles={
            name: {operator: of.number(operator) for operator in of.data} for name, of in spent.items()
        },
        plans=tuple(plan.data for plan in obj.objects("plans")) if obj.has("plans") else (),
    )


def times(measured: Sequence[Measurement]) -> dict[str, Estimate]:
    """Those of `TIMES` that one variant has samples of, in milliseconds."""
    found = {}
    for metric, (stage, percent) in TIMES.items():
        if e := _estimate([m.samples_ns.get(stage, ()) for m in measured], percent):
            found[metric] = Estimate(value=e.value / 1e6, low=e.low / 1e6, high=e.high / 1e6)
    return found


def counts(measured: Sequence[Measurement]) -> dict[str, Estimate]:
    """What was counted of one variant: medians."""
    names = dict.fromkeys(name for m in measured for name in m.counts)
    estimates = {name: _estimate([m.counts.get(name, ()) for m in measured], 50) for name in names}
    return {name: e for name, e in estimates.items() if e}


def _estimate(processes: Sequence[Sequence[float]], percent: float) -> Estimate | None:
    """A percentile over those processes that have samples; within the one if only one has."""
    sampled = [samples for samples in processes if samples]
    if len(sampled) == 1:
        return stats.percentile(sampled[0], percent)
    return stats.across(sampled, percent) if sampled else None


def speeds(measured: Sequence[Measurement]) -> dict[str, list[float]]:
    """What stands for a variant's speed, by metric: the median run of each process, in nanoseconds.

    Where no time was taken: every count of instructions or cycles, its samples.
    """
    processes = [m.samples_ns["warm_run"] for m in measured if m.samples_ns.get("warm_run")]
    if processes:
        return {"p50": stats.each(processes, 50)}
    names = dict.fromkeys(name for m in measured for name in m.counts if name.endswith(COUNTS))
    return {name: [value for m in measured for value in m.counts.get(name, ())] for name in names}


def place(target: str, threads: int) -> str:
    """Such as "local, 2 threads"."""
    return f"{target}, {threads} thread{'' if threads == 1 else 's'}"


def _unit(count: str) -> str:
    if count.endswith("_per_second"):
        return "1/s"
    return next((e for e in ("bytes", "instructions", "cycles", "ms") if count.endswith(e)), "")


def _part(obj: jsonio.JsonObject, key: str) -> jsonio.JsonObject:
    """An object in it, empty if it has none."""
    return obj.object(key) if obj.has(key) else jsonio.JsonObject({}, obj.where, BundleError)


def _model(obj: jsonio.JsonObject) -> Model:
    return Model(
        bytes=obj.integer("bytes"),
        macs=obj.integer("macs") if obj.has("macs") else None,
        arithmetic=obj.text("arithmetic") if obj.has("arithmetic") else "",
        sha256=obj.text("sha256") if obj.has("sha256") else "",
    )


def measurement_of(obj: jsonio.JsonObject) -> Measurement:
    """A measurement as JSON has it. Raises the error of `obj`."""
    samples, counted = obj.object("samples_ns"), _part(obj, "counts")
    return Measurement(
        variant=obj.text("variant"),
        target=obj.text("target"),
        threads=obj.integer("threads", 1),
        kernels=obj.text("kernels"),
        samples_ns={stage: _numbers(samples, stage, int) for stage in samples.data},
        peak_rss_bytes=obj.integer("peak_rss_bytes"),
        base_rss_bytes=obj.integer("base_rss_bytes"),
        environment=obj.object("environment").data,
        counts={name: _numbers(counted, name, float) for name in counted.data},
        notes=list(obj.texts("notes")) if obj.has("notes") else [],
        calls_per_sample=obj.integer("calls_per_sample", 1) if obj.has("calls_per_sample") else 1,
        queries=obj.integer("queries") if obj.has("queries") else 0,
        check=_check(obj.object("check")) if obj.data.get("check") is not None else None,
    )


def _check(obj: jsonio.JsonObject) -> Check:
    if obj.text("verdict") not in VERDICTS:
        raise obj.fail("verdict", f"one of {', '.join(VERDICTS)}")
    return Check(
        images=obj.integer("images"),
        max_abs_error=obj.number("max_abs_error"),
        agreement=obj.number("agreement"),
        **{name: obj.text(name) for name in ("verdict", "first_wrong_op", "layer", "remedy")},
    )


def _numbers(obj: jsonio.JsonObject, key: str, kind: type[Number]) -> list[Number]:
    values = obj.array(key)
    if not all(type(value) in (int, kind) and 0 <= value < _MOST for value in values):
        raise obj.fail(key, f"a list of {_KINDS[kind]} from 0 to {_MOST:g}")
    return [kind(value) for value in values]
