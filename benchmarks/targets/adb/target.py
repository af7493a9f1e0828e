"""A phone behind adb: LiteRT's benchmark_model on its CPU, and on its GPU, and a page in its browser.

Every file is a fresh process there each time; all of them take turns, forwards and backwards (ABBA), so that
heat and load fall on each alike. benchmark_model gives the mean of its runs: a process is one sample.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from edgewright.benchmarks.record.measurement import Measurement, Plan
from edgewright.benchmarks.targets import AT, Option, Say, Target
from edgewright.runtime.bundle.manifest import Bundle
from edgewright.runtime.errors import InputError, TargetError

if TYPE_CHECKING:
    from edgewright.benchmarks.targets.adb.phone import Phone

CPU, GPU = "adb", "adb-gpu"  # rows of their own
_KERNELS = {CPU: "benchmark_model-cpu", GPU: "benchmark_model-gpu"}
_SPARE = 60.0  # seconds to load a file and compile its kernels for a GPU


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A file, on the CPU with so many threads, or on the GPU."""

    variant: str
    target: str
    plan: Plan


class ADB(Target):
    """A measurement a process of benchmark_model: `load`, `first_run`, and one sample of `warm_run`, the mean
    of its runs. Counts: `run_p5_ms`, `run_median_ms`, `run_p95_ms` of single runs and `footprint_bytes` where
    the tool tells them; `celsius`, the hottest sensor afterwards."""

    title = "an Android phone behind adb"
    summary = (
        "LiteRT's benchmark_model on a phone, native, as adb on its CPU and as adb-gpu on its GPU; a process "
        "is one sample, the mean of its runs on random pixels; it does not say whether scores are right"
    )
    repeats = True
    devices = True
    at = "[:SERIAL]"
    options = (
        Option(
            name="benchmark-model",
            metavar="FILE",
            help="LiteRT's benchmark_model for the phone's processor (default: where LiteRT's CLI keeps it)",
        ),
        Option(name="gpu", help="measure on the phone's GPU too, files that it takes wholly"),
        Option(
            name="page",
            help="open target browser's page on the phone too, over the cable: it checks the recorded images",
        ),
    )

    def missing(self) -> str:
        return "" if shutil.which("adb") else "adb (install Android's platform-tools; on Debian: adb)"

    def check(self, bundle: Bundle, variant: str, plan: Plan) -> None:
        from edgewright.runtime import backends, trust

        file = bundle.variant(variant).file.file
        if not file.endswith(".tflite"):
            raise InputError(f"expected a .tflite for target adb, got {file}: benchmark_model runs no other")
        path = bundle.folder / file
        if not trust.opens_here(bundle.variant(variant).file.sha256, backends.for_path(path)):
            raise InputError(
                "expected a trusted file for target adb, as nothing keeps it in on the phone, got "
                f"{path}, for which nobody vouched; if you trust it: edgewright trust {path}"
            )

    def run(self, bundle: Bundle, variant: str, plan: Plan, say: Say = lambda line: None) -> Measurement:
        return self.run_all(bundle, (variant,), (dataclasses.replace(plan, processes=1),), say=say)[0]

    def run_all(
        self,
        bundle: Bundle,
        variants: Sequence[str],
        plans: Sequence[Plan],
        done: Callable[[str], None] = lambda variant: None,
        say: Say = lambda line: None,
    ) -> list[Measurement]:
        from edgewright.benchmarks.measure import environment
        from edgewright.benchmarks.targets.adb import phone as phones
        from edgewright.benchmarks.targets.adb import told

        options = plans[0].options
        phone = phones.find(options.get(AT, ""))
        about = phone.about()
        tool = phones.tool(about.abi, options.get("benchmark-model"))
        surroundings = told.environment(about, phone.serial, environment.describe())
        say(f"measuring on {surroundings['cpu']}, {surroundings['system']}, {about.cores or 'unknown'} cores")
        places = {"": phone.put(tool, "sending benchmark_model")}
        for name in variants:
            places[name] = phone.put(bundle.path(bundle.variant(name).file), f"sending {name}")
        cells = [Cell(variant=name, target=CPU, plan=plan) for plan in plans for name in variants]
        if "gpu" in options:
            gpu = dataclasses.replace(plans[0], threads=1)
            cells += [Cell(variant=name, target=GPU, plan=gpu) for name in variants]
        found: list[Measurement] = []
        if "page" in options:  # first are the recorded images, and what may fail before hours are spent
            found += page(phone, bundle, variants, plans, surroundings, say)
        for turn in range(max(plan.processes for plan in plans)):
            for cell in cells[:: -1 if turn % 2 else 1]:
                if turn >= cell.plan.processes:
                    continue
                measured = _measured(phone, places, cell, surroundings)
                if isinstance(measured, str):
                    say(f"{cell.variant} does not run on the GPU of {about.title}: {measured}")
                    cells = [other for other in cells if other is not cell]
                    continue
                found.append(measured)
                if cell.target == CPU:
                    done(cell.variant)
        remove = f"adb -s {phone.serial} shell rm -rf {phones.ROOM}"
        say(f"kept on {phone.serial} for the next time; to remove it: {remove}")
        return found


def _measured(
    phone: Phone, places: dict[str, str], cell: Cell, surroundings: dict[str, Any]
) -> Measurement | str:
    """A process of benchmark_model; or why the GPU does not take the file. Raises `TargetError`."""
    from edgewright.benchmarks.targets.adb import phone as phones
    from edgewright.benchmarks.targets.adb import told

    plan, doing = cell.plan, f"measuring {cell.variant}"
    most = plan.seconds * 10 + _SPARE
    words = [
        *(places[""], f"--graph={places[cell.variant]}"),
        *(f"--num_threads={plan.threads}", f"--num_runs={plan.runs}", f"--min_secs={plan.seconds:g}"),
        *(f"--max_secs={most:g}", "--warmup_runs=1", f"--warmup_min_secs={plan.warmup_seconds:g}"),
    ]
    if cell.target == GPU:  # the newer tool takes the second as well, the older one lets the last pass
        words += ["--use_gpu=true", "--require_full_delegation=true", "--use_cpu=false"]
    status, said = phone.shell(phones.program(words), doing, seconds=2 * most + _SPARE)
    if cell.target == GPU and (status != 0 or told.not_wholly(said)):
        return told.last(said)
    if status != 0:
        raise TargetError(f"{doing} on {phone.serial} failed with status {status}: {told.last(said)}")
    ran = told.ran(said, f"{doing} on {phone.serial}")
    _, heat = phone.shell(told.HEAT, doing)
    counts = {f"run_{name}_ms": [value / 1000] for name, value in ran.tails_us.items()}
    if ran.footprint_mb:
        counts["footprint_bytes"] = [ran.footprint_mb * 2**20]
    if degrees := told.celsius(heat):
        counts["celsius"] = degrees
    return Measurement(
        variant=cell.variant,
        target=cell.target,
        threads=plan.threads,
        kernels=_KERNELS[cell.target],
        environment=surroundings,
        samples_ns={
            "load": [round(ran.load_us * 1000)],
            "first_run": [round(ran.first_us * 1000)],
            "warm_up": [round(ran.warm_up_us * 1000)],
            "warm_run": [round(ran.mean_us * 1000)],
        },
        counts=counts,
        notes=["benchmark_model tells the mean of its runs: p90 and p99 are those of the means of processes"],
        calls_per_sample=ran.runs,
        queries=ran.runs,
    )


def page(
    phone: Phone,
    bundle: Bundle,
    variants: Sequence[str],
    plans: Sequence[Plan],
    surroundings: dict[str, Any],
    say: Say,
) -> list[Measurement]:
    """What target browser measures and checks in the phone's browser, which reaches it over the cable; its
    rows are of the same phone. Errors are those of target browser, and of adb."""
    from edgewright.benchmarks.targets.browser import TARGET as BROWSER

    ports: list[int] = []

    def open_there(line: str) -> None:
        """Target browser says which address is to be opened."""
        word, _, url = line.partition(" ")
        port = urlsplit(url).port if word == "open" else None
        if port is None:
            say(line)
            return
        ports.append(port)
        phone.reverse(port)
        phone.open(url)

    own = [dataclasses.replace(plan, options={}) for plan in plans]
    taken = []
    for name in variants:
        try:
            BROWSER.check(bundle, name, own[-1])
            taken.append(name)
        except InputError as reason:
            say(f"{name} is not on the page: {reason}")
    if not taken:
        return []
    try:
        found = BROWSER.run_all(bundle, taken, own, say=open_there)
    finally:
        for port in ports:
            phone.unreverse(port)
    same = {key: surroundings[key] for key in ("cpu", "machine", "isa", "cores", "cores_allowed")}
    return [dataclasses.replace(m, environment={**m.environment, **same}) for m in found]


TARGET = ADB()
