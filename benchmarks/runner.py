"""Measures a bundle's variants on a target: which of them it takes, in turn over processes, as one record."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgewright.benchmarks import targets
from edgewright.benchmarks.measure import cost, environment, lone, profile
from edgewright.benchmarks.record.measurement import MODES, MOST_THREADS, Measurement, Plan
from edgewright.benchmarks.record.record import Key, Model, Record, same_machine
from edgewright.runtime import backends
from edgewright.runtime.bundle.manifest import Bundle
from edgewright.runtime.errors import InputError, MissingExtraError, UnknownNameError
from edgewright.runtime.foreign import bare, told_of
from edgewright.runtime.predictor import load
from edgewright.runtime.verification import GOLDEN_INPUTS, read_golden


@dataclass(frozen=True, kw_only=True)
class Options:
    """What is measured, and how much.

    `variants`: names, all of the bundle's if empty. `target`: where, a file of `benchmarks/targets`, with a
    device behind it for those that reach several ("ssh:pi@host"), and `target_options` for what it declares
    (`images` of arm64). `threads`: of the interpreter; each count is
    measured. `mode`: a name of `MODES`, which is how long each variant runs, or `seconds` in all instead.
    `profile`: also the time by operator, where the interpreter tells it. `size`: height and width, of a lone
    file that takes pictures of any.
    """

    variants: tuple[str, ...] = ()
    target: str = "local"
    target_options: Mapping[str, str] = field(default_factory=dict)
    threads: tuple[int, ...] = (1,)
    mode: str = "quick"
    seconds: float | None = None
    profile: bool = False
    size: tuple[int, int] | None = None


DEFAULTS = Options()


@dataclass(frozen=True, kw_only=True)
class Job:
    """What `measure` will do: `variants` on `target`, by each of the `plans` that `options` come to.

    `left_out` is why other variants are not measured, by name; `models` what the files say, `environment`
    this machine before the first run.
    """

    bundle: Bundle
    options: Options
    target: targets.Target
    variants: tuple[str, ...]
    left_out: Mapping[str, str]
    plans: tuple[Plan, ...]
    models: Mapping[str, Model]
    environment: Mapping[str, Any]

    @property
    def steps(self) -> int:
        """How many measurements there will be."""
        return sum(plan.processes for plan in self.plans) * len(self.variants)

    @property
    def keys(self) -> list[Key]:
        """What the record will hold."""
        return [(name, self.options.target, plan.threads) for plan in self.plans for name in self.variants]


def bench(
    bundle: Path | str,
    options: Options = DEFAULTS,
    *,
    done: Callable[[str], None] = lambda variant: None,
    say: targets.Say = lambda line: None,
) -> Record:
    """Measure what a bundle's variants cost. `write_record` keeps it, its `figures` are derived. Of a target
    that several devices answer it is the first one's; `measure` gives all.

    Args:
        bundle: a bundle folder, or one .tflite or .onnx file of anyone: it is measured on noise, as the only
            variant of a bundle named after it.
        options: what is measured, and how much.
        done: called with the variant after each measurement.
        say: told a line when a target has to be set up first.

    Raises:
        BundleError: no bundle, or a damaged one.
        InputError: options that cannot be, or a target that takes none of the variants.
        UnknownNameError: a variant, target or mode that there is not.
        MissingExtraError: no interpreter for any of the variants is installed.
        TargetError: the target cannot be set up here, or failed.
    """
    found = measure(prepare(bundle, options), done=done, say=say)
    if not found:
        raise InputError(f"expected options with which target {options.target} measures, got none measured")
    return found[0]


def prepare(bundle: Path | str, options: Options) -> Job:
    """See what can be measured, before anything is. Raises as `bench` does."""
    name, at = targets.parse(options.target)
    target = targets.get(name)
    targets.check_options(name, tuple(options.target_options))
    options = dataclasses.replace(options, target=name, target_options={**options.target_options, **at})
    plans = tuple(_plan(count, options) for count in options.threads)
    if not target.repeats:
        plans = tuple(dataclasses.replace(plan, processes=1) for plan in plans)
    opened = _opened(Path(bundle), options)
    names = [opened.variant(name).name for name in options.variants]
    names = names or [variant.name for variant in opened.manifest.variants]
    refused = {name: why for name in names if (why := _refusal(target, opened, name, plans))}
    if len(refused) == len(names):
        raise refused[names[-1]]
    taken = tuple(name for name in names if name not in refused)
    return Job(
        bundle=opened,
        options=options,
        target=target,
        variants=taken,
        left_out={name: str(reason) for name, reason in refused.items()},
        plans=plans,
        models={name: cost.of_variant(opened, name) for name in taken},
        environment=environment.describe(),
    )


def measure(
    job: Job,
    *,
    done: Callable[[str], None] = lambda variant: None,
    say: targets.Say = lambda line: None,
) -> tuple[Record, ...]:
    """Do a job: a record a machine, this one first; none if its target only prepares something. Arguments and
    errors are those of `bench`."""
    measurements = job.target.run_all(job.bundle, job.variants, job.plans, done, say)
    groups = _machines(measurements, job) if measurements else []
    timed = any(m.samples_ns.get("warm_run") and m.target == "local" for m in measurements)
    profiles = {}
    if job.options.profile and timed:
        for name in job.variants:
            path = job.bundle.path(job.bundle.variant(name).file)
            with load(path, **told_of(job.bundle.manifest)) as predictor:
                _, given = bare(predictor.session, read_golden(job.bundle)[GOLDEN_INPUTS])
            if spent := profile.operators(path, given, job.plans[0].threads):
                profiles[name] = spent
    peaks = {plan.threads: cost.peaks(plan.threads) for plan in job.plans} if timed else {}
    return tuple(
        Record(
            bundle=job.bundle.manifest.name,
            environment=job.environment if other is None else other,
            measurements=measured,
            models={m.variant: job.models[m.variant] for m in measured},
            peaks=peaks if other is None else {},
            profiles=profiles if other is None else {},
        )
        for other, measured in groups
    )


def _machines(
    measurements: Sequence[Measurement], job: Job
) -> list[tuple[Mapping[str, Any] | None, list[Measurement]]]:
    """The measurements by machine, this one first, whose environment is None here."""
    if not job.target.devices:
        return [(None, list(measurements))]
    groups: list[tuple[Mapping[str, Any] | None, list[Measurement]]] = []
    for m in measurements:
        here = same_machine(m.environment, job.environment)
        known = (
            g for e, g in groups if (e is None if here else e is not None and same_machine(e, m.environment))
        )
        group = next(known, None)
        if group is None:
            group = []
            groups.insert(0 if here else len(groups), (None if here else m.environment, group))
        group.append(m)
    return groups


def _opened(path: Path, options: Options) -> Bundle:
    """The bundle, or the one that stands for a lone file. Raises `InputError`."""
    if path.is_file():
        return lone.as_bundle(path, options.size)
    if options.size is not None:
        raise InputError(f"expected --size with a lone model file, got {path}")
    return Bundle.open(path)


def _plan(threads: int, options: Options) -> Plan:
    """How much to measure. Raises `InputError`, `UnknownNameError`."""
    if not 1 <= threads <= MOST_THREADS:
        raise InputError(f"expected 1 to {MOST_THREADS} threads, got {threads}")
    if options.mode not in MODES:
        raise UnknownNameError("mode", options.mode, MODES)
    mode = MODES[options.mode]
    if options.seconds is not None:
        if not 0 < options.seconds <= 3600:
            raise InputError(f"expected --seconds above 0 and up to 3600, got {options.seconds:g}")
        mode = dataclasses.replace(mode, seconds=options.seconds)
    return mode.plan(threads, dict(options.target_options))


def _refusal(
    target: targets.Target, bundle: Bundle, variant: str, plans: tuple[Plan, ...]
) -> InputError | MissingExtraError | None:
    """Why a variant is not measured: no interpreter for it is here, or the target does not take it."""
    file = bundle.variant(variant).file.file
    backend = backends.for_path(Path(file))
    if not backend.available():
        return MissingExtraError(f"an interpreter for {file}", backend.extra)
    try:
        for plan in plans:
            target.check(bundle, variant, plan)
    except InputError as reason:
        return reason
    return None
