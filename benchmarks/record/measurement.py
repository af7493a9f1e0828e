"""What a measurement is: raw samples and the circumstances they were taken in. Figures are derived."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROCESSES = 6  # the fewest whose median has a 95 % interval
MOST_THREADS = 1024
VERDICTS = ("right", "differs", "wrong")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much to measure: every variant in `processes` fresh processes, the variants in turn.

    Each process warms up until its runs are steady, `warmup_seconds` at most, then does at least `runs`
    warm runs and goes on for `seconds`; at most about `most_runs` of them are timed and kept, evenly
    over the time. Pictures of `picture_pixels` on the longer side are taken from bytes to label, for
    each encoding: at most `end_to_end_runs`, and no more after `end_to_end_seconds` once each of the
    bundle's images was one. Throughput is measured for `throughput_seconds`.

    `options` are those that the target declares itself, as texts.
    """

    threads: int = 1
    processes: int = PROCESSES
    runs: int = 200
    seconds: float = 0.2
    warmup_seconds: float = 1.0
    end_to_end_runs: int = 100
    end_to_end_seconds: float = 0.2
    throughput_seconds: float = 0.1
    picture_pixels: int = 500
    most_runs: int = 10_000
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Mode:
    """How much is measured of a variant, over all of its processes: at least `queries` and `seconds`."""

    queries: int
    seconds: float

    def plan(self, threads: int, options: Mapping[str, str]) -> Plan:
        """The same split over the plan's processes."""
        runs, seconds = -(-self.queries // PROCESSES), self.seconds / PROCESSES
        return Plan(threads=threads, processes=PROCESSES, runs=runs, seconds=seconds, options=options)


# The minimums of MLPerf Inference's single-stream scenario, and of a quick look
# (https://github.com/mlcommons/inference_policies/blob/master/inference_rules.adoc).
MODES = {"quick": Mode(queries=128, seconds=10), "single-stream": Mode(queries=1024, seconds=60)}


@dataclass(frozen=True, kw_only=True)
class Check:
    """How far the answers of a target's engine are from the CPU's, on so many `images`.

    `max_abs_error` is the largest difference of a score, `agreement` the share of images with the same label,
    0 to 1. `verdict` is `right` (within what the engine's own rounding explains), `differs` or `wrong`; then
    `first_wrong_op` and the Keras `layer` it is of say where, `remedy` what to do.
    """

    images: int
    max_abs_error: float
    agreement: float
    verdict: str
    first_wrong_op: str = ""
    layer: str = ""
    remedy: str = ""

    @property
    def told(self) -> str:
        """What is wrong and what to do, in a line; empty if it is not wrong."""
        if self.verdict != "wrong":
            return ""
        at = f" at {self.first_wrong_op}" if self.first_wrong_op else ""
        layer = f" ({self.layer})" if self.layer else ""
        return (
            f"{self.agreement:.1%} of {self.images} labels as on the CPU, scores up to "
            f"{self.max_abs_error:.2g} off{at}{layer}; {self.remedy or 'take another variant there'}"
        )


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One variant on one target, in one process.

    `samples_ns` holds raw durations in nanoseconds by stage, in the order they were taken: `import`
    (the interpreter's Python package), `load` (file to open interpreter, SHA-256 checked),
    `first_run`, `warm_up`, `warm_run` (one inference of raw pixels, right after another),
    `jpeg_to_label` and `png_to_label` (encoded bytes to the best label), and the parts of the former:
    `decode`, `preprocess`, `invoke`, `postprocess`. It is empty for a target that measures no time. A
    sample of `warm_run` is the mean of `calls_per_sample` runs, more than one where the clock is too
    coarse; `queries` is how many warm runs there were, timed or not.

    `peak_rss_bytes` is the process's high-water mark once it has labelled a picture of each encoding,
    `base_rss_bytes` the same before the model was loaded. Both are 0 where a target has no such mark.

    `counts` holds raw samples of what is no duration, by a name that ends in its unit where it has one:
    `instructions`, `cycles`, `sram_bytes`. `notes` are warnings, one line each, that name a cause. `check` is
    there where a target's answers are held against the CPU's.
    """

    variant: str
    target: str
    threads: int
    kernels: str
    environment: Mapping[str, Any]
    samples_ns: Mapping[str, list[int]] = field(default_factory=dict, repr=False)
    peak_rss_bytes: int = 0
    base_rss_bytes: int = 0
    counts: Mapping[str, list[float]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    calls_per_sample: int = 1
    queries: int = 0
    check: Check | None = None


def default_out(bundle: Path) -> Path:
    """Where a bundle's measurements go when no path is given: beside the bundle, never inside."""
    absolute = bundle.absolute()
    return absolute.with_name(f"{absolute.name}-bench.json")
