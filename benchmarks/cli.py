"""`edgewright bench`: what a bundle's variants cost where they run."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from edgewright.runtime import console

if TYPE_CHECKING:
    from edgewright.benchmarks.measurement import Measurement, Plan
    from edgewright.runtime.manifest import Bundle

HELP = "measure the latency and memory of a bundle's variants"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="a bundle folder")
    parser.add_argument("--variants", metavar="LIST", help="comma-separated (default: all of the bundle's)")
    parser.add_argument(
        "--target",
        default="local",
        help="where to measure: local (this machine), arm64 (answers and instructions of an emulated "
        "Cortex-A53 and A76), ethos-u (what Arm's compiler expects of its NPUs) (default: %(default)s)",
    )
    parser.add_argument(
        "--images",
        type=Path,
        metavar="FILE.npz",
        help="test images x and classes y (or x_test, y_test): arm64 gives the accuracy on 1,000 of them",
    )
    parser.add_argument(
        "--threads", type=int, default=1, help="threads of the interpreter (default: %(default)s)"
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE.json", help="raw samples (default: BUNDLE-bench.json)"
    )


def run(arguments: argparse.Namespace) -> int:
    from edgewright.benchmarks import counts, environment, measurement
    from edgewright.runtime import files, jsonio
    from edgewright.runtime.contract import SCHEMA_VERSION
    from edgewright.runtime.errors import InputError
    from edgewright.runtime.manifest import Bundle

    if not 1 <= arguments.threads <= 1024:
        raise InputError(f"expected 1 to 1024 threads, got {arguments.threads}")
    out = arguments.out or measurement.default_out(arguments.bundle)
    if out.is_dir():
        raise InputError(f"expected --out to be a file, got the folder {out}")
    target = measurement.get(arguments.target)
    bundle = Bundle.open(arguments.bundle)
    names = [v.name for v in bundle.manifest.variants]
    if arguments.variants:
        names = [bundle.variant(name.strip()).name for name in arguments.variants.split(",")]
    runnable = _runnable(bundle, names)
    images = None if arguments.images is None else str(arguments.images)
    plan = measurement.Plan(threads=arguments.threads, images=images)
    if not target.repeats:
        plan = dataclasses.replace(plan, processes=1)
    runnable = measurement.accepted(target, bundle, runnable, plan)
    surroundings = environment.describe()
    found: list[Measurement] = []
    with console.progress("measuring", total=plan.processes * len(runnable)) as bar:
        for _ in range(plan.processes):
            for name in runnable:  # in turn: a busy moment of the machine falls on all of them
                found.append(target.run(bundle, name, plan))
                bar.advance(note=name)
    record = {
        "schema_version": SCHEMA_VERSION,
        "bundle": bundle.manifest.name,
        "plan": dataclasses.asdict(plan),
        "environment": surroundings,
        "measurements": [dataclasses.asdict(m) for m in found],
    }
    files.write_file(out, jsonio.dump(record, indent=None))
    if target.repeats:
        _print(arguments.target, plan, found)
    else:
        counts.show(found)
    console.say(target.summary)
    _warn_of_load(found)
    console.say(f"wrote {out}")
    return 0


def _runnable(bundle: Bundle, names: list[str]) -> list[str]:
    """The variants an installed interpreter can run; a line about each other one."""
    from edgewright.runtime import backends
    from edgewright.runtime.errors import MissingExtraError

    runnable, missing = [], None
    for name in names:
        file = bundle.variant(name).file.file
        backend = backends.for_path(Path(file))
        if backend.available():
            runnable.append(name)
        else:
            missing = MissingExtraError(f"an interpreter for {file}", backend.extra)
            console.complain(f"{name} is not measured: {missing}")
    if missing is not None and not runnable:
        raise missing
    return runnable


def _warn_of_load(found: list[Measurement]) -> None:
    """Other work on the machine is in every figure: say so. The measuring itself keeps one core busy."""
    loads = [m.environment["load_1min"] for m in found if m.environment["load_1min"] is not None]
    cores = found[0].environment["cores"] or 1
    if loads and max(loads) > cores:
        console.say(
            f"warning: the machine was busy (load up to {max(loads):.1f} on {cores} cores); "
            "measure again when it is idle"
        )


def _print(target: str, plan: Plan, found: list[Measurement]) -> None:
    from edgewright.benchmarks.stats import across

    variants: dict[str, list[Measurement]] = {}
    for m in found:
        variants.setdefault(m.variant, []).append(m)
    rows = []
    for name, measured in variants.items():

        def ms(stage: str, percent: float, measured: list[Measurement] = measured) -> str:
            return f"{across([m.samples_ns[stage] for m in measured], percent).value / 1e6:.4g}"

        p50 = across([m.samples_ns["warm_run"] for m in measured], 50)
        rows.append(
            (
                name,
                ms("load", 50),
                ms("first_run", 50),
                ms("warm_run", 50),
                f"{p50.low / 1e6:.4g} to {p50.high / 1e6:.4g}",
                ms("warm_run", 90),
                ms("warm_run", 99),
                ms("jpeg_to_label", 50),
                ms("png_to_label", 50),
                f"{max(m.peak_rss_bytes for m in measured) / 2**20:.1f}",
                measured[0].kernels,
            )
        )
    columns = (
        "variant",
        "load",
        "first run",
        "p50",
        "p50, 95 % interval",
        "p90",
        "p99",
        "JPEG to label",
        "PNG to label",
        "peak RSS MiB",
        "kernels",
    )
    title = (
        f"Latency in ms, batch 1, {plan.threads} thread(s), target {target}: {found[0].environment['cpu']}; "
        f"{plan.processes} processes each, pictures of {plan.picture_pixels} pixels"
    )
    console.table(title, columns, rows)
