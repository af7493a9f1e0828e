"""`edgewright bench`: what a bundle's variants cost where they run."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from edgewright.runtime import console
from edgewright.runtime.commands import _foreign

HELP = "measure the latency and memory of a bundle's variants, or of any file"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from edgewright.benchmarks import targets

    every = {name: targets.get(name) for name in targets.names()}
    places = ", ".join(f"{name}{target.at} ({target.title})" for name, target in every.items())
    parser.add_argument(
        "bundle", type=Path, metavar="BUNDLE|FILE", help="a bundle folder, or any .tflite or .onnx file"
    )
    parser.add_argument("--variants", metavar="LIST", help="comma-separated (default: all of the bundle's)")
    where = f"where to measure: {places} (default: %(default)s)"
    parser.add_argument("--target", default="local", help=where)
    threads = "threads of the interpreter, or 'all' for 1 to all cores"
    parser.add_argument("--threads", default="1", metavar="N,…", help=threads)
    parser.add_argument(
        "--mode",
        default="quick",
        help="quick: 128 runs and 10 s of each variant; single-stream: 1,024 and 60 s, as MLPerf has it "
        "(default: %(default)s)",
    )
    _foreign.add_size(parser)
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
        "--out",
        type=Path,
        metavar="FILE.json",
        help="where raw samples are put, beside what was measured before (default: BUNDLE-bench.json)",
    )
    groups: dict[str, Any] = {}
    for option, takers in targets.options().items():
        title, name = f"--target {' or '.join(takers)}", option.name
        groups[title] = group = groups.get(title) or parser.add_argument_group(title)
        takes: dict[str, Any] = {"metavar": option.metavar}
        if not option.metavar:
            takes = {"action": "store_const", "const": targets.GIVEN}
        group.add_argument(f"--{name}", dest=f"target_{name}", help=option.help, **takes)


def run(arguments: argparse.Namespace) -> int:
    from edgewright.benchmarks import runner, targets
    from edgewright.benchmarks.commands import tables
    from edgewright.benchmarks.record import limits, measurement, merging, record
    from edgewright.runtime.errors import InputError

    given = {option.name: getattr(arguments, f"target_{option.name}") for option in targets.options()}
    options = runner.Options(
        variants=tuple(map(str.strip, arguments.variants.split(","))) if arguments.variants else (),
        target=arguments.target,
        target_options={name: value for name, value in given.items() if value is not None},
        threads=_threads(arguments.threads),
        mode=arguments.mode,
        seconds=arguments.seconds,
        profile=arguments.profile,
        size=arguments.size,
    )
    budget = limits.parse_budget(arguments.budget) if arguments.budget else []
    most = limits.parse_share(arguments.max_slowdown or "5%")
    if arguments.max_slowdown and arguments.against is None:
        raise InputError("expected --against FILE.json with --max-slowdown, got none")
    baselines = record.read_records(arguments.against) if arguments.against else ()
    out = arguments.out or measurement.default_out(arguments.bundle)
    job = runner.prepare(arguments.bundle, options)
    merging.check_place(out, job.bundle.manifest.name)
    if job.target.devices:  # of which machine it is, is known afterwards
        fitting = [one for one in baselines if set(job.keys) <= one.by_key().keys()]
    else:
        fitting = [one for one in baselines if record.same_machine(one.environment, job.environment)]
    baseline = next(iter((*fitting, *baselines)), None)
    for name, reason in job.left_out.items():
        console.complain(f"{name} is not measured: {reason}")
    if baseline is not None:
        where = baseline.environment if job.target.devices else job.environment
        limits.check_baseline(baseline, job.bundle.manifest.name, job.keys, where)
    with console.progress("measuring", total=job.steps) as bar:
        records = runner.measure(job, done=lambda name: bar.advance(note=name), say=console.say)
    if not records:  # the target was to prepare something, and has said what
        return 0
    present = {v.name: (v.file.sha256, v.file.bytes) for v in job.bundle.manifest.variants}
    if not job.target.repeats:
        console.say(records[0].measurements[0].environment["cpu"])
    added = merging.add(out, records[0], job.plans, present, records[1:])
    for found in records:
        tables.show(found, job.plans)
        if arguments.profile and found.peaks:
            tables.show_profiles({name: found.profiles.get(name) for name in job.variants})
    console.say(job.target.summary)
    if line := _tuned(arguments.bundle):
        console.say(line)
    for found in records:
        for warning in tables.warnings(found):
            console.say(f"warning: {warning}")
    for name, why in added.dropped.items():
        console.say(f"dropped what was measured of {name} before: it {why}")
    if added.kept:
        console.say(f"measured before and kept: {', '.join(map(limits.named, added.kept))}")
    if added.elsewhere:
        console.say(f"measured on other machines and kept: {added.elsewhere}")
    if added.path != out:
        console.say(f"warning: {out} could not take it: it has changed, or would be too large to be read")
    console.say(f"wrote {added.path}")
    broken = [line for found in records for line in limits.over_budget(found, budget, job.keys)]
    if baseline is not None:
        pairs = [(found, baseline) for found in records]
        if job.target.devices:
            every = [(found, one) for found in records for one in fitting]
            pairs = [pair for pair in every if record.same_machine(pair[0].environment, pair[1].environment)]
        if not pairs:
            broken.append(
                f"expected a baseline of {records[0].environment.get('cpu', 'this machine')}, got one of "
                f"{baseline.environment.get('cpu', 'another')}, whose times say nothing there; make it anew"
            )
        for found, one in pairs:
            broken += limits.slower(found, one, most, job.keys)
    for line in broken:
        console.complain(line)
    return 1 if broken else 0


def _tuned(path: Path) -> str:
    """What `edgewright tune` found fastest for the bundle here; empty of a file, or if it was not tuned."""
    from edgewright.runtime.bundle.manifest import Bundle
    from edgewright.runtime.machine import tuned

    if not path.is_dir() or (found := tuned.recall(Bundle.open(path).sha256)) is None:
        return ""
    return f"edgewright tune: {tuned.described(found)}"


def _threads(text: str) -> tuple[int, ...]:
    """The numbers of threads that are meant. Raises `InputError`."""
    from edgewright.benchmarks.record.measurement import MOST_THREADS
    from edgewright.runtime.errors import InputError
    from edgewright.runtime.machine.threads import cores

    if text == "all":
        return tuple(range(1, cores() + 1))
    counts = [int(part) if part.strip().isdecimal() else 0 for part in text.split(",")]
    if not all(1 <= count <= MOST_THREADS for count in counts):
        raise InputError(f"expected 1 to {MOST_THREADS} threads, several with commas, or 'all', got {text}")
    return tuple(sorted(set(counts)))
