"""`edgewright bench`: what a bundle's variants cost where they run."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from edgewright.runtime import console

if TYPE_CHECKING:
    from edgewright.benchmarks.record.measurement import Measurement, Plan
    from edgewright.benchmarks.targets import Target
    from edgewright.runtime.bundle.manifest import Bundle

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
        "--threads",
        default="1",
        metavar="N,…",
        help="threads of the interpreter, or 'all' for 1 to all cores",
    )
    parser.add_argument(
        "--mode",
        default="quick",
        help="quick: 128 runs and 10 s of each variant; single-stream: 1,024 and 60 s, as MLPerf has it "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--seconds", type=float, help="how long each variant runs in all, instead of what the mode says"
    )
    parser.add_argument(
        "--profile", action="store_true", help="show which operators take the time, where that is told"
    )
    parser.add_argument(
        "--against", type=Path, metavar="FILE.json", help="fail if slower than in this file of an earlier run"
    )
    parser.add_argument("--max-slowdown", metavar="SHARE", help="how much slower is allowed (default: 5%%)")
    parser.add_argument(
        "--budget", metavar="LIST", help="fail if a variant takes more, such as p90=5ms,bytes=100k,rss=60M"
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE.json", help="raw samples (default: BUNDLE-bench.json)"
    )


def run(arguments: argparse.Namespace) -> int:
    from edgewright.benchmarks import targets
    from edgewright.benchmarks.measure import cost, environment, profile
    from edgewright.benchmarks.record import limits as gates
    from edgewright.benchmarks.record import measurement, tables
    from edgewright.benchmarks.record import record as figures
    from edgewright.runtime.bundle.manifest import Bundle
    from edgewright.runtime.contract import SCHEMA_VERSION
    from edgewright.runtime.disk import files, jsonio
    from edgewright.runtime.errors import InputError
    from edgewright.runtime.verification import GOLDEN_INPUTS, read_golden

    plans = [_plan(count, arguments) for count in _threads(arguments.threads)]
    limits = gates.parse_budget(arguments.budget) if arguments.budget else []
    most = gates.parse_share(arguments.max_slowdown or "5%")
    if arguments.max_slowdown and arguments.against is None:
        raise InputError("expected --against FILE.json with --max-slowdown, got none")
    baseline = figures.read(arguments.against) if arguments.against else None
    out = arguments.out or measurement.default_out(arguments.bundle)
    if out.is_dir():
        raise InputError(f"expected --out to be a file, got the folder {out}")
    target = targets.get(arguments.target)
    bundle = Bundle.open(arguments.bundle)
    names = [v.name for v in bundle.manifest.variants]
    if arguments.variants:
        names = [bundle.variant(name.strip()).name for name in arguments.variants.split(",")]
    runnable = _runnable(bundle, names)
    images = None if arguments.images is None else str(arguments.images)
    plans = [dataclasses.replace(plan, images=images) for plan in plans]
    if not target.repeats:
        plans = [dataclasses.replace(plan, processes=1) for plan in plans]
    for plan in plans:
        runnable = _accepted(target, bundle, runnable, plan)
    models = {name: cost.of_variant(bundle, name) for name in runnable}
    surroundings = environment.describe()
    if baseline is not None:
        keys = [(name, arguments.target, plan.threads) for plan in plans for name in runnable]
        gates.check_baseline(baseline, bundle.manifest.name, keys, surroundings)
    found: list[Measurement] = []
    with console.progress("measuring", total=sum(plan.processes for plan in plans) * len(runnable)) as bar:
        for turn in range(max(plan.processes for plan in plans)):
            for plan in plans:
                for name in runnable:  # in turn: a busy moment of the machine falls on all of them
                    if turn < plan.processes:
                        found.append(target.run(bundle, name, plan))
                        bar.advance(note=name)
    timed = any(m.samples_ns.get("warm_run") for m in found)
    profiles = {}
    if arguments.profile and timed:
        pixels = read_golden(bundle)[GOLDEN_INPUTS]
        for name in runnable:
            path = bundle.path(bundle.variant(name).file)
            profiles[name] = profile.operators(path, pixels, plans[0].threads)
    record = figures.Record(
        bundle=bundle.manifest.name,
        environment=surroundings,
        measurements=found,
        models=models,
        peaks={plan.threads: cost.peaks(plan.threads) for plan in plans} if timed else {},
        profiles={name: spent for name, spent in profiles.items() if spent},
    )
    data = {
        "schema_version": SCHEMA_VERSION,
        "plans": [dataclasses.asdict(plan) for plan in plans],
        **dataclasses.asdict(record),
    }
    files.write_file(out, jsonio.dump(data, indent=None))
    if not target.repeats:
        console.say(found[0].environment["cpu"])
    tables.show(record, plans)
    tables.show_profiles(profiles)
    console.say(target.summary)
    for warning in tables.warnings(record):
        console.say(f"warning: {warning}")
    console.say(f"wrote {out}")
    broken = gates.over_budget(record, limits) + (gates.slower(record, baseline, most) if baseline else [])
    for line in broken:
        console.complain(line)
    return 1 if broken else 0


def _threads(text: str) -> list[int]:
    """The numbers of threads that are meant. Raises `InputError`."""
    from edgewright.runtime.errors import InputError
    from edgewright.runtime.machine.threads import cores

    if text == "all":
        return list(range(1, cores() + 1))
    counts = [int(part) if part.strip().isdecimal() else 0 for part in text.split(",")]
    if not all(1 <= count <= 1024 for count in counts):
        raise InputError(f"expected 1 to 1024 threads, several with commas, or 'all', got {text}")
    return sorted(set(counts))


def _plan(threads: int, arguments: argparse.Namespace) -> Plan:
    """How much to measure. Raises `InputError`, `UnknownNameError`."""
    from edgewright.benchmarks.record.measurement import MODES
    from edgewright.runtime.errors import InputError, UnknownNameError

    if arguments.mode not in MODES:
        raise UnknownNameError("mode", arguments.mode, MODES)
    mode = MODES[arguments.mode]
    if arguments.seconds is not None:
        if not 0 < arguments.seconds <= 3600:
            raise InputError(f"expected --seconds above 0 and up to 3600, got {arguments.seconds:g}")
        mode = dataclasses.replace(mode, seconds=arguments.seconds)
    return mode.plan(threads)


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


def _accepted(target: Target, bundle: Bundle, names: list[str], plan: Plan) -> list[str]:
    """The variants that a target measures; a line about each other one.

    Raises:
        InputError: there is none; that of the last one.
    """
    from edgewright.runtime.errors import InputError

    refused: dict[str, InputError] = {}
    for name in names:
        try:
            target.check(bundle, name, plan)
        except InputError as failure:
            refused[name] = failure
    if refused and len(refused) == len(names):
        raise refused[names[-1]]
    for name, reason in refused.items():
        console.complain(f"{name} is not measured: {reason}")
    return [name for name in names if name not in refused]
