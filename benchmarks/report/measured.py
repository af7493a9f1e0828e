"""What a report shows of a record: figures by variant and place, and what is doubtful about them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from edgewright.benchmarks.record import measurement, record
from edgewright.benchmarks.record.measurement import Check
from edgewright.benchmarks.record.record import Record
from edgewright.benchmarks.record.stats import Estimate

TIMES = tuple(record.WORDS.get(metric, metric) for metric in record.TIMES)  # as the report calls them


@dataclass(frozen=True, kw_only=True)
class Figures:
    """One variant at one place: `times` in milliseconds by the names of `TIMES`, `counts` as they were
    counted, each with its interval; `peak_rss_bytes` 0 where it is not known; `machine` is empty if a report
    is of one machine alone; `check` is there where answers were held against the CPU's."""

    variant: str
    target: str
    threads: int
    processes: int
    kernels: str
    times: Mapping[str, Estimate]
    counts: Mapping[str, Estimate]
    peak_rss_bytes: int
    machine: str = ""
    check: Check | None = None

    @property
    def place(self) -> str:
        """Such as "local, 2 threads", with the machine where times depend on which; counts do not."""
        place = record.place(self.target, self.threads)
        return f"{place}, {self.machine}" if self.machine and self.times else place


def machines(records: Sequence[Record]) -> list[str]:
    """A name for the machine of each record, the same for the same one; empty if there is but one."""
    known: list[Record] = []
    places = []
    for one in records:
        same = (i for i, other in enumerate(known) if record.same_machine(one.environment, other.environment))
        place = next(same, len(known))
        if place == len(known):
            known.append(one)
        places.append(place)
    if len(known) < 2:
        return [""] * len(records)
    cpus = [str(one.environment.get("cpu")) for one in known]
    cores = [one.environment.get("cores_allowed") for one in known]
    told = zip(cpus, cores, strict=True)
    names = [f"{cpu}, {count} cores" if cpus.count(cpu) > 1 and count else cpu for cpu, count in told]
    return [f"{names[i]} ({i + 1})" if names.count(names[i]) > 1 else names[i] for i in places]


def figures(measured: Record, machine: str = "") -> tuple[Figures, ...]:
    """Those of every variant at every place, in the order of the record."""
    return tuple(
        Figures(
            variant=variant,
            target=target,
            threads=threads,
            processes=len(group),
            kernels=group[0].kernels,
            times={record.WORDS.get(metric, metric): e for metric, e in record.times(group).items()},
            counts=record.counts(group),
            peak_rss_bytes=max(m.peak_rss_bytes for m in group),
            machine=machine,
            check=next((m.check for m in reversed(group) if m.check), None),
        )
        for (variant, target, threads), group in measured.by_key().items()
    )


def warnings(measured: Record, shown: Sequence[Figures]) -> Iterator[str]:
    """Lines that name a cause of doubt."""
    yield from measured.disturbed(where=", measuring ", alike=False)
    if overload := measured.overload():
        yield (
            f"the machine was busy while measuring (load up to {overload[0]:.1f} on {overload[1]} cores): "
            "times are too long; measure again when it is idle"
        )
    if measured.environment.get("virtual_machine") is True:
        yield "measured on a virtual machine: work of its neighbours shows in the times"
    yield from _versions(measured)
    few = [f for f in shown if f.times and f.processes < measurement.PROCESSES]
    if few:
        yield (
            f"{few[0].variant} was measured in {few[0].processes} processes only: "
            f"an interval takes {measurement.PROCESSES} to be one of 95 %"
        )


def _versions(measured: Record) -> Iterator[str]:
    """A line for each interpreter that was of one version for some variants and of another for others."""
    found: dict[str, dict[str, dict[str, None]]] = {}
    for m in measured.measurements:
        told = m.environment.get("versions")
        for package in ("ai-edge-litert", "onnxruntime"):
            if isinstance(told, Mapping) and told.get(package):
                found.setdefault(package, {}).setdefault(str(told[package]), {})[m.variant] = None
    for package, versions in found.items():
        if len(versions) > 1:
            told = " and ".join(f"{version} ({', '.join(names)})" for version, names in versions.items())
            yield f"measured with several versions of {package}, which may differ in speed: {told}"
