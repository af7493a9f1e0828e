"""What a report shows of a record: figures by variant and place, and what is doubtful about them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from edgewright.benchmarks.record import measurement, record
from edgewright.benchmarks.record.record import Record
from edgewright.benchmarks.record.stats import Estimate

TIMES = tuple(record.WORDS.get(metric, metric) for metric in record.TIMES)  # as the report calls them


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
        return record.place(self.target, self.threads)


def figures(measured: Record) -> tuple[Figures, ...]:
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
    few = [f for f in shown if f.times and f.processes < measurement.PROCESSES]
    if few:
        yield (
            f"{few[0].variant} was measured in {few[0].processes} processes only: "
            f"an interval takes {measurement.PROCESSES} to be one of 95 %"
        )
